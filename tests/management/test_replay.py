"""Appendix A.2 of the RPC contract, replayed against a node over HTTP, ids and times aside."""

from pathlib import Path

import msgspec

from artemis.store.instances import encode_instance

from ..contract.building import SUCCESS
from ..contract.nodes import NodeProcess
from ..contract.samples_management import EXCHANGES
from ..contract.wire import RPC, ask, encoded
from ..store.building import instance
from ..transport.test_management_replay import LEFT_OUT, SHARED, Ids, expected
from .conftest import LIMITS

MANAGEMENT = "/api/management/"
LEASES = {"registry": {"lease_ttl_s": 20}}
"""As the original had them: the exchanges show the lease of an instance."""


async def test_the_captured_exchanges_are_answered_over_the_wire_as_the_original_did(tmp_path: Path) -> None:
    node, ids, left_out = NodeProcess(tmp_path, {**LIMITS, **LEASES}).start(), Ids(), dict(LEFT_OUT)
    try:
        both = instance("i1", url="http://10.0.0.1:8090/"), instance("i2", ip="10.0.0.2")
        rows = [msgspec.Raw(encode_instance(each)) for each in both]
        await ask(node, "POST", f"{RPC}/registry/register.json", msgspec.json.encode({"instances": rows}))
        for exchange in EXCHANGES[1:]:
            name = exchange.path.removeprefix(MANAGEMENT).removesuffix(".json")
            for path, body in left_out.pop(name, []):
                answer = await ask(node, "POST", f"{MANAGEMENT}{path}.json", encoded(body))
                assert answer.json == {"responseStatus": SUCCESS}
            answer = await ask(node, "POST", exchange.path, encoded(ids.translate(exchange.request)))
            wanted = expected(name, exchange)
            if isinstance(wanted, int):
                assert answer.status == wanted
                continue
            assert answer.status == 200
            document = answer.json
            if name in SHARED:
                document = {key: value for key, value in document.items() if key in wanted}
            ids.compare(document, wanted, name)
        assert not left_out
        node.stop()
    finally:
        node.destroy()
