"""Build hook: an editable install sees `node/` as `artemis.node` through a tree of symbolic links."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PARTS = ("node", "actors", "transport", "store", "cluster")


class LinkTree(BuildHookInterface):
    """For `pip install -e .`, make build/dev/artemis/<part> -> <part>."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version != "editable":
            return
        package = Path(self.root, "build", "dev", "artemis")
        package.mkdir(parents=True, exist_ok=True)
        for part in PARTS:
            link = package / part
            link.unlink(missing_ok=True)
            link.symlink_to(Path("..", "..", "..", part), target_is_directory=True)
