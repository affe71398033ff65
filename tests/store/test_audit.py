"""The audit log: order, bounds, questions, and how two logs become one."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artemis.store.management.audit import AuditEntry, AuditLimits, AuditLog, AuditQuery
from artemis.store.management.records import Audit

KINDS = ("instance-operation", "group")


def audit(sequence: int, *, origin: int = 1, time_ms: int | None = None, **fields: str) -> Audit:
    entry = AuditEntry(
        kind=fields.pop("kind", KINDS[sequence % 2]),
        target=fields.pop("target", f"lab/svc.a/i{sequence % 5}"),
        operation=fields.pop("operation", "out"),
        operator_id=fields.pop("operator_id", "op"),
        fields=dict(fields),
    )
    return Audit(origin, sequence, sequence * 10 if time_ms is None else time_ms, msgspec.json.encode(entry))


def log_of(*audits: Audit, age_ms: int = 10**12, count: int = 1000) -> AuditLog:
    log = AuditLog(AuditLimits(age_ms=age_ms, count=count))
    log.add(audits)
    return log


def sequences(log: AuditLog, query: AuditQuery) -> list[int]:
    return [row.audit.sequence for row, _ in log.query(query)]


def test_pages_go_back_from_the_newest_without_gap_or_repetition() -> None:
    log = log_of(*(audit(n) for n in range(1, 26)))
    seen: list[int] = []
    before_id = None
    while page := log.query(AuditQuery(limit=10, before_id=before_id)):
        seen += [row.audit.sequence for row, _ in page]
        before_id = page[-1][0].id
    assert seen == list(range(25, 0, -1))


def test_filters_are_combined_and_ignore_case() -> None:
    log = log_of(
        audit(1, kind="group", operator_id="Ann", target="svc.a/lab/zone1/g1", serviceId="Svc.A"),
        audit(2, kind="group", operator_id="Bob", target="svc.b/lab/zone1/g1", serviceId="svc.b"),
        audit(3, kind="canary", operator_id="ann", serviceId="svc.a", operation="canary"),
    )
    assert sequences(log, AuditQuery(operator_id="ANN")) == [3, 1]
    assert sequences(log, AuditQuery(operator_id="ann", kinds=frozenset({"group"}))) == [1]
    assert sequences(log, AuditQuery(fields={"serviceId": "SVC.A"})) == [3, 1]
    assert sequences(log, AuditQuery(fields={"operation": "Canary", "serviceId": "svc.a"})) == [3]
    assert sequences(log, AuditQuery(target="SVC.B/lab/zone1/g1")) == [2]
    assert sequences(log, AuditQuery(since_ms=20, until_ms=20)) == [2]
    assert sequences(log, AuditQuery(fields={"serviceId": "none"})) == []
    assert sequences(log, AuditQuery(before_id=4711)) == []


def test_age_and_count_bound_the_log_and_its_lists() -> None:
    log = log_of(*(audit(n) for n in range(1, 11)), age_ms=50, count=3)
    gone = log.forget(now_ms=100)
    assert [item.sequence for item in gone] == list(range(1, 8))
    assert sequences(log, AuditQuery()) == [10, 9, 8]
    assert sequences(log, AuditQuery(kinds=frozenset({"group"}))) == [9]
    assert [item.sequence for item in log.forget(now_ms=145)] == [8, 9]
    assert sequences(log, AuditQuery(fields={"operation": "out"})) == [10]
    assert log.next_sequence(1) == 11, "numbers are never used again"


def test_news_that_arrives_late_takes_its_place_in_time() -> None:
    log = log_of(audit(1, time_ms=10), audit(2, time_ms=30))
    log.add([audit(1, origin=2, time_ms=20)])
    assert [(row.audit.origin, row.audit.sequence) for row in log.rows()] == [(1, 1), (2, 1), (1, 2)]


def test_what_is_held_is_not_added_again_and_never_rewritten() -> None:
    log = log_of(audit(1))
    assert log.add([audit(1, operator_id="forger")]) == []
    assert sequences(log, AuditQuery(operator_id="forger")) == []


def test_a_gap_is_asked_for_again_and_what_was_forgotten_everywhere_is_not() -> None:
    log = log_of(audit(1), audit(2))
    log.merge([audit(5)])
    assert log.vector() == {1: 2}
    log.merge([audit(4)], complete=True)
    assert log.vector() == {1: 5}


def test_after_a_restart_numbers_go_on_and_old_gaps_are_not_waited_for() -> None:
    log = AuditLog(AuditLimits())
    log.restore([audit(9), audit(7), audit(8), audit(3, origin=2), audit(5, origin=2)])
    assert log.vector() == {1: 9, 2: 3}
    assert log.next_sequence(1) == 10
    assert log.next_sequence(2) == 6


def test_a_payload_that_is_no_audit_is_refused() -> None:
    with pytest.raises(msgspec.MsgspecError):
        log_of(Audit(1, 1, 1, b"{}"))


@given(st.lists(st.integers(0, 1), max_size=40), st.integers(1, 5))
def test_logs_that_exchange_become_equal(writes: list[int], limit: int) -> None:
    logs = (AuditLog(AuditLimits()), AuditLog(AuditLimits()))
    for side in writes:
        origin = side + 1
        logs[side].add([audit(logs[side].next_sequence(origin), origin=origin)])
    for _ in range(len(writes) + 1):
        for ours, theirs in (logs, logs[::-1]):
            ours.merge(theirs.after(ours.vector(), limit), complete=True)
    held = [[row.id for row in log.rows()] for log in logs]
    assert held[0] == held[1]
    assert len(held[0]) == len(writes)
