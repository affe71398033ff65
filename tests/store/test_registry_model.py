"""The registry against the dumbest model that could be right: a dictionary of deadlines."""

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from artemis.store.changes import ServiceChange

from .building import NOW_MS, instance, registry

SERVICES = st.sampled_from(["svc.a", "Svc.A", "svc.b"])
INSTANCES = st.sampled_from(["i1", "I1", "i2", "i3"])
URLS = st.sampled_from(["http://one/", "http://two/"])
LEASE_S, TICK_S = 20.0, 0.2


class RegistryAgainstModel(RuleBasedStateMachine):
    """Registers, renews, unregisters, and lets time pass; deltas and revisions are checked all along."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.table = registry()
        self.start_version = self.table.version
        self.deadlines: dict[tuple[str, str], float] = {}
        self.urls: dict[tuple[str, str], str] = {}
        self.pictures: dict[str, dict[str, str]] = {}
        """What a subscriber would hold that builds its picture from changes only."""
        self.revisions: dict[str, int] = {}

    def hear(self, changes: list[ServiceChange]) -> None:
        for change in changes:
            if change.service_key in self.revisions:
                assert change.revision == self.revisions[change.service_key] + 1
            self.revisions[change.service_key] = change.revision
            picture = self.pictures.setdefault(change.service_key, {})
            for one in change.changes:
                url = msgspec.json.decode(one.json)["url"]
                assert (one.change_type == "new") == (one.key not in picture)
                if one.change_type == "delete":
                    del picture[one.key]
                else:
                    picture[one.key] = url
            if not picture:
                del self.pictures[change.service_key]

    @rule(service=SERVICES, key=INSTANCES, url=URLS)
    def register(self, service: str, key: str, url: str) -> None:
        outcome = self.table.register([instance(key, service, url=url)], now_s=self.now_s, now_ms=NOW_MS)
        self.hear(outcome.changes)
        self.deadlines[service.lower(), key.lower()] = self.now_s + LEASE_S
        self.urls[service.lower(), key.lower()] = url

    @rule(service=SERVICES, key=INSTANCES)
    def renew(self, service: str, key: str) -> None:
        entry = self.table.renew(service.lower(), key.lower(), lease_s=self.table.lease_time(self.now_s))
        known = (service.lower(), key.lower()) in self.deadlines
        assert (entry is not None) == known
        if known:
            self.deadlines[service.lower(), key.lower()] = self.now_s + LEASE_S

    @rule(service=SERVICES, key=INSTANCES)
    def unregister(self, service: str, key: str) -> None:
        outcome = self.table.unregister([(service.lower(), key.lower())], now_s=self.now_s, now_ms=NOW_MS)
        self.hear(outcome.changes)
        self.deadlines.pop((service.lower(), key.lower()), None)

    @rule(seconds=st.sampled_from([0.5, 3.0, 7.0, 19.0, 21.0, 700.0]))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds
        more = True
        while more:
            outcome = self.table.sweep(now_s=self.now_s, now_ms=NOW_MS, visits=2)
            self.hear(outcome.changes)
            more = outcome.more
        late = {key for key, deadline in self.deadlines.items() if deadline <= self.now_s - TICK_S}
        self.deadlines = {key: deadline for key, deadline in self.deadlines.items() if key not in late}
        for service_key, instance_key in list(self.deadlines):  # due within the current tick: either is right
            if self.deadlines[service_key, instance_key] <= self.now_s:
                entry = self.table.find(service_key, instance_key)
                if entry is None or not entry.live:
                    del self.deadlines[service_key, instance_key]

    @invariant()
    def shows_what_the_model_holds(self) -> None:
        found = {
            (service.key, entry.key): msgspec.json.decode(entry.json)["url"]
            for service in self.table.services.values()
            for entry in service.visible()
        }
        assert found == {key: self.urls[key] for key in self.deadlines}
        assert self.table.live_count == len(self.deadlines)

    @invariant()
    def the_picture_built_from_changes_is_the_answer(self) -> None:
        picture = {(s, k): url for s, keys in self.pictures.items() for k, url in keys.items()}
        assert picture == {key: self.urls[key] for key in self.deadlines}

    @invariant()
    def the_delta_since_the_start_is_everything(self) -> None:
        delta = self.table.log.delta(self.start_version)
        assert delta is not None
        assert {(s, k) for s, keys in delta.items() for k in keys} == set(self.deadlines)


RegistryAgainstModel.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestRegistryAgainstModel = RegistryAgainstModel.TestCase
