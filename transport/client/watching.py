"""A watch: stays subscribed to a service over `/ws`, through lost connections, restarts and failing nodes.

After a reconnect to the same node it asks for what it missed (`since`); at another node, or when a revision is
missing, it asks for a snapshot. Whoever reads the updates too slowly holds up the socket, is cut off by the node, and
resumes: no update is skipped.
"""

import logging
from typing import Final, NoReturn

import msgspec
import trio

from .errors import Incomprehensible, Refused
from .messages import Pushed, read
from .nodes import Nodes, websocket_url
from .picture import Gap, Picture, ServiceUpdate, known_changes
from .sockets import Dial, Disconnected, TextSocket

logger = logging.getLogger(__name__)

EVERYTHING: Final = "*"
"""As a service id: the changes of all services, without a snapshot."""

BACKOFF_MIN_S: Final = 0.1
BACKOFF_MAX_S: Final = 5.0
SILENCE_S: Final = 15.0
"""Without a word for this long the node is pinged; for as long again, and it is left."""

PING: Final = '{"type":"ping"}'


class Watch:
    """Feeds updates of one service into a channel until it is cancelled."""

    def __init__(self, nodes: Nodes, service_id: str, dial: Dial, send: trio.MemorySendChannel[ServiceUpdate]) -> None:
        self._nodes = nodes
        self._service_id = service_id
        self._dial = dial
        self._send = send
        self._picture = Picture(service_id)
        self._picture_of = ""
        self._subscribed_once = False
        self._backoff_s = BACKOFF_MIN_S

    async def run(self) -> NoReturn:
        """Connect, follow, and connect again. Raises Refused when the node rejects the subscription itself."""
        while True:
            url = self._nodes.current
            try:
                async with self._dial(websocket_url(url, "/ws")) as socket:
                    await self._follow(socket, url)
            except Gap:
                logger.info("a revision of %s is missing; asking for a snapshot", self._service_id)
                self._picture.forget()
            except (Disconnected, Incomprehensible) as error:
                logger.warning("watching %s at %s: %s", self._service_id, url, error)
                self._nodes.leave(url)
                await trio.sleep(self._backoff_s)
                self._backoff_s = min(self._backoff_s * 2, BACKOFF_MAX_S)

    async def _follow(self, socket: TextSocket, url: str) -> None:
        """Subscribe and pass updates on. Ends only by an exception."""
        if url != self._picture_of:
            self._picture.forget()
        request: dict[str, object] = {"type": "subscribe", "serviceId": self._service_id}
        if self._picture.revision is not None:
            request["since"] = self._picture.revision
        await socket.send(msgspec.json.encode(request).decode())
        while True:
            message = read(Pushed, await _receive(socket))
            match message.type:
                case "subscribed":
                    self._picture_of = url
                    self._backoff_s = BACKOFF_MIN_S
                    await self._pass_on(self._subscribed(message))
                case "service_change":
                    await self._pass_on(self._changed(message))
                case "error":
                    raise Refused("bad-request", message.message or "")
                case _:  # pong, and whatever newer nodes add
                    pass

    def _subscribed(self, message: Pushed) -> ServiceUpdate | None:
        if self._service_id != EVERYTHING:
            return self._picture.subscribed(message)
        again, self._subscribed_once = self._subscribed_once, True
        return ServiceUpdate("resync", EVERYTHING, 0) if again else None

    def _changed(self, message: Pushed) -> ServiceUpdate | None:
        if self._service_id != EVERYTHING:
            return self._picture.changed(message)
        return ServiceUpdate(
            "changes", message.service_id or "", message.revision or 0, known_changes(message.changes or [])
        )

    async def _pass_on(self, update: ServiceUpdate | None) -> None:
        if update is not None:
            await self._send.send(update)


async def _receive(socket: TextSocket) -> str:
    """The next text; pings a silent node, and gives it up when it stays silent."""
    with trio.move_on_after(SILENCE_S):
        return await socket.receive()
    await socket.send(PING)
    with trio.move_on_after(SILENCE_S):
        return await socket.receive()
    raise Disconnected(f"the node was silent for {2 * SILENCE_S:g} s")
