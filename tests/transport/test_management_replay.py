"""Appendix A.2 of the RPC contract, replayed: what the original answered, this node answers, ids aside.

The capture left some requests out, and waited for caches at others. What must have happened in between is filled in
here, and where this node deliberately answers better, the better answer is expected.
"""

from typing import Any

from tests.contract.samples_management import EXCHANGES, Exchange
from tests.store.building import instance

from .managing import SUCCESS, Managing

TIMES = {"createTime", "updateTime", "creationTime", "renewalTime"}
NUMBERED = {"groupId": "groupId", "routeRuleId": "routeRuleId", "groupIds": "groupId", "routeRuleIds": "routeRuleId"}
KEY = {"regionId": "lab", "serviceId": "svc.a", "instanceId": "i1"}
ZONE = {"regionId": "lab", "serviceId": "svc.a", "zoneId": "zone1"}
WHO = {"operatorId": "op", "token": "t"}

LEFT_OUT: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "instance-operations": [("operate-instance", {"instanceKey": KEY, "operation": "op2", **WHO})],
    "operate-server": [
        ("operate-instance", {"instanceKey": KEY, "operation": name, "operationComplete": True, **WHO})
        for name in ("op2", "pull-out")
    ],
    "zone/operate-zone-operations": [
        (
            "operate-server",
            {
                "serverKey": {"regionId": "lab", "serverId": "10.0.0.2"},
                "operation": "pull-out",
                "operationComplete": True,
                **WHO,
            },
        )
    ],
    "log/instance-operation-logs": [
        (
            "zone/operate-zone-operations",
            {
                "zoneOperationsList": [{"zoneKey": ZONE, "operations": ["out"]}],
                "operationComplete": True,
                **WHO,
            },
        )
    ]
    * 2,
    "group/delete-groups": [
        (
            "canary/update-canary-ips",
            {"serviceId": "svc.a", "appId": "app1", "canaryIps": [], "operation": "canary", **WHO},
        )
    ],
    "group/delete-route-rules": [
        (
            "group/update-route-rules",
            {
                "operation": "create",
                "reason": "r",
                **WHO,
                "routeRules": [
                    {"serviceId": "svc.a", "name": "r1", "status": "active", "strategy": "weighted-round-robin"}
                ],
            },
        )
    ],
}
"""By the endpoint before whose first exchange they came."""

AT_ONCE = {
    "group/get-all-route-rules": (
        "routeRules",
        [
            {
                "description": "d",
                "name": "r1",
                "routeRuleId": 1,
                "serviceId": "svc.a",
                "status": "active",
                "strategy": "weighted-round-robin",
            }
        ],
    ),
    "group/get-all-group-tags": ("allGroupTags", [{"groupId": 1, "tags": {"color": "red"}}]),
}
"""Answers that were still empty in the capture because a cache was old. We have none."""


SHARED = ("all-instance-operations", "all-server-operations")
"""Paths that the REST API has too: its fields stand beside those of this API."""


class Ids:
    """Ids of the capture, and what this node calls the same things."""

    def __init__(self) -> None:
        self.ours: dict[tuple[str, int], int] = {}

    def translate(self, value: Any, name: str = "") -> Any:
        """A request of the capture with our ids in it."""
        if isinstance(value, dict):
            return {key: self.translate(item, key) for key, item in value.items()}
        if isinstance(value, list):
            return [self.translate(item, name) for item in value]
        if name in NUMBERED and isinstance(value, int):
            return self.ours[NUMBERED[name], value]
        return value

    def compare(self, ours: Any, theirs: Any, name: str = "") -> None:
        """Equal but for times and ids; ids stand for the same thing each time."""
        if isinstance(theirs, dict):
            assert isinstance(ours, dict)
            assert ours.keys() == theirs.keys()
            for key, item in theirs.items():
                self.compare(ours[key], item, key)
        elif isinstance(theirs, list):
            assert isinstance(ours, list)
            assert len(ours) == len(theirs), (ours, theirs)
            for mine, item in zip(ours, theirs, strict=True):
                self.compare(mine, item, name)
        elif name in TIMES or name in ("id", "routeRuleGroupId"):
            assert type(ours) is type(theirs)
        elif name in NUMBERED and isinstance(theirs, int):
            assert self.ours.setdefault((name, theirs), ours) == ours
        else:
            assert ours == theirs, name


async def test_the_captured_exchanges_are_answered_as_the_original_did() -> None:
    managing, ids = Managing(), Ids()
    managing.node.register(instance("i1", url="http://10.0.0.1:8090/"), instance("i2", ip="10.0.0.2"))
    left_out = dict(LEFT_OUT)
    for exchange in EXCHANGES[1:]:
        name = exchange.path.removeprefix("/api/management/").removesuffix(".json")
        for path, body in left_out.pop(name, []):
            assert await managing.ask(path, **body) == {"responseStatus": SUCCESS}
        answer = await managing.post(exchange.path, ids.translate(exchange.request))
        if name in SHARED and isinstance(exchange.answer, dict):
            answer = {key: value for key, value in answer.items() if key in exchange.answer}
        ids.compare(answer, expected(name, exchange), name)
    assert not left_out


def expected(name: str, exchange: Exchange) -> Any:
    answer = exchange.answer
    if isinstance(answer, int):
        return answer
    if name in AT_ONCE:
        field, value = AT_ONCE[name]
        return {**answer, field: value}
    if name == "service" and answer["service"]["instances"]:
        rows = [
            {**row, "port": 8080, "url": "http://i2:8080/" if row["instanceId"] == "i2" else row["url"]}
            for row in answer["service"]["instances"]
        ]
        return {**answer, "service": {**answer["service"], "instances": rows}}
    return answer


async def test_a_missing_token_is_no_failure() -> None:
    """The first exchange of the capture: the original failed on its NOT NULL column."""
    managing = Managing()
    first = EXCHANGES[0]
    assert "token" not in first.request
    assert await managing.post(first.path, first.request) == {"responseStatus": SUCCESS}
