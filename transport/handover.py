"""Hypercorn as a guest: it serves the connections that the listener hands over, one by one, and owns no socket."""

import logging
from typing import cast

import h11
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import (
    ASGIFramework,
    ASGIReceiveCallable,
    ASGISendCallable,
    ASGISendEvent,
    ConnectionState,
    Scope,
)
from quart_trio import QuartTrio

from .fastlane import Conversation
from .limits import Limits

logger = logging.getLogger(__name__)

NEVER_S = 1e9


class Guest:
    """HTTP/1.1, HTTP/2 and WebSockets by Hypercorn, for an app of ours."""

    def __init__(self, app: QuartTrio, limits: Limits) -> None:
        self._app = cast(ASGIFramework, app)
        self._config = _configuration(limits)
        self._context = WorkerContext(None)
        self.draining = False
        """Every answer is the last one of its connection."""

    async def serve(self, conversation: Conversation) -> None:
        """Serve a connection until it ends, beginning with the bytes that are unread on its wire."""
        # The stream is annotated as one of two classes of Trio; what it needs to be is a stream with a socket.
        stream = cast("trio.SSLStream[trio.SocketStream]", conversation.wire)
        app = ASGIWrapper(_Attended(self._app, conversation, self))
        # A context that is terminated would close the connection before its request is answered.
        context = WorkerContext(None) if self.draining else self._context
        try:
            with conversation.scope:
                await TCPServer(app, self._config, context, ConnectionState({}), stream).run()
        except* h11.LocalProtocolError as error:
            # Hypercorn answers whatever it finds wrong, and may find that there is nobody left who could be answered.
            logger.debug("%s spoke out of turn: %s", conversation.caller.ip, error.exceptions[0])

    async def drain(self) -> None:
        """Let every connection end after the answer it is about to give."""
        self.draining = True
        await self._context.terminated.set()


class _Attended:
    """The app of one connection, which knows whether anything is in progress there.

    Hypercorn has a timer for idle connections, but sets it in a task that Quart-Trio has cancelled by then: after its
    first request a connection could stay for ever. So the watch of the server looks after the guests as well.
    """

    def __init__(self, app: ASGIFramework, conversation: Conversation, guest: Guest) -> None:
        self._app = app
        self._conversation = conversation
        self._guest = guest
        self._in_progress = 0

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        async def send_knowing_the_end(message: ASGISendEvent) -> None:
            if self._guest.draining and message["type"] == "http.response.start" and _is_http_1(scope):
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        self._in_progress += 1
        self._conversation.work()
        try:
            await self._app(scope, receive, send_knowing_the_end)
        finally:
            self._in_progress -= 1
            if not self._in_progress:
                self._conversation.rest()


def _is_http_1(scope: Scope) -> bool:
    return scope["type"] == "http" and scope["http_version"].startswith("1")


def _configuration(limits: Limits) -> Config:
    config = Config()
    config.errorlog = logger
    config.include_server_header = False
    config.h11_max_incomplete_size = limits.header_bytes
    config.h2_max_header_list_size = limits.header_bytes
    config.keep_alive_timeout = NEVER_S
    config.keep_alive_max_requests = 1_000_000_000
    config.websocket_max_message_size = max(limits.websocket_text_bytes, limits.websocket_binary_bytes)
    return config
