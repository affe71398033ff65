"""Requests of clients on their way to nodes and back: delayed, lost, cut off, or answered."""

from collections.abc import Mapping
from typing import Final

import msgspec
import trio

from ..faults import Cut
from .hosts import Host
from .network import Network

REQUEST_S: Final = 1.0
"""How long a client waits for an answer before it asks another node."""


class Unanswered(Exception):
    """No answer came. Unless the node was never `reached`, it may have done what was asked."""

    def __init__(self, why: str, *, reached: bool) -> None:
        super().__init__(why)
        self.reached = reached


class Wire:
    """How clients reach nodes.

    A client that gives up takes with it what the node has not yet begun to read. (A real network may deliver such a
    request much later. That nobody can tell from a client that asks much later, so no promise covers it.)
    """

    def __init__(self, network: Network, hosts: Mapping[str, Host]) -> None:
        self._network = network
        self._hosts = hosts

    async def ask(self, near: str, far: str, path: str, body: object) -> dict[str, object]:
        """POST something to a node; returns its JSON. Raises Unanswered."""
        reached = False
        with trio.move_on_after(REQUEST_S):
            await self._travel(near, far)
            reached = True
            reply = await self._hosts[far].call("POST", path, msgspec.json.encode(body), f"10.1.0.{int(near[1:])}")
            if reply is None:
                raise Unanswered(f"{far} is not there", reached=True)
            await self._travel(far, near)
            return msgspec.json.decode(reply.body, type=dict[str, object])
        raise Unanswered(f"no answer from {far}", reached=reached)

    def knows(self, node: str, key: tuple[str, str], text: str) -> bool:
        """Whether a node holds an instance with this text in it. Clients cannot ask so much; their chronicle may."""
        return self._hosts[node].holds(key, text)

    def version_at(self, node: str, key: tuple[str, str]) -> int:
        """The version that a node has of an instance."""
        return self._hosts[node].version_of(key)

    def is_misdated(self, node: str) -> bool:
        """Whether the clock of a node is so wrong that nobody believes what it dates."""
        return self._hosts[node].clock.wrong_ms != 0

    def removal_at(self, node: str, key: tuple[str, str]) -> float:
        """The version of the tombstone that a node keeps of an instance; infinite when it keeps none."""
        return self._hosts[node].removal_of(key)

    async def _travel(self, source: str, target: str) -> None:
        await trio.sleep(self._network.delay_s(source, target))
        if self._network.faults.flow(source, target).cut is not Cut.NONE:
            await trio.sleep_forever()


def outcome_of(answer: Mapping[str, object]) -> str:
    """The errorCode of an answer of the RPC contract."""
    status = answer.get("responseStatus")
    if not isinstance(status, dict):
        return "internal-service-error"
    code = status.get("errorCode")
    return code if isinstance(code, str) else "internal-service-error"
