"""Membership: what is made of silence, of words, and of farewells; and when a node may call itself up."""

import pytest

from artemis.actors.cluster_settings import ClusterSettings, Forced
from artemis.actors.frames import Word
from artemis.actors.handshake import ITSELF, Identity, Refused
from artemis.actors.membership import BecameUp, Membership, PeerFound, PeerLeft, PeerLost, find_self

A, B, C = "http://a:1", "http://b:1", "http://c:1"


def membership(*others: str, forced: Forced | None = None, dialect: str = "link") -> Membership:
    settings = ClusterSettings(
        cluster="test",
        region="lab",
        zone="z",
        node_id="a",
        url=A,
        nodes={"z": [A, *others]},
        dialects=dict.fromkeys(others, dialect),  # type: ignore[arg-type]
        forced=forced or Forced(),
    )
    return Membership(settings, now_s=0.0)


def identity(url: str, incarnation: int = 1) -> Identity:
    return Identity("test", "lab", "z", url, url, incarnation)


def word(status: str = "up") -> Word:
    return Word(status=status, now_ms=0, can_register=status == "up", can_discover=status == "up")


def link(members: Membership, url: str, *, status: str = "up", now_s: float = 0.0) -> None:
    members.opened(url, identity(url), word(status), now_s=now_s, now_ms=int(now_s * 1000))


def ready(members: Membership, now_s: float) -> bool:
    return any(isinstance(transition, BecameUp) for transition in members.tick(now_s=now_s))


def test_a_peer_grows_suspicious_by_silence_and_is_found_by_a_word() -> None:
    members = membership(B)
    assert members.members[B].state == "unknown"
    link(members, B)
    assert members.members[B].state == "up"
    origin = identity(B).origin
    members.tick(now_s=2.0)
    assert members.members[B].state == "up"
    assert PeerLost(origin) in members.tick(now_s=2.6)
    assert members.members[B].state == "suspect"
    assert members.tick(now_s=3.0) == []
    assert members.heard(B, now_s=3.1, now_ms=3100) == [PeerFound(origin)]
    assert members.members[B].state == "up"
    assert members.members[B].heard_ms == 3100
    members.tick(now_s=6.0)
    members.tick(now_s=14.0)
    assert members.members[B].state == "down"


def test_words_that_arrive_late_are_as_good_as_silence() -> None:
    """Pitfall 1: behind a slow link a peer is heard all the time, but not what it heard lately."""
    members = membership(B)
    link(members, B)
    origin = identity(B).origin
    lost_s = []
    for tenth in range(1, 60):
        now_s = tenth / 10
        assert members.heard(B, now_s=now_s, now_ms=0, late_s=now_s) == []
        lost_s += [now_s for transition in members.tick(now_s=now_s) if transition == PeerLost(origin)]
    assert lost_s == [2.6]
    assert members.members[B].state == "suspect"
    assert members.heard(B, now_s=6.0, now_ms=0, late_s=0.2) == [PeerFound(origin)]
    assert members.members[B].state == "up"


def test_a_link_that_breaks_and_is_back_at_once_makes_no_suspects() -> None:
    members = membership(B)
    link(members, B)
    members.tick(now_s=0.1)
    members.closed(B, problem="reset")
    assert members.members[B].state == "suspect"
    assert members.members[B].problem == "reset"
    assert members.tick(now_s=1.0) == []
    assert members.opened(B, identity(B), word(), now_s=1.1, now_ms=1100) == []
    assert members.members[B].state == "up"


def test_one_of_two_links_may_break() -> None:
    members = membership(B)
    link(members, B)
    link(members, B)
    members.closed(B, problem="reset")
    assert members.members[B].state == "up"


