"""Deltas: the net effect of the changes since a version, while the log reaches back."""

from artemis.store.changes import ChangeLog, ChangeType, InstanceChange, ServiceChange


def step(version: int, *changes: tuple[ChangeType, str]) -> ServiceChange:
    ones = tuple(InstanceChange(kind, b"{}", key, version) for kind, key in changes)
    return ServiceChange("svc.a", "svc.a", version, ones, False, version, version)


def net(log: ChangeLog, version: int) -> dict[str, str] | None:
    delta = log.delta(version)
    return None if delta is None else {key: one.change_type for key, one in delta.get("svc.a", {}).items()}


def test_what_came_and_went_leaves_nothing_and_what_returned_neither() -> None:
    log = ChangeLog(100, 0)
    log.add(step(1, ("new", "i1"), ("new", "i2")))
    log.add(step(2, ("delete", "i1")))
    log.add(step(3, ("delete", "i2")))
    log.add(step(4, ("new", "i2")))
    assert net(log, 0) == {"i2": "new"}
    assert net(log, 1) == {"i1": "delete"}
    assert net(log, 4) == {}


def test_a_change_of_data_is_new_to_who_did_not_know_the_instance_and_nothing_to_others() -> None:
    log = ChangeLog(100, 0)
    log.add(step(1, ("new", "i1")))
    log.add(step(2, ("change", "i1")))
    assert net(log, 0) == {"i1": "new"}
    assert net(log, 1) == {}


def test_beyond_its_bound_the_log_forgets_and_says_so() -> None:
    log = ChangeLog(3, 0)
    for version in range(1, 6):
        log.add(step(version, ("new", f"i{version}")))
    assert net(log, 0) is None
    assert net(log, 1) is None
    assert net(log, 2) == {"i3": "new", "i4": "new", "i5": "new"}


def test_one_step_larger_than_the_log_is_still_kept() -> None:
    log = ChangeLog(3, 0)
    kinds: list[tuple[ChangeType, str]] = [("new", f"i{n}") for n in range(10)]
    log.add(step(1, *kinds))
    assert len(net(log, 0) or {}) == 10


def test_large_instances_shorten_the_log() -> None:
    log = ChangeLog(100, 0, bytes_max=10)
    for version in range(1, 9):
        log.add(step(version, ("new", f"i{version}")))  # of two bytes each
    assert net(log, 2) is None
    assert len(net(log, 3) or {}) == 5
