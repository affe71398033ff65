"""`artemis serve`: run a node until it is told to stop."""

import logging
from collections.abc import Sequence
from pathlib import Path

import click

from ..config import Config
from ..keys import SECRET_KEYS
from ..logging import set_up_logging
from .configuration import loaded, takes_configuration
from .exits import NODE_FAILED, Failure

logger = logging.getLogger(__name__)


@click.command()
@takes_configuration
def serve(file: Path | None, settings: Sequence[str], **flags: str | None) -> None:
    """Run a node. It needs no configuration, no database server, and no other node.

    SIGTERM or Ctrl-C stops it in order: peers and subscribers are told, open requests finish. A second one ends
    it at once.

    \b
    Examples:
        artemis serve
        artemis serve --port 8081 --data :memory:
        artemis serve --config /etc/artemis/artemis.toml --log-format json
        artemis serve --zone zone2 --cluster 'zone1:http://10.0.0.1:8080;zone2:http://10.0.0.2:8080'
    """
    config = loaded(file, settings, flags)
    set_up_logging(config.logging, secrets=config.cluster.known_secrets)
    _warn_of_secrets_in_sight(config)
    from ..process import NodeFailed, run_node  # the server is imported by this command only

    try:
        run_node(config)
    except NodeFailed as error:
        raise Failure(NODE_FAILED, *str(error).splitlines()) from None


def _warn_of_secrets_in_sight(config: Config) -> None:
    """The command line of a process is shown to every user of its machine."""
    for name in sorted(SECRET_KEYS):
        if config.sources.get(name, "").startswith("flag "):
            logger.warning(
                "%s is on the command line, where every user of this machine can read it: "
                "use cluster.secret_file, the environment, or the configuration file",
                name,
            )