def test_a_farewell_is_believed_at_once_and_leaves_no_suspects() -> None:
    members = membership(B)
    link(members, B)
    assert members.said_goodbye(B) == [PeerLeft(identity(B).origin)]
    assert members.members[B].state == "down"
    members.heard(B, now_s=1.0, now_ms=1000)
    members.closed(B, problem="left")
    assert members.members[B].state == "down"
    members.tick(now_s=0.0)
    assert members.tick(now_s=30.0) == []
    link(members, B, now_s=31.0)
    assert members.members[B].state == "up"


def test_a_guest_that_is_not_in_the_list_is_known_while_it_is_here() -> None:
    members = membership(B)
    link(members, C)
    assert not members.members[C].configured
    members.closed(C, problem="gone")
    members.tick(now_s=5.0)
    members.tick(now_s=11.0)
    assert C not in members.members


def test_a_lone_node_is_up() -> None:
    assert ready(membership(), 0.0)


def test_a_node_is_up_when_it_has_synchronised_with_one_that_is() -> None:
    members = membership(B, C)
    link(members, B)
    assert not ready(members, 100.0 - 99.0)
    members.synchronised(B)
    assert ready(members, 1.0)
    assert members.status == "up"
    assert not ready(members, 1.0)


def test_a_draining_peer_is_as_good_a_source() -> None:
    members = membership(B)
    link(members, B, status="draining")
    members.synchronised(B)
    assert ready(members, 0.1)


def test_while_a_peer_that_is_up_can_be_reached_nothing_else_counts() -> None:
    members = membership(B, C)
    link(members, B)
    members.attempted(C, refused=True, problem="refused")
    for second in range(60):
        members.heard(B, now_s=float(second), now_ms=0)
        assert not ready(members, float(second))


def test_peers_that_are_absent_or_new_themselves_are_no_reason_to_wait() -> None:
    members = membership(B, C)
    members.attempted(B, refused=True, problem="refused")
    assert not ready(members, 0.1)
    link(members, C, status="starting", now_s=0.1)
    assert not ready(members, 0.2)
    members.synchronised(C)
    assert ready(members, 0.2)


def test_peers_that_cannot_be_reached_are_waited_for_a_while() -> None:
    members = membership(B)
    members.attempted(B, refused=False, problem="timeout")
    assert not ready(members, 3.9)
    assert ready(members, 4.0)


def test_a_source_that_was_lost_during_synchronisation_is_waited_for_again() -> None:
    members = membership(B)
    link(members, B, now_s=3.0)
    members.tick(now_s=3.0)
    members.closed(B, problem="reset")
    assert not ready(members, 6.9)
    assert ready(members, 7.1)


@pytest.mark.parametrize(
    ("forced", "status", "registry", "discovery"),
    [
        (Forced(), "starting", None, None),
        (Forced(up=True), "up", True, True),
        (Forced(down=True), "down", False, False),
        (Forced(registry_up=True), "starting", True, None),
        (Forced(registry_up=True, registry_down=True), "starting", False, None),
        (Forced(discovery_up=True), "starting", None, True),
        (Forced(discovery_down=True), "starting", None, False),
        (Forced(up=True, registry_down=True), "up", True, True),
    ],
)
def test_what_an_operator_forces_goes_before_what_is_found_out(
    forced: Forced, status: str, registry: bool | None, discovery: bool | None
) -> None:
    members = membership(B, forced=forced)
    assert (members.status, members.can_register, members.can_discover) == (status, registry, discovery)


def test_a_draining_node_serves_nobody_new() -> None:
    members = membership(forced=Forced(up=True))
    members.drain()
    assert (members.status, members.can_register, members.can_discover) == ("draining", False, False)


def test_a_peer_of_the_rpc_dialect_may_be_silent_between_two_polls() -> None:
    members = membership(B, dialect="rpc")
    members.told(B, word(), now_s=0.0, now_ms=1)
    members.tick(now_s=7.0)
    assert members.members[B].state == "up"
    members.tick(now_s=9.0)
    assert members.members[B].state == "suspect"


