"""WebSockets over simulated links: what a node's session sees, and what a subscriber sees."""

import json
from typing import Final

import trio

from artemis.actors.ports import Link, LinkLost
from artemis.transport.requests import Caller
from artemis.transport.sockets import NORMAL, SocketClosed

CLOSE_S: Final = 1.0
TEXT, CLOSE = b"T", b"C"


class NodeSocket:
    """The end at the node. Implements Socket."""

    def __init__(self, link: Link, caller: Caller) -> None:
        self._link = link
        self._caller = caller
        self._closed = False

    @property
    def caller(self) -> Caller:
        return self._caller

    async def send(self, text: str) -> None:
        if self._closed:
            raise SocketClosed
        try:
            await self._link.send(TEXT + text.encode())
        except LinkLost as lost:
            raise SocketClosed(1006, str(lost)) from None

    async def receive(self) -> str:
        try:
            return (await self._link.receive()).decode()
        except LinkLost as lost:
            raise SocketClosed(1006, str(lost)) from None

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        if self._closed:
            return
        self._closed = True
        with trio.move_on_after(CLOSE_S):
            try:
                await self._link.send(CLOSE + json.dumps([code, reason]).encode())
            except LinkLost:
                pass
            await self._link.aclose()


class ClientSocket:
    """The end at the subscriber."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def send(self, text: str) -> None:
        """Raises SocketClosed."""
        try:
            await self._link.send(text.encode())
        except LinkLost as lost:
            raise SocketClosed(1006, str(lost)) from None

    async def receive(self) -> str:
        """The next text. Raises SocketClosed, with what the node said at the end if it said something."""
        try:
            frame = await self._link.receive()
        except LinkLost as lost:
            raise SocketClosed(1006, str(lost)) from None
        if frame[:1] == CLOSE:
            code, reason = json.loads(frame[1:])
            raise SocketClosed(code, reason)
        return frame[1:].decode()

    async def aclose(self) -> None:
        await self._link.aclose()
