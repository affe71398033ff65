"""Who may be a peer: nodes that know the secret; without a secret this machine only; strangers are told no."""

import io
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import trio
import trio_websocket
from rich.console import Console

from artemis.cluster.table import cluster_table

from ...contract.waiting import eventually
from ...contract.wire import RPC, Answer, Connection, encoded, rpc
from ...pace import PATIENCE_S
from .clients import instance
from .clusters import REGION, SECRET, Place, open_real
from .observers import ids_at

STRANGER = "127.0.0.2"
"""On this machine, but no address of a node."""
SERVICE = "real.strangers"
REPLICATION = f"{RPC}/replication/registry"
WITHOUT_LANE = {"a": {"node": {"fast_lane": False}}}
"""In both lanes it is asked who calls."""


async def ask_as_stranger(place: Place, path: str, document: object, **headers: str) -> Answer:
    """A call from an address that is not that of a node."""
    with trio.socket.socket() as end:
        await end.bind((STRANGER, 0))
        await end.connect((place.host, place.port))
        return await Connection(trio.SocketStream(end)).ask("POST", path, encoded(document), **headers)


async def test_a_wrong_secret_is_refused_and_both_sides_say_so(tmp_path: Path) -> None:
    """Pitfall 26: a proof is asked for, not a marker."""
    # Neither has anybody to wait for.
    own = {"b": {"cluster": {"secret": "not the secret of the others"}}}
    settings = {"cluster": {"force_up": True}}
    refused = "the cluster secret is not the same on both nodes [wrong-secret]"
    async with open_real(tmp_path, 2, settings=settings, own=own, expected_errors=[refused]) as cluster:
        for name, other in (("a", "b"), ("b", "a")):
            said = await cluster.says(name, f"no link to {cluster.url(other)}: refused by the peer: {refused}")
            assert said["level"] == "error"
            await cluster.says(name, "was not accepted: the cluster secret is not the same on both nodes")
            peer = (await cluster.convergence(name))["peers"][cluster.url(other)]
            assert refused in peer["problem"], peer
            assert (peer["links"], peer["equal"], peer["status"]) == ([], None, None)
            assert SECRET not in str(await cluster.standing(name))
            complaints = [event for event in cluster.events(name) if event["level"] == "error"]
            assert len(complaints) == 1, "said once, not with each attempt"
        await rpc(cluster["a"], "registry/register", {"instances": [instance(SERVICE, "i1")]})
        assert await ids_at(cluster["b"], SERVICE) == set()


async def test_a_node_that_the_others_refuse_is_not_ready_and_every_command_says_why(tmp_path: Path) -> None:
    own = {"c": {"cluster": {"secret": "not the secret of the others"}}}
    refused = "the cluster secret is not the same on both nodes [wrong-secret]"
    async with open_real(tmp_path, 3, own=own, later=["c"], expected_errors=[refused]) as cluster:
        cluster.begin("c")
        said = await cluster.says("c", "this node is not ready", PATIENCE_S)
        assert refused in said["message"]

        async def refuses_by_both() -> bool:
            _, health = await cluster.health("c")
            return all(cluster.url(other) in health["reason"] for other in "ab")

        await eventually(refuses_by_both, PATIENCE_S)
        await trio.sleep(6)  # longer than a node waits for others that it does not find
        code, health = await cluster.health("c")
        assert (code, health["status"], health["ready"]) == (503, "starting", False)
        assert refused in health["reason"]
        ask_c = ["artemis.node", "status", "--url", cluster["c"].url]
        shown = await _output(*ask_c)
        assert "starting (no link to" in shown
        assert shown.count(refused) >= 3, "the reason, and the problem with each peer"
        page = io.StringIO()
        Console(file=page, width=400).print(cluster_table(await cluster.launcher.views(), {}))
        shown = page.getvalue()
        assert all(f"{cluster.url(other)}: refused by the peer: {refused}" in shown for other in "ab")
        assert "c: no link to http://" in shown
        for text in (shown, str(health), await _output(*ask_c, "--json")):
            assert SECRET not in text
            assert own["c"]["cluster"]["secret"] not in text
        for name in "ab":
            assert (await cluster.health(name))[0] == 200


async def _output(*arguments: str) -> str:
    """What a command writes, whatever it exits with."""
    done = await trio.run_process([sys.executable, "-m", *arguments], capture_stdout=True, check=False)
    return done.stdout.decode()


async def test_without_a_secret_this_machine_is_trusted_and_a_warning_says_so(tmp_path: Path) -> None:
    async with open_real(tmp_path, 2, secret="", own=WITHOUT_LANE) as cluster:
        warning = await cluster.says("a", "no cluster secret is configured: only peers on this machine are accepted")
        assert warning["level"] == "warning"
        await rpc(cluster["a"], "registry/register", {"instances": [instance(SERVICE, "i1")]})

        async def arrived() -> bool:
            return await ids_at(cluster["b"], SERVICE) == {"i1"}

        await eventually(arrived)
        for place in cluster.places.values():
            await _refuses_to_be_replicated_to(place, {}, {"x_artemis_secret": "a guess"}, {"x_artemis_secret": " "})


async def test_with_a_secret_strangers_need_it_and_the_peer_link_wants_a_proof(tmp_path: Path) -> None:
    async with open_real(tmp_path, 2, own=WITHOUT_LANE) as cluster:
        for place in cluster.places.values():
            await _refuses_to_be_replicated_to(
                place, {}, {"x_artemis_secret": "a guess"}, {"x_forwarded_for": "127.0.0.1"}
            )
            await _refuses_noise_on_the_link(place)
        assert (await cluster.convergence("a"))["digests"] == (await cluster.convergence("b"))["digests"]
        document = {"instances": [instance(SERVICE, "known")]}
        answer = await ask_as_stranger(cluster["a"], f"{REPLICATION}/register.json", document, x_artemis_secret=SECRET)
        assert answer.status == 200, "who knows the secret may come from anywhere"
        assert await ids_at(cluster["a"], SERVICE) == {"known"}


async def _refuses_to_be_replicated_to(place: Place, *attempts: Mapping[str, str]) -> None:
    before = await ids_at(place, SERVICE)
    document = {"instances": [instance(SERVICE, "planted")], "regionId": REGION}
    for name in ("register", "heartbeat", "unregister", "services"):
        for headers in attempts:
            answer = await ask_as_stranger(place, f"{REPLICATION}/{name}.json", document, **headers)
            assert answer.status == 403, answer
            assert f"{STRANGER} is not a node of this cluster" in answer.message
    assert await ids_at(place, SERVICE) == before


async def _refuses_noise_on_the_link(place: Place) -> None:
    """Whoever does not introduce himself is cut off, and nothing of what he says counts."""
    for noise in (b"", b"\x00" * 100, b"\xa1dkindfstates"):
        stream = await trio.open_tcp_stream(place.host, place.port)
        try:
            async with trio.open_nursery() as nursery:
                address = f"{place.host}:{place.port}"
                link = await trio_websocket.wrap_client_stream(nursery, stream, address, "/artemis/peer")
                with trio.fail_after(PATIENCE_S):
                    challenge: str | bytes = await link.get_message()
                    assert isinstance(challenge, bytes)
                    assert b"challenge" in challenge
                    await link.send_message(noise)
                    with pytest.raises(trio_websocket.ConnectionClosed):
                        await link.get_message()
                nursery.cancel_scope.cancel()
        finally:
            await trio.aclose_forcefully(stream)