@pytest.mark.parametrize(
    ("host", "port", "expected"),
    [("10.0.0.1", 8080, "http://10.0.0.1:8080"), ("Host", 80, "http://host"), ("10.0.0.1", 808, None)],
)
def test_a_node_finds_itself_in_the_list(host: str, port: int, expected: str | None) -> None:
    assert find_self(["http://10.0.0.2:8080", "http://10.0.0.1:8080", "http://host"], host=host, port=port) == expected


def test_a_guest_that_was_lost_and_forgotten_is_found_when_it_is_back() -> None:
    members = membership(B)
    origin = identity(C).origin
    link(members, C)
    members.closed(C, problem="cut")
    assert PeerLost(origin) in members.tick(now_s=3.0)
    members.tick(now_s=11.0)
    members.tick(now_s=12.0)
    assert C not in members.members
    assert PeerFound(origin) in members.opened(C, identity(C), word(), now_s=20.0, now_ms=20_000)


def test_a_node_that_comes_back_under_another_name_ends_the_wait_for_the_old_one() -> None:
    members = membership(B)
    link(members, B)
    members.closed(B, problem="cut")
    assert PeerLost(identity(B).origin) in members.tick(now_s=3.0)
    renamed = Identity("test", "lab", "z", "another name", B, 2)
    assert PeerFound(identity(B).origin) in members.opened(B, renamed, word(), now_s=4.0, now_ms=4000)


def test_a_peer_that_was_restarted_has_to_be_synchronised_with_again() -> None:
    """The new process says hello while the link of the old one has not yet been noticed to be gone."""
    members = membership(B)
    link(members, B, status="starting")
    members.synchronised(B)
    members.opened(B, identity(B, incarnation=2), word("up"), now_s=0.1, now_ms=100)
    members.closed(B, problem="the old link")
    assert not members.members[B].synchronised
    assert not ready(members, 1.0)
    members.synchronised(B)
    assert ready(members, 1.1)


def refuse(members: Membership, url: str, code: str = "wrong-secret", *, status: str = "up") -> None:
    refusal = Refused(code, "the cluster secret is not the same on both nodes", by_peer=True, status=status)
    members.attempted(url, refused=False, problem=str(refusal), answered=True, refusal=refusal)


@pytest.mark.parametrize(
    "code", ["wrong-secret", "clock-drift", "same-node-id", "incompatible-version", "other-region"]
)
@pytest.mark.parametrize("status", ["up", "draining", ""])
def test_a_node_that_every_peer_refuses_is_never_up(code: str, status: str) -> None:
    members = membership(B, C)
    for second in range(200):
        refuse(members, B, code, status=status)
        members.attempted(C, refused=True, problem="nobody listens")
        assert not ready(members, float(second))
    assert members.status == "starting"
    assert B in members.reason
    assert code in members.reason
    assert members.verdict.fault == code


def test_a_refusal_counts_until_the_peer_is_gone_or_another_one_takes_us() -> None:
    members = membership(B, C)
    refuse(members, B)
    link(members, C)
    assert not ready(members, 1.0)
    members.synchronised(C)
    assert ready(members, 1.0)
    members = membership(B)
    refuse(members, B)
    assert not ready(members, 10.0)
    members.answered(B)
    assert not ready(members, 10.0), "another attempt has begun, and nothing is known of it"
    members.attempted(B, refused=True, problem="nobody listens")
    assert ready(members, 10.0)


def test_a_refusal_of_a_node_that_leaves_is_none() -> None:
    members = membership(B)
    refuse(members, B, "leaving")
    assert members.members[B].refuses is None


def test_an_operator_may_force_a_node_up_that_is_refused() -> None:
    members = membership(B, forced=Forced(up=True))
    refuse(members, B)
    members.tick(now_s=10.0)
    assert (members.status, members.reason) == ("up", "")
    assert not members.is_synchronised


