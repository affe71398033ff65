"""`artemis cluster up` with programs that look like nodes: run_fakes.py STATE_DIRECTORY."""

import sys
from collections.abc import Sequence
from pathlib import Path

from artemis.cluster.foreground import run_in_foreground
from artemis.cluster.state import State
from artemis.cluster.topology import simple_topology

FAKE_NODE = Path(__file__).with_name("fake_node.py")


def fake_command(config_file: Path) -> Sequence[str]:
    return [sys.executable, str(FAKE_NODE), str(config_file)]


run_in_foreground(
    simple_topology(2),
    State(Path(sys.argv[1])),
    secret="correct horse battery",
    with_client_proxies=False,
    timeout_s=600.0,
    keep=False,
    is_json=True,
    command=fake_command,
)
