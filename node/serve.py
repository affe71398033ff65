"""One process serving one node: open the port, run until told to stop, close in good order."""

import logging
import resource
import signal
import sys
from collections.abc import AsyncIterator, Callable

import trio

from artemis.actors.blocking import in_thread
from artemis.transport.listener import open_listener
from artemis.transport.server import Server, open_server

from .composition import Node, open_node
from .config import Config
from .gauges import publish_server
from .settings import client_address, cors, near_addresses, server_limits

logger = logging.getLogger(__name__)

SWITCH_S = 0.0005
"""How long a thread that writes to disk may keep the loop from running, ten times less than Python allows it."""

SPARE_FILES = 200
"""Open files that are no connections: databases, links to peers, libraries."""

STOPPING = "this node is stopping"


async def serve(config: Config, *, announce: Callable[[Node, Server], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT; a second signal ends the process at once, with the exit code of that signal.

    Raises OSError when the port cannot be had, `DatabaseProblem` when the data cannot be used, and `ActorFailed`.
    `announce` is called once requests are answered.
    """
    sys.setswitchinterval(SWITCH_S)
    limits = server_limits(config)
    _allow_open_files(limits.connections + SPARE_FILES)
    listener = open_listener(config.node.host, config.node.port, limits)
    port = listener.getsockname()[1]
    try:
        async with open_node(config, port=port) as node:
            server_scope = open_server(
                node.routes,
                sockets=node.sockets,
                listener=listener,
                limits=limits,
                cors=cors(config),
                observer=node.metrics.requests,
                fast_lane=config.node.fast_lane,
                is_near=await in_thread(lambda: near_addresses(config)),
                address_of=client_address(config.node.trusted_proxies),
            )
            async with server_scope as server:
                publish_server(node.metrics, server.statistics)
                with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                    if announce is not None:
                        announce(node, server)
                    await _first(signals)
                _die_at_the_next_signal()
                await _say_goodbye(node, server, config.node.shutdown_deadline_s)
            await _flush(node, config.node.shutdown_deadline_s)
    finally:
        listener.close()


def _allow_open_files(wanted: int) -> None:
    """Each connection is an open file; the limit that a shell gives is often lower than what we promise to take."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        if allowed < wanted:
            logger.warning("only %d open files are allowed: raise `ulimit -n` to take %d connections", allowed, wanted)


async def _first(signals: AsyncIterator[int]) -> None:
    async for number in signals:
        logger.info("stopping: %s", signal.Signals(number).name)
        return


def _die_at_the_next_signal() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


async def _say_goodbye(node: Node, server: Server, deadline_s: float) -> None:
    """Peers and subscribers first, then open requests."""
    with trio.move_on_after(deadline_s):
        await node.say_goodbye(STOPPING)
    await server.aclose(deadline_s, STOPPING)


async def _flush(node: Node, deadline_s: float) -> None:
    """What is on its way to disk and peers, once nobody can add to it."""
    with trio.move_on_after(deadline_s) as flushing:
        await node.flush()
    if flushing.cancelled_caught:
        lacking = "; ".join(node.unstored())
        logger.error("not everything could be stored or told within %.0f s: %s", deadline_s, lacking)
    logger.info("stopped")
