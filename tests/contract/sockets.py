"""WebSockets of a node as their clients use them."""

import base64
import hashlib
import json
import os
import struct
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
import trio
import trio_websocket
from trio_websocket import ConnectionClosed, WebSocketConnection

from ..pace import PATIENCE_S
from .wire import Address, Connection

HEARTBEAT: Final = "/artemis/websocket/registry/heartbeat"
CHANGES: Final = "/artemis/websocket/discovery/instance-change"
ALL_CHANGES: Final = "/artemis/websocket/discovery/all-instance-change"
WATCH: Final = "/ws"

MESSAGE_BYTES_MAX: Final = 64 << 20


class Session:
    """One open WebSocket."""

    def __init__(self, connection: WebSocketConnection) -> None:
        self.connection = connection

    async def send(self, message: object) -> None:
        """A text (str), a binary message (bytes), or anything else as JSON."""
        text = message if isinstance(message, str | bytes) else json.dumps(message)
        await self.connection.send_message(text)

    async def receive(self) -> Any:
        """The next message, decoded."""
        with trio.fail_after(PATIENCE_S):
            message = await self.connection.get_message()
        assert isinstance(message, str), "only texts are sent to clients"
        return json.loads(message)

    async def ask(self, message: object) -> Any:
        await self.send(message)
        return await self.receive()

    async def ping(self, payload: bytes = b"") -> None:
        """Return when the PONG with the same payload has come."""
        with trio.fail_after(PATIENCE_S):
            await self.connection.ping(payload or os.urandom(4))

    async def closed(self) -> tuple[int, str]:
        """Wait until the node closes; its code and reason. Fails when there is a message instead."""
        with trio.fail_after(PATIENCE_S), pytest.raises(ConnectionClosed) as caught:
            await self.connection.get_message()
        end = caught.value.reason
        assert end is not None
        return end.code, end.reason or ""


@asynccontextmanager
async def websocket(
    node: Address, path: str, *, headers: Sequence[tuple[bytes, bytes]] = (), subprotocols: Sequence[str] = ()
) -> AsyncGenerator[Session, None]:
    """A session as long as the block lasts. It is closed in order, unless the node was faster."""
    stream = await trio.open_tcp_stream(node.host, node.port)
    try:
        async with trio.open_nursery() as nursery:
            with trio.fail_after(PATIENCE_S):
                connection = await trio_websocket.wrap_client_stream(
                    nursery,
                    stream,
                    f"{node.host}:{node.port}",
                    path,
                    extra_headers=list(headers),
                    subprotocols=list(subprotocols),
                    max_message_size=MESSAGE_BYTES_MAX,
                    message_queue_size=1000,
                )
            yield Session(connection)
            with trio.move_on_after(PATIENCE_S):
                await connection.aclose()
            nursery.cancel_scope.cancel()
    finally:
        await trio.aclose_forcefully(stream)


async def watching(session: Session, service_id: str, since: int | None = None) -> Any:
    """Subscribe on `/ws`; the node's first word."""
    answer = await session.ask({"type": "subscribe", "serviceId": service_id, "since": since})
    assert answer["type"] == "subscribed", answer
    return answer


# The handshake and the frames of a client without a library


def handshake(path: str, key: bytes) -> bytes:
    """What the Java client sends, and nothing else."""
    return (
        f"GET {path} HTTP/1.1\r\nSec-WebSocket-Key: {key.decode()}\r\nConnection: upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nHost: registry\r\nUpgrade: websocket\r\n\r\n"
    ).encode()


async def shake_hands(connection: Connection, path: str) -> None:
    """Open a WebSocket by hand, on a connection that is then only used as a socket."""
    key = base64.b64encode(os.urandom(16))
    await connection.send(handshake(path, key))
    answer = await connection.answer(head_only=True)
    assert answer.status == 101, answer
    accepted = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11", usedforsecurity=False).digest()
    assert answer.header("sec-websocket-accept") == base64.b64encode(accepted).decode()
    assert answer.header("sec-websocket-extensions") is None
    assert answer.header("sec-websocket-protocol") is None


def text_frame(document: object) -> bytes:
    """One text message, masked as clients must."""
    payload = json.dumps(document).encode()
    mask = os.urandom(4)
    size = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + struct.pack("!H", len(payload))
    return b"\x81" + size + mask + bytes(byte ^ mask[i & 3] for i, byte in enumerate(payload))
