"""Subscribers: each keeps a picture of its services over `/ws`, resumes where it stopped, and misses nothing."""

import json
import random
from collections.abc import Sequence
from typing import Any, Final

import trio

from artemis.actors.ports import Link, LinkLost
from artemis.transport.sockets import SocketClosed

from .history import History
from .hosts import CLIENTS
from .network import Network
from .sockets import ClientSocket

CONNECT_S: Final = 2.0
PING_S: Final = 5.0
SILENCE_S: Final = 8.0
"""Silence after which a subscriber gives up on its node; each ping asks for a sign of life."""
AGAIN_S: Final = 0.5


class Subscriber:
    """One client that follows some services, at one node after the other."""

    def __init__(
        self,
        name: str,
        services: Sequence[str],
        nodes: Sequence[str],
        *,
        network: Network,
        history: History,
        rng: random.Random,
    ) -> None:
        self.name = name
        self.services = services
        self.node = ""
        """The node that it is connected to; empty while it is not."""
        self.pictures: dict[str, dict[str, str]] = {}
        """By lower-cased service: lower-cased instance id and JSON of the instance. Only of services subscribed now."""
        self.faults: list[str] = []
        """What it noticed that must not be."""
        self.connected_s = self.heard_s = 0.0
        self.resumed = 0
        self._revisions: dict[str, int] = {}
        self._known_from = ""
        """The node that the revisions are of."""
        self._nodes = list(nodes)
        self._network = network
        self._history = history
        self._rng = rng
        rng.shuffle(self._nodes)

    async def run(self) -> None:
        """Follow for ever."""
        while True:
            link: Link | None = None
            try:
                with trio.move_on_after(CONNECT_S):
                    link = await self._network.connect(self.name, self._nodes[0], CLIENTS)
                if link is not None:
                    await self._follow(ClientSocket(link), self._nodes[0])
            except LinkLost:
                pass
            if self._rng.random() < 0.7:  # else it tries to resume where it was
                self._nodes.append(self._nodes.pop(0))
            await trio.sleep(AGAIN_S)

    async def _follow(self, socket: ClientSocket, node: str) -> None:
        if node != self._known_from:
            self._revisions.clear()
        self._known_from = self.node = node
        self.pictures = {service: self.pictures.get(service, {}) for service in self._revisions}
        self._history.add(self.name, f"is connected to {node}")
        self.connected_s = self.heard_s = trio.current_time()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._speak, socket, nursery.cancel_scope)
                nursery.start_soon(self._listen, socket, nursery.cancel_scope)
        finally:
            self.node = ""
            with trio.CancelScope(shield=True):
                await socket.aclose()

    async def _speak(self, socket: ClientSocket, scope: trio.CancelScope) -> None:
        try:
            for service in self.services:
                since = self._revisions.get(service.lower())
                command: dict[str, object] = {"type": "subscribe", "serviceId": service}
                await socket.send(json.dumps(command if since is None else command | {"since": since}))
            while trio.current_time() - self.heard_s < SILENCE_S:
                await trio.sleep(PING_S)
                await socket.send('{"type":"ping"}')
        except SocketClosed:
            pass
        scope.cancel()

    async def _listen(self, socket: ClientSocket, scope: trio.CancelScope) -> None:
        subscribed: set[str] = set()
        try:
            while True:
                message = json.loads(await socket.receive())
                self.heard_s = trio.current_time()
                match message["type"]:
                    case "subscribed":
                        subscribed.add(message["serviceId"].lower())
                        self._subscribed(message)
                    case "service_change":
                        self._changed(message, subscribed)
                    case "pong":
                        pass
                    case _:
                        self.faults.append(f"{self.name} was told {message}")
        except SocketClosed as closed:
            self._history.add(self.name, f"is disconnected: {closed}")
        scope.cancel()

    def _subscribed(self, message: dict[str, Any]) -> None:
        key = message["serviceId"].lower()
        if "missed" in message:
            self.resumed += 1
            for step in message["missed"]:
                self._step(key, step["revision"], step["changes"])
            if self._revisions[key] != message["revision"]:
                self.faults.append(f"{self.name} resumed {key} and was left before revision {message['revision']}")
        else:
            found = message["service"]["instances"] or []
            self.pictures[key] = {instance["instanceId"].lower(): json.dumps(instance) for instance in found}
            self._revisions[key] = message["revision"]

    def _changed(self, message: dict[str, Any], subscribed: set[str]) -> None:
        key = message["serviceId"].lower()
        if key not in subscribed:
            self.faults.append(f"{self.name} was told of {key} before its subscription was answered")
        else:
            self._step(key, message["revision"], message["changes"])

    def _step(self, key: str, revision: int, changes: Sequence[dict[str, Any]]) -> None:
        before = self._revisions[key]
        if revision != before + 1 and before:
            self.faults.append(f"{self.name} at {self.node}: {key} went from revision {before} to {revision}")
        self._revisions[key] = revision
        picture = self.pictures[key]
        for change in changes:
            name = change["instance"]["instanceId"].lower()
            kind = change["changeType"]
            if kind == "reload":
                continue
            if (kind == "new") == (name in picture):
                self.faults.append(
                    f"{self.name} at {self.node}: {kind} of {name}, which it {'has' if kind == 'new' else 'lacks'}"
                )
            if kind == "delete":
                picture.pop(name, None)
            else:
                picture[name] = json.dumps(change["instance"])