@pytest.mark.parametrize(
    ("with_us", "against_us", "expected"), [(0, 1, False), (1, 1, True), (1, 2, False), (2, 2, True), (0, 2, False)]
)
def test_among_nodes_that_start_together_the_greater_part_is_up(with_us: int, against_us: int, expected: bool) -> None:
    friends, strangers = (B, C)[:with_us], ("http://d:1", "http://e:1")[:against_us]
    members = membership(*friends, *strangers)
    for url in strangers:
        refuse(members, url, status="starting")
    for url in friends:
        link(members, url, status="starting")
        assert not ready(members, 0.1)
        members.synchronised(url)
    assert ready(members, 0.1) is expected
    if not expected:
        refuse(members, strangers[0], status="starting")
        assert not ready(members, 100.0)


def test_a_peer_that_answers_is_waited_for_but_a_black_hole_not_for_ever() -> None:
    members = membership(B)
    members.answered(B)
    assert not ready(members, 5.0)
    assert B in members.reason
    members.attempted(B, refused=False, problem="no introduction", answered=True)
    assert not ready(members, 29.9)
    assert ready(members, 30.0)


def test_a_peer_that_was_absent_and_answers_now_is_waited_for() -> None:
    members = membership(B, C)
    members.attempted(B, refused=True, problem="nobody listens")
    members.answered(B)
    members.attempted(C, refused=True, problem="nobody listens")
    assert not ready(members, 10.0)
    link(members, B, now_s=10.0)
    members.synchronised(B)
    assert ready(members, 10.0)


def test_peers_that_start_too_are_waited_for_until_they_have_synchronised_or_too_long() -> None:
    members = membership(B)
    link(members, B, status="starting")
    for second in range(30):
        members.heard(B, now_s=float(second), now_ms=0)
        assert not ready(members, float(second))
    assert ready(members, 30.0)


def test_a_peer_that_turns_silent_is_not_waited_for_as_one_that_answers() -> None:
    members = membership(B)
    members.answered(B)
    members.attempted(B, refused=False, problem="timeout")
    assert ready(members, 4.0)


def test_a_peer_of_the_rpc_dialect_that_starts_has_nothing_to_tell() -> None:
    members = membership(B, dialect="rpc")
    members.told(B, word("starting"), now_s=0.0, now_ms=1)
    assert ready(members, 0.1)


def test_a_peer_of_the_rpc_dialect_that_hangs_is_waited_for() -> None:
    members = membership(B, dialect="rpc")
    members.attempted(B, refused=False, problem="no answer within 2 s", answered=True)
    assert not ready(members, 10.0)
    members.told(B, word(), now_s=10.0, now_ms=1)
    assert not ready(members, 10.0)
    members.synchronised(B)
    assert ready(members, 10.0)


@pytest.mark.parametrize("code", ["same-node-id", "same-origin", ITSELF])
def test_a_node_whose_name_is_taken_is_not_up_whoever_else_takes_it(code: str) -> None:
    members = membership(B, C)
    refuse(members, B, code, status="up")
    link(members, C)
    members.synchronised(C)
    assert not ready(members, 100.0)
    assert code in members.reason


def test_a_node_that_is_not_in_its_own_list_is_not_up_and_says_which_setting() -> None:
    settings = ClusterSettings("test", "lab", "z", "a", A, nodes={"z": [B, C]})
    members = Membership(settings, now_s=0.0)
    link(members, B)
    members.synchronised(B)
    assert not ready(members, 100.0)
    assert all(text in members.reason for text in ("cluster.nodes", "node.url", A))
    refuse(members, C, ITSELF)
    assert not ready(members, 100.0)
    assert f"calls this node {C}" in members.reason


def test_reasons_are_given_for_every_state_but_up() -> None:
    members = membership(B)
    members.tick(now_s=0.0)
    assert members.reason == "looking for other nodes"
    members.drain()
    assert members.reason == "this node is stopping"
    assert membership(B, forced=Forced(down=True)).reason == "cluster.force_down is set"
