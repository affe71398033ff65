"""BETTER: every place where this node deliberately does something else than the original, and why.

A Java client cannot tell the difference, or only for the better. Each entry names the test that shows what is done
here; `test_captured_exchanges.py` sees to it that these tests exist.
"""

from typing import Final, NamedTuple


class Deviation(NamedTuple):
    """What the original does, what this node does, why, and the test that shows it."""

    original: str
    here: str
    reason: str
    test: str


BETTER: Final[dict[str, Deviation]] = {
    # What clients see of instances
    "case": Deviation(
        "finds services by the exact spelling; one instance in two spellings leaves a zombie that is never swept",
        "ids match regardless of case everywhere; the newest spelling is shown",
        "a client that registers MyService and asks for myservice must find it",
        "test_there_is_one_instance_of_one_identity",
    ),
    "unregister": Deviation(
        "marks the lease; the instance stays visible until the sweeper has pushed its deletion",
        "the instance is gone with the answer, and its deletion is pushed at once",
        "traffic must not reach what has said farewell",
        "test_an_instance_is_gone_with_the_answer_that_says_so",
    ),
    "register-again": Deviation(
        "every register pushes `new`, unchanged data included",
        "unchanged data only renews the lease; changed data is pushed as `new`, on /ws as `change`",
        "a restart of clients must not be a storm for their consumers",
        "test_unchanged_data_is_not_pushed",
    ),
    "order-of-pushes": Deviation(
        "ten threads push; of two quick changes of an instance the older one may win",
        "changes of a service are pushed in the order in which they happened, one revision for push and pull",
        "what was pushed last must be what is true",
        "test_pushes_and_answers_agree_at_every_moment",
    ),
    "legacy-flag": Deviation(
        "heartbeat and unregister of a legacy instance must carry its flag again",
        "the flag of the registration counts; an instance may also ask for a lease time of its own",
        "the identity names the lease, not the metadata that happens to come along",
        "test_a_legacy_instance_has_the_other_lease",
    ),
    "bulk-answers": Deviation(
        "services and services-delta are up to 30 s old, and of version 0 in the first minute",
        "both are live, versions rise with every change, and deltas reach back to any version that is remembered",
        "a bulk answer must not contradict a single one",
        "test_an_answer_is_never_older_than_what_was_answered_before_it",
    ),
    "places": Deviation(
        "takes a blank zone or ip as it is, and compares texts: pull-outs of zones and servers miss such instances",
        "a blank zone is the node's, a blank ip the host of the url when it is an address; addresses have one spelling",
        "who takes a server out means the instances that are on it",
        "test_an_instance_without_zone_and_ip_is_pulled_out_with_both",
    ),
    "status": Deviation(
        "shows the status of an instance as it was sent",
        "shows it in lower case, like the constants of the contract",
        "clients of the other API know these words in no other case, and an instance that is `UP` is up",
        "test_pushes_and_answers_have_no_null_for_zone_and_ip_and_the_status_in_lower_case",
    ),
    # What clients may send
    "limits": Deviation(
        "has no limit of its own on bodies, headers, instances per request, or lengths of names",
        "has one on each, answered 413, 431, 400, or by failing that instance with bad-request",
        "one client must not be able to fill the memory of all others",
        "test_an_instance_beyond_a_limit_fails_and_the_others_pass",
    ),
    "large-texts": Deviation(
        "closes a WebSocket over a text of more than 8192 characters",
        "takes 64 KiB",
        "a heartbeat of some twenty instances is larger than the limit of the original",
        "test_a_text_of_the_original_s_limit_and_more_is_taken",
    ),
    "large-pushes": Deviation(
        "pushes whatever size a change has; the client drops the session over more than 8 KiB",
        "a change that does not fit is a reload; a heartbeat answer names as many failed instances as fit",
        "a client in a loop of reconnections hears of nothing",
        "test_a_change_too_large_for_the_client_is_a_reload",
    ),
    "compress": Deviation(
        "reads Content-Encoding compress (LZW) too",
        "answers 415 that names gzip and deflate",
        "no client sends it, and Python has no decoder that could be bounded",
        "test_an_encoding_that_nobody_speaks_is_415_and_says_which_are",
    ),
    "all-services": Deviation(
        "registers a service called *",
        "refuses it",
        "* means all services to whoever subscribes",
        "test_no_service_is_called_like_all_of_them",
    ),
    # Who may do what
    "peers": Deviation(
        "the replication endpoints are open to everybody",
        "a caller is a listed node, or sends the secret of the cluster; on a lone node without a secret, is local",
        "who may write past all checks must be known",
        "test_strangers_may_not_replicate",
    ),
    "credentials": Deviation(
        "sends Access-Control-Allow-Credentials: true beside an origin of *",
        "leaves it out unless origins are named and credentials switched on",
        "browsers refuse the combination anyway, and where they do not it is an open door",
        "test_no_answer_offers_credentials_to_every_origin",
    ),
    "origins": Deviation(
        "every path and WebSocket may be used by scripts of every origin",
        "only by those of the node's own origin, and of the origins that are named; * names all, for /artemis only",
        "a page that somebody happens to visit must not be able to register, unregister, or pull out a zone",
        "test_scripts_of_other_origins_get_no_access",
    ),
    # The life of a node
    "lone-node": Deviation(
        "a node without peers, or whose peers hold nothing, stays `starting` for ever unless it is forced up",
        "a lone node is up at once; others when they have synchronised with one that is up, or found none",
        "an empty registry is a valid one",
        "test_a_captured_exchange_is_answered_in_the_same_way",
    ),
    "forced-down": Deviation(
        "a force-down of registry or discovery has no effect while the status is up",
        "a node that is forced down serves no clients, and says so",
        "an operator who takes a node out means it",
        "test_the_state_of_the_node_comes_before_the_instances",
    ),
    "age-of-sessions": Deviation(
        "looks once a minute for sessions that are too old",
        "a session ends when it has reached its age, with a reason; /ws sessions have none",
        "less to wait for, and nothing to be gained where clients resume by revision",
        "test_sessions_end_at_their_age_however_busy_they_are_and_watches_do_not",
    ),
    "silent-sessions": Deviation(
        "keeps a WebSocket of which nothing is asked, or whose client is gone, until its age ends it",
        "closes the one with 1008 after a minute, and cuts the other when it answers no ping",
        "sockets that nobody uses must not take the places of others",
        "test_a_socket_of_which_nothing_is_asked_is_closed",
    ),
    # What answers hold
    "reach": Deviation(
        "says success to an operation, whatever it is about",
        "says in a header how many instances of how many services it hits, and refuses the region of another cluster",
        "who mistypes a zone or a region must learn it at once",
        "test_rpc_answers_say_it_in_a_header",
    ),
    "extra-fields": Deviation(
        "leases hold what the original knows of them; cluster.json a count and the states",
        "leases also tell which are overdue, services which are protected, cluster.json whether nodes agree, and it and"
        " node.json what is wrong with the disk while something is",
        "clients ignore unknown fields; operators need these",
        "test_a_row_answers_as_the_contract_has_it",
    ),
    "lease-counters": Deviation(
        "counts heartbeats only, and remembers the largest window for ten minutes",
        "counts every renewal, and decides nothing by the counts",
        "arrivals come in bursts, whatever the leases do; see docs/decisions/self-preservation.md",
        "test_a_captured_exchange_is_answered_in_the_same_way",
    ),
    "configuration": Deviation(
        "lists properties that were already touched",
        "lists every setting with its source, and no secret",
        "an operator asks what is in force, not what has been looked at",
        "test_the_configuration_is_shown_with_the_source_of_each_value_and_without_secrets",
    ),
}
