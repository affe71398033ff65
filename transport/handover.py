"""Hypercorn as a guest: it serves the connections that the listener hands over, one by one, and owns no socket."""

import logging
from typing import cast

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ASGIFramework, ConnectionState
from quart_trio import QuartTrio

from .limits import Limits
from .wire import Wire

logger = logging.getLogger(__name__)


class Guest:
    """HTTP/1.1, HTTP/2 and WebSockets by Hypercorn, for an app of ours."""

    def __init__(self, app: QuartTrio, limits: Limits) -> None:
        self._app = ASGIWrapper(cast(ASGIFramework, app))
        self._config = _configuration(limits)
        self._context = WorkerContext(None)

    async def serve(self, wire: Wire) -> None:
        """Serve a connection until it ends, beginning with the bytes that are unread on the wire."""
        # The stream is annotated as one of two classes of Trio; what it needs to be is a stream with a socket.
        stream = cast("trio.SSLStream[trio.SocketStream]", wire)
        await TCPServer(self._app, self._config, self._context, ConnectionState({}), stream).run()

    async def drain(self) -> None:
        """Close what is idle; what is not, closes after its answer."""
        await self._context.terminated.set()


def _configuration(limits: Limits) -> Config:
    config = Config()
    config.errorlog = logger
    config.include_server_header = False
    config.h11_max_incomplete_size = limits.header_bytes
    config.h2_max_header_list_size = limits.header_bytes
    config.keep_alive_timeout = limits.idle_timeout_s
    config.keep_alive_max_requests = 1_000_000_000
    config.websocket_max_message_size = max(limits.websocket_text_bytes, limits.websocket_binary_bytes)
    return config
