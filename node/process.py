"""One process around one node: what it says when it listens, and one clear line when it cannot run."""

import errno
import logging
import os
import sys
from collections.abc import Iterator

import trio

from artemis.actors.supervisor import ActorFailed
from artemis.store.sqlite import DatabaseProblem

from .config import Config
from .metrics import artemis_version
from .serve import serve

logger = logging.getLogger(__name__)


class NodeFailed(Exception):
    """The node cannot run, or not any longer; the text is for the person who started it."""


def run_node(config: Config) -> None:
    """Run a node until a signal has stopped it in order. Raises NodeFailed when it cannot run, or not any longer."""
    try:
        trio.run(lambda: serve(config, announce=lambda node, server: announce(config, node.url)))
    except BaseException as error:
        cause = next(known_causes(error), None)
        if cause is None:
            raise
        raise NodeFailed(explain(cause, config)) from error


def announce(config: Config, url: str) -> None:
    """Say where the node listens: as a line for people, or as an event for machines."""
    facts = {
        "url": url,
        "region": config.node.region,
        "zone": config.node.zone,
        "storage": "memory only" if config.in_memory else os.path.abspath(config.data.directory),
    }
    if config.logging.format == "json":
        logger.info("listening", extra={**facts, "version": artemis_version()})
        return
    sys.stdout.write(
        f"artemis {artemis_version()} listens on {url}\n"
        f"region {facts['region']}, zone {facts['zone']}, storage {facts['storage']}\n"
    )
    sys.stdout.flush()


def known_causes(error: BaseException) -> Iterator[BaseException]:
    """The errors that have an explanation, wherever they are in groups of exceptions."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from known_causes(inner)
    elif isinstance(error, ActorFailed) and isinstance(error.__cause__, DatabaseProblem):
        yield error.__cause__
    elif isinstance(error, (DatabaseProblem, ActorFailed, OSError)):
        yield error


def explain(cause: BaseException, config: Config) -> str:
    """The error in the words of somebody who can do something about it."""
    if not isinstance(cause, OSError):
        return str(cause)
    where = f"{config.node.host}:{config.node.port}"
    match cause.errno:
        case errno.EADDRINUSE:
            return f"cannot listen on {where}: the port is in use; choose another one with --port"
        case errno.EADDRNOTAVAIL:
            return f"cannot listen on {where}: this machine does not have that address; see --host"
        case errno.EACCES if config.node.port < 1024 and cause.filename is None:
            return f"cannot listen on {where}: ports below 1024 need more rights; choose another one with --port"
        case _:
            return str(cause)
