"""One process serving one node: open the port, run until told to stop, close in good order."""

import logging
import signal
from collections.abc import AsyncIterator, Callable

import trio

from artemis.transport.listener import open_listener
from artemis.transport.server import Server, open_server

from .composition import Node, open_node
from .config import Config
from .settings import cors, server_limits

logger = logging.getLogger(__name__)

STOPPING = "this node is stopping"


async def serve(config: Config, *, announce: Callable[[Node, Server], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT; a second signal ends the process at once, with the exit code of that signal.

    Raises OSError when the port cannot be had, `DatabaseProblem` when the data cannot be used, and `ActorFailed`.
    `announce` is called once requests are answered.
    """
    limits = server_limits(config)
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
            )
            async with server_scope as server:
                if announce is not None:
                    announce(node, server)
                with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                    await _first(signals)
                _die_at_the_next_signal()
                await _stop(node, server, config.node.shutdown_deadline_s)
    finally:
        listener.close()


async def _first(signals: AsyncIterator[int]) -> None:
    async for number in signals:
        logger.info("stopping: %s", signal.Signals(number).name)
        return


def _die_at_the_next_signal() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


async def _stop(node: Node, server: Server, deadline_s: float) -> None:
    """Peers and subscribers first, then open requests, then what is on its way to disk."""
    with trio.move_on_after(deadline_s):
        await node.say_goodbye(STOPPING)
    await server.aclose(deadline_s, STOPPING)
    with trio.move_on_after(deadline_s) as flushing:
        await node.flush()
    if flushing.cancelled_caught:
        logger.error("not everything could be stored within %.0f s", deadline_s)
    logger.info("stopped")
