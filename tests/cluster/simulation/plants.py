"""The failures of earlier registries, planted in the nodes of a simulation: each replaces one part by a worse one."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import pytest
import trio

from artemis.actors import membership, readiness
from artemis.actors.broadcaster import Broadcaster
from artemis.actors.conversation import Conversation
from artemis.actors.frames import States
from artemis.actors.outbox import Outbox
from artemis.actors.readiness import Verdict
from artemis.actors.reconciler import Reconciler, Round
from artemis.actors.sweeper import LeaseSweeper
from artemis.actors.tables import Tables
from artemis.actors.teller import Teller
from artemis.store.changes import ServiceChange
from artemis.store.contacts import Contacts
from artemis.store.instances import Instance, decode_instance, encode_instance
from artemis.store.leases import Entry
from artemis.store.management.draft import Draft
from artemis.store.management.kinds import Kind, Value
from artemis.store.registry import Registry, SweepOutcome
from artemis.store.suspects import Suspects
from artemis.store.table import InstanceTable, Outcome

BATCH_S = 0.1


def expiry_is_replicated(patch: pytest.MonkeyPatch) -> None:
    """Pitfall 1: a node that hears no heartbeats expires the instances, and tells its peers to delete them."""

    def step(self: LeaseSweeper) -> SweepOutcome:
        now_s, now_ms = self._clock.now_s(), self._clock.now_ms()
        lease_s = self._registry.lease_time(now_s)
        due = [
            (service.key, entry.key)
            for service in self._registry.services.values()
            for entry in service.entries.values()
            if entry.live and entry.deadline_s <= lease_s
        ]
        outcome = self._registry.unregister(due, now_s=now_s, now_ms=now_ms)
        self._effects.written(outcome.entries, outcome.changes)
        return SweepOutcome()

    patch.setattr(LeaseSweeper, "_step", step)


def ready_at_once(patch: pytest.MonkeyPatch) -> None:
    """Pitfall 2: a node that starts reports up at once, and hands out what it has: nothing."""
    patch.setattr(membership, "judge", lambda *_, **__: Verdict(ready=True, reason="it has just started"))


def nothing_repairs(patch: pytest.MonkeyPatch) -> None:
    """Pitfall 3: what happens while a peer is down is dropped, and nothing ever repairs it."""
    _no_anti_entropy(patch)
    offer = Outbox.offer

    def offer_while_linked(self: Teller, table: str, keys: list[str]) -> None:
        if self._links.current is not None:
            offer(self._outbox, table, keys, now_ms=self._clock.now_ms())
            self._stir.set()

    patch.setattr(Teller, "_offer", offer_while_linked)
    patch.setattr(Outbox, "rewind", lambda self: self._flights.clear())


def unknown_renewals_are_ignored(patch: pytest.MonkeyPatch) -> None:
    """Pitfall 4: a replicated heartbeat for an instance that the peer does not know is ignored for ever."""
    _no_anti_entropy(patch)
    patch.setattr(Conversation, "_want", lambda self, keys: None)


def commands_by_type(patch: pytest.MonkeyPatch) -> None:
    """Pitfall 5: within one batch, registrations are sent first and removals after them, whatever came first."""
    offer_states, next_news = Teller.offer_states, Teller._next_news
    tell_news = Teller._tell_news
    removed: dict[Teller, dict[str, None]] = {}

    def offer(self: Teller, entries: Iterable[Entry]) -> None:
        entries = list(entries)
        removed.setdefault(self, {}).update({entry.full_key: None for entry in entries if not entry.live})
        offer_states(self, entries)

    def news(self: Teller) -> States | None:
        found = next_news(self)
        gone = removed.get(self)
        if found is None or not gone or found.table != "instances":
            return found
        rows = [row for row in _rows_of(found) if row[2] is not None]
        rows += [(key, 0, None, 0, 0) for key in gone]
        gone.clear()
        columns = [list(column) for column in zip(*rows, strict=True)]
        return States(found.table, *columns, sequence=found.sequence, stamp_ms=found.stamp_ms)

    async def tell(self: Teller) -> None:
        conversation = self._conversation

        async def after_a_while() -> Conversation:
            await trio.sleep(BATCH_S)
            return await conversation()

        self._conversation = after_a_while  # type: ignore[method-assign]
        await tell_news(self)

    def merge(self: Registry, states: Sequence[Any], *, via: int, now_s: float, now_ms: int) -> Outcome:
        """Whatever comes is done: there are no versions to tell what is older."""
        found = [(key, self.clock.next(now_ms) if version == 0 else version, *rest) for key, version, *rest in states]
        return merge_by_version(self, found, via=via, now_s=now_s, now_ms=now_ms)

    merge_by_version = Registry.merge
    patch.setattr(Teller, "offer_states", offer)
    patch.setattr(Teller, "_next_news", news)
    patch.setattr(Teller, "_tell_news", tell)
    patch.setattr(Registry, "merge", merge)


def pauses_are_not_noticed(patch: pytest.MonkeyPatch) -> None:
    """Pitfall 13: a node that was paused believes that all leases ran out meanwhile."""
    patch.setattr(InstanceTable, "lease_time", lambda self, now_s: now_s)


def removals_are_not_remembered(patch: pytest.MonkeyPatch) -> None:
    """A removal leaves no tombstone, and peers that have not heard of it bring the instance back."""
    unregister = Registry.unregister

    def forget(self: Registry, keys: Iterable[tuple[str, str]], *, now_s: float, now_ms: int) -> Outcome:
        outcome = unregister(self, keys, now_s=now_s, now_ms=now_ms)
        for entry in outcome.entries:
            self._drop(entry)
        return outcome

    patch.setattr(Registry, "unregister", forget)


def pushes_are_skipped(patch: pytest.MonkeyPatch) -> None:
    """Pitfall 19: now and then subscribers are not told of a change, and cannot know."""
    post = Broadcaster.post
    posts: list[int] = []

    def skip(self: Broadcaster, changes: Sequence[ServiceChange]) -> None:
        posts.append(len(changes))
        if len(posts) % 20:
            post(self, changes)

    patch.setattr(Broadcaster, "post", skip)


def removals_of_the_unknown_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    """Found by simulation: a pull-in on the side of a partition that does not know of the pull-out leaves no trace."""
    remove = Draft.remove

    def remove_known(self: Draft, kind: Kind[Any], key: str) -> Value | None:
        return None if self.get(kind, key) is None else remove(self, kind, key)

    patch.setattr(Draft, "remove", remove_known)


def decisions_that_change_nothing_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    """What is stored already as an operator wants it makes no version, and loses to what others were told before."""
    put = Draft.put

    def put_changed(self: Draft, kind: Kind[Any], value: Value) -> Value:
        current: Value | None = self.get(kind, kind.key(value))
        if current is not None and msgspec.structs.replace(value, created=current.created) == current:
            return current
        changed: Value = put(self, kind, value)
        return changed

    patch.setattr(Draft, "put", put_changed)


def removals_without_a_key_mean_what_is_here(patch: pytest.MonkeyPatch) -> None:
    """What is removed by id, or with what it belongs to, stays where it had not been heard of."""
    patch.setattr(Draft, "remove_unknown", lambda self, kind, term: None)


def registrations_that_change_nothing_only_renew(patch: pytest.MonkeyPatch) -> None:
    """The same with the data of instances."""
    register = Registry.register

    def register_changed(self: Registry, instances: Sequence[Instance], *, now_s: float, now_ms: float) -> Outcome:
        changed: list[Instance] = []
        for instance in instances:
            entry = self.find((instance.service_id or "").lower(), (instance.instance_id or "").lower())
            if entry is not None and entry.live and entry.json == encode_instance(instance):
                self.renew(entry.service.key, entry.key, lease_s=self.lease_time(now_s))
            else:
                changed.append(instance)
        return register(self, changed, now_s=now_s, now_ms=now_ms)

    patch.setattr(Registry, "register", register_changed)


def absences_do_not_count(patch: pytest.MonkeyPatch) -> None:
    """A node that was away for longer than tombstones live offers what it knew, as if it had been there."""

    def no_absence(self: Contacts, peer: str, **_: object) -> None:
        return None

    patch.setattr(Contacts, "absence", no_absence)


def suspects_expire(patch: pytest.MonkeyPatch) -> None:
    """A node that is cut off lets the leases of the other side run out, and finds them again after the heal."""

    def found_only(self: Suspects, entry: Entry, *, lease_s: float) -> float | None:
        found_s = self._found.get(entry.via)
        return None if found_s is None or lease_s >= found_s + entry.ttl_s else found_s + entry.ttl_s

    patch.setattr(Suspects, "kept_until", found_only)


def suspicion_never_ends(patch: pytest.MonkeyPatch) -> None:
    """What a peer renewed is kept for as long as that peer is out of reach."""
    kept_until = Suspects.kept_until

    def kept(self: Suspects, entry: Entry, *, lease_s: float) -> float | None:
        return lease_s + entry.ttl_s if self.is_lost(entry.via) else kept_until(self, entry, lease_s=lease_s)

    patch.setattr(Suspects, "kept_until", kept)


def refused_nodes_are_ready(patch: pytest.MonkeyPatch) -> None:
    """A node that everybody refuses concludes that there is nobody."""
    patch.setattr(readiness, "_are_heard", lambda refusing, others: False)


def the_future_is_believed(patch: pytest.MonkeyPatch) -> None:
    """Rows are taken over whatever their date."""
    patch.setattr(Tables, "_from_future", lambda self, time_ms: None)


def zones_are_told_apart_by_case(patch: pytest.MonkeyPatch) -> None:
    """An instance whose zone is spelt otherwise than in the decision of an operator is not pulled out with it."""

    def is_down(self: InstanceTable, entry: Entry) -> bool:
        zone = decode_instance(entry.json).zone_id or ""
        return self._visibility.is_down(entry.service.key, entry.key, entry.ip, zone, entry.group_key)

    patch.setattr(InstanceTable, "_is_down", is_down)


def what_overflows_is_lost(patch: pytest.MonkeyPatch) -> None:
    """An outbox that overflows is emptied, and nobody compares the tables before the next interval."""
    overflow = Outbox.overflow

    def forget(self: Outbox) -> None:
        overflow(self)
        self.reconcile = False

    patch.setattr(Outbox, "overflow", forget)


def _no_anti_entropy(patch: pytest.MonkeyPatch) -> None:
    async def nothing(self: Reconciler, conversation: Conversation) -> Round:
        await trio.lowlevel.checkpoint()
        return Round()

    patch.setattr(Reconciler, "round", nothing)


def _rows_of(frame: States) -> Iterable[tuple[str, int, bytes | None, int, int]]:
    return zip(frame.keys, frame.versions, frame.values, frame.ages, frame.origins, strict=True)


PLANTS = {
    1: expiry_is_replicated,
    2: ready_at_once,
    3: nothing_repairs,
    4: unknown_renewals_are_ignored,
    5: commands_by_type,
    13: pauses_are_not_noticed,
    19: pushes_are_skipped,
}

FOUND = {
    "removals": removals_are_not_remembered,
    "unknown": removals_of_the_unknown_are_forgotten,
    "decisions": decisions_that_change_nothing_are_forgotten,
    "registrations": registrations_that_change_nothing_only_renew,
    "ranges": removals_without_a_key_mean_what_is_here,
    "absences": absences_do_not_count,
    "suspects": suspects_expire,
    "refusals": refused_nodes_are_ready,
    "dates": the_future_is_believed,
    "ceilings": suspicion_never_ends,
    "zones": zones_are_told_apart_by_case,
    "overflows": what_overflows_is_lost,
}
"""Bugs of our own, planted again, and one that every such system has had."""
