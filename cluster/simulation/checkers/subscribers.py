"""What subscribers were told."""

import trio

from artemis.store.changes import ServiceChange

from ..hosts import Host
from .checker import Checker, World

QUIET_S = 2.0
"""After so long without a change, over a network that is well, a subscriber has heard everything."""


class SubscribersInStep(Checker):
    """A subscriber's picture, made of a snapshot and pushes, equals the answer of its node whenever it is quiet; and no
    revision is ever left out."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._changed_s: dict[tuple[str, str], float] = {}

    def changed(self, host: Host, change: ServiceChange) -> None:
        self._changed_s[host.name, change.service_key] = trio.current_time()

    def observe(self) -> None:
        now_s = trio.current_time()
        for subscriber in self.world.subscribers:
            self.object_to(subscriber.faults)
            subscriber.faults.clear()
            answer = self.world.answers.get(subscriber.node)
            if answer is None:
                continue
            reach = self.world.reach
            since_s = max(reach.clean_s(subscriber.name, subscriber.node), reach.steady_s(subscriber.node))
            for service, picture in subscriber.pictures.items():
                quiet_s = max(self._changed_s.get((subscriber.node, service), 0.0), since_s, subscriber.connected_s)
                shown = answer.get(service, frozenset())
                if now_s > quiet_s + QUIET_S and shown != frozenset(picture):
                    self.object(
                        f"{subscriber.name} sees {sorted(picture)} in {service},"
                        f" and {subscriber.node} answers {sorted(shown)}"
                    )
