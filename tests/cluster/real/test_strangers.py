"""Who may be a peer: nodes that know the secret; without a secret this machine only; strangers are told no."""

from pathlib import Path
from typing import Any

import pytest
import trio
import trio_websocket

from ...contract.waiting import eventually
from ...contract.wire import RPC, Answer, Connection, ask, encoded, rpc
from .clients import instance
from .clusters import REGION, SECRET, Place, open_real
from .observers import ids_at

STRANGER = "127.0.0.2"
"""On this machine, but no address of a node."""
SERVICE = "real.strangers"


async def ask_as_stranger(place: Place, path: str, document: object, **headers: str) -> Answer:
    """A call from an address that is not that of a node."""
    with trio.socket.socket() as end:
        await end.bind((STRANGER, 0))
        await end.connect((place.host, place.port))
        return await Connection(trio.SocketStream(end)).ask("POST", path, encoded(document), **headers)


async def test_a_wrong_secret_is_refused_and_both_sides_say_so(tmp_path: Path) -> None:
    """Pitfall 26: a proof is asked for, not a marker."""
    own = {"b": {"cluster": {"secret": "not the secret of the others"}}}
    refused = "the cluster secret is not the same on both nodes [wrong-secret]"
    async with open_real(tmp_path, 2, own=own, expected_errors=[refused]) as cluster:
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


async def test_without_a_secret_this_machine_is_trusted_and_a_warning_says_so(tmp_path: Path) -> None:
    async with open_real(tmp_path, 2, secret="") as cluster:
        warning = await cluster.says("a", "no cluster secret is configured: only peers on this machine are accepted")
        assert warning["level"] == "warning"
        await rpc(cluster["a"], "registry/register", {"instances": [instance(SERVICE, "i1")]})

        async def arrived() -> bool:
            return await ids_at(cluster["b"], SERVICE) == {"i1"}

        await eventually(arrived)


@pytest.mark.parametrize("secret", [SECRET, ""], ids=["secret", "no-secret"])
async def test_replication_endpoints_refuse_strangers(tmp_path: Path, secret: str) -> None:
    own: dict[str, Any] = {"a": {"node": {"fast_lane": False}}}  # b has it: both lanes ask who is calling
    async with open_real(tmp_path, 2, secret=secret, own=own) as cluster:
        for place in cluster.places.values():
            for name in ("register", "heartbeat", "unregister", "services"):
                path = f"{RPC}/replication/registry/{name}.json"
                document = {"instances": [instance(SERVICE, "planted")], "regionId": REGION}
                for headers in ({}, {"x_artemis_secret": "a guess"}, {"x_forwarded_for": "127.0.0.1"}):
                    answer = await ask_as_stranger(place, path, document, **headers)
                    assert answer.status == 403, answer
                    assert f"{STRANGER} is not a node of this cluster" in answer.message
                if secret:
                    answer = await ask_as_stranger(place, path, document, x_artemis_secret=secret)
                    assert answer.status == 200, "who knows the secret may come from anywhere"
                else:
                    assert (await ask_as_stranger(place, path, document, x_artemis_secret="")).status == 403
            assert await ids_at(place, SERVICE) == set()


async def test_the_peer_link_takes_nothing_from_somebody_without_a_proof(tmp_path: Path) -> None:
    async with open_real(tmp_path, 2) as cluster:
        place = cluster["a"]
        before = await cluster.convergence("a")
        for noise in (b"", b"\x00" * 100, b"\xa1dkindfstates"):
            stream = await trio.open_tcp_stream(place.host, place.port)
            try:
                async with trio.open_nursery() as nursery:
                    link = await trio_websocket.wrap_client_stream(
                        nursery, stream, f"{place.host}:{place.port}", "/artemis/peer"
                    )
                    with trio.fail_after(10):
                        challenge = await link.get_message()
                        assert b"challenge" in bytes(challenge)  # type: ignore[arg-type]
                        await link.send_message(noise)
                        with pytest.raises(trio_websocket.ConnectionClosed):
                            await link.get_message()
                    nursery.cancel_scope.cancel()
            finally:
                await trio.aclose_forcefully(stream)
        assert (await cluster.convergence("a"))["digests"] == before["digests"]
        answer = await ask(place, "GET", "/artemis/peer")
        assert answer.status in (400, 426), "no page for browsers"
        await eventually(cluster.sees_equality)
