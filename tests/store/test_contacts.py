"""Contacts: how long two nodes were apart, whose memory counts, and what clocks that are wrong do to both."""

from artemis.store.contacts import PEERS_MAX, Absence, Contact, Contacts

TTL_MS = 600_000


def absence(contacts: Contacts, *, now_s: float, now_ms: int, memory_ms: int = 10**9) -> Absence | None:
    return contacts.absence("b", ttl_ms=TTL_MS, memory_ms=memory_ms, now_s=now_s, now_ms=now_ms)


def test_an_absence_is_long_when_tombstones_may_be_forgotten_before_the_comparison_ends() -> None:
    contacts = Contacts()
    contacts.met("b", now_s=100, now_ms=1_000_000, lease_s=90)
    assert absence(contacts, now_s=640, now_ms=1_540_000) is None
    long = absence(contacts, now_s=641, now_ms=1_541_000)
    assert long == Absence(Contact(1_000_000, 100, 90), conclusive=True)


def test_the_word_of_a_peer_counts_only_if_it_remembers_the_last_contact() -> None:
    contacts = Contacts({"b": 1_000_000})
    for memory_ms, conclusive in ((0, False), (999_999, False), (1_000_000, True)):
        found = absence(contacts, now_s=5, now_ms=2_000_000, memory_ms=memory_ms)
        assert found == Absence(Contact(1_000_000), conclusive=conclusive)


def test_without_a_contact_nothing_is_known() -> None:
    assert absence(Contacts({"c": 5}), now_s=5, now_ms=10) == Absence(None, conclusive=False)


def test_a_wall_clock_that_went_back_makes_the_absence_one_of_unknown_length() -> None:
    contacts = Contacts({"b": 1_000_000})
    assert absence(contacts, now_s=5, now_ms=999_000) == Absence(Contact(1_000_000), conclusive=False)


def test_while_a_process_runs_the_clock_counts_that_shows_more() -> None:
    contacts = Contacts()
    contacts.met("b", now_s=100, now_ms=1_000_000)
    assert absence(contacts, now_s=800, now_ms=900_000) is not None, "the wall clock went back"
    assert absence(contacts, now_s=101, now_ms=1_700_000) is not None, "the machine slept, or the wall clock jumped"
    assert absence(contacts, now_s=101, now_ms=1_001_000) is None


def test_an_older_contact_does_not_replace_a_newer_one() -> None:
    """A round counts from when it began, and an equal digest may have come in meanwhile."""
    contacts = Contacts({"b": 9_000_000})
    contacts.met("b", now_s=100, now_ms=1_000_000)
    contacts.met("b", now_s=90, now_ms=990_000)
    assert contacts.stored() == {"b": 1_000_000}


def test_memory_grows_with_time_and_with_what_is_taken_over() -> None:
    contacts = Contacts(memory_ms=1_000, now_s=50)
    assert contacts.remembers_ms(now_s=60) == 11_000
    contacts.inherit(5_000, now_s=60)
    assert contacts.remembers_ms(now_s=60) == 11_000
    contacts.inherit(30_000, now_s=60)
    assert contacts.remembers_ms(now_s=61) == 31_000


def test_contacts_are_bounded_and_the_oldest_are_forgotten() -> None:
    contacts = Contacts()
    for number in range(PEERS_MAX + 5):
        contacts.met(f"n{number}", now_s=number, now_ms=number)
    assert len(contacts.stored()) == PEERS_MAX
    assert "n4" not in contacts.stored()
    assert f"n{PEERS_MAX + 4}" in contacts.stored()
