"""What tests of management do: register, operate, ask as callers do, and listen as subscribers do."""

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from ..contract.building import REST_SUCCESS, instance, place, register
from ..contract.nodes import REGION
from ..contract.sockets import CHANGES, WATCH, Session, watching, websocket
from ..contract.wire import REST, RPC, Address, Answer, ask, get, post

OPERATOR: Final = {"operatorId": "op", "reason": "because"}
CONTEXT: Final = {"operatorId": "op", "token": "t", "operation": "create", "reason": "because"}
"""What the RPC API wants to know of every write."""

ELSEWHERE: Final = "192.0.2.77"
"""An address that no white list of these tests has on it."""


class World:
    """One test's corner of a node."""

    def __init__(self, node: Address, number: int) -> None:
        self.node = node
        self.service = f"mgmt.svc{number}"
        self.zone = f"zone{number}"
        self.server = f"10.77.{number // 250}.{number % 250 + 1}"

    # Instances

    def instance(self, instance_id: str, **more: Any) -> dict[str, Any]:
        more = {"zoneId": self.zone, "ip": self.server, "metadata": None, **more}
        return instance(more.pop("serviceId", self.service), instance_id, **more)

    async def register(self, *instances: str | dict[str, Any]) -> None:
        """Register instances; an id stands for an instance of the test's service, zone and server."""
        await register(self.node, *(self.instance(each) if isinstance(each, str) else each for each in instances))

    async def register_groups(self, *names: str, each: int = 1) -> None:
        """Instances blue-1, blue-2, ... of a group blue, and so on."""
        await self.register(
            *(self.instance(f"{name}-{number}", groupId=name) for name in names for number in range(1, each + 1))
        )

    # The REST API

    async def rest(self, method: str, path: str, body: object = None, *, headers: Any = None) -> Answer:
        content = None if body is None else json.dumps(body).encode()
        return await ask(self.node, method, f"{REST}/{path}", content, **(headers or {}))

    async def ok(self, method: str, path: str, body: object = None, status: int = 200) -> Any:
        """The data of a success."""
        answer = await self.rest(method, path, body)
        assert answer.status == status, answer
        assert answer.json["success"] is True
        assert set(answer.json) == {"success", "data"}
        return answer.json["data"]

    async def refused(self, status: int, method: str, path: str, body: object = None) -> str:
        """The message of a refusal."""
        answer = await self.rest(method, path, body)
        assert answer.status == status, answer
        return answer.message

    async def group(self, name: str, **more: Any) -> dict[str, Any]:
        """Create a group; the ServiceGroup."""
        body = {"serviceId": self.service, "regionId": REGION, "zoneId": self.zone, "name": name}
        group = await self.ok("POST", "routing/groups", {**body, "groupType": "physical", **more}, 201)
        assert isinstance(group, dict)
        return group

    async def rule(self, route_id: str, *weights: tuple[str, int], publish: bool = True, **more: Any) -> str:
        """Create groups and a rule over them, publish it; its path."""
        body = {"routeId": route_id, "serviceId": self.service, "name": route_id, "strategy": "weighted-round-robin"}
        await self.ok("POST", "routing/rules", {**body, **more}, 201)
        path = f"routing/rules/{route_id}"
        for name, weight in weights:
            await self.ok("POST", f"{path}/groups?serviceId={self.service}", {"groupId": name, "weight": weight}, 201)
        if publish:
            await self.ok("POST", f"{path}/publish?serviceId={self.service}")
        return path

    async def zone_out(self, service: str | None = None, *, back: bool = False) -> Any:
        body = {"zoneId": self.zone, "regionId": REGION, "serviceId": service, **OPERATOR}
        return await self.ok("POST", f"management/zone/pull-{'in' if back else 'out'}", body)

    async def instance_out(self, instance_id: str, *, back: bool = False) -> None:
        key = {"regionId": REGION, "serviceId": self.service, "instanceId": instance_id}
        body = {"instanceKey": key, "operation": "pullin" if back else "pullout", **OPERATOR}
        await self.status_ok("instance/operate-instance", body)

    async def server_out(self, *, back: bool = False) -> None:
        body = {"serverId": self.server, "regionId": REGION, "operation": "pullin" if back else "pullout", **OPERATOR}
        await self.status_ok("server/operate-server", body)

    async def status_ok(self, name: str, body: object) -> Any:
        """A call of the REST API whose success is told by `status`."""
        answer = await post(self.node, f"{REST}/management/{name}.json", body)
        assert answer["status"] == REST_SUCCESS, answer
        return answer

    # The RPC management API

    async def rpc(self, name: str, /, **fields: Any) -> Any:
        """A call of the RPC management API that succeeds."""
        answer = await post(self.node, f"{REST}/management/{name}.json", {**CONTEXT, **fields})
        assert answer["responseStatus"]["status"] == "success", answer
        return answer

    async def logical(self, instance_id: str) -> None:
        """Create a static instance of the group blue."""
        place = {"serviceId": self.service, "regionId": REGION, "zoneId": self.zone, "groupId": "blue"}
        texts = {"ip": "10.9.9.9", "machineName": "m", "protocol": "http", "healthCheckUrl": "h", "url": "http://logic"}
        static = {"instanceId": instance_id, "metadata": {"a": "b"}, "port": 1, **place, **texts}
        await self.rpc("group/insert-service-instances", serviceInstances=[static])

    async def logs(self, view: str, /, **filters: Any) -> list[dict[str, Any]]:
        """The rows of one of the RPC log endpoints, oldest first."""
        nothing = dict.fromkeys(CONTEXT)
        logs = (await self.rpc(f"log/{view}", **{**nothing, **filters}))["logs"]
        assert isinstance(logs, list)
        return logs

    async def group_out(self, group: dict[str, Any], *, back: bool = False, operation: str = "out") -> None:
        operations = [{"groupId": group["groupId"], "operations": [operation]}]
        await self.rpc("group/operate-group-operations", groupOperationsList=operations, operationComplete=back)

    # What callers get

    async def lookup(self) -> list[str]:
        """Instance ids in an RPC lookup."""
        body = place(discoveryConfigs=[{"serviceId": self.service}])
        (service,) = (await post(self.node, f"{RPC}/discovery/lookup.json", body))["services"]
        return ids(service)

    async def decorations(self) -> tuple[list[Any], list[Any]]:
        """`logicInstances` and `routeRules` of an RPC lookup."""
        body = place(discoveryConfigs=[{"serviceId": self.service}])
        (service,) = (await post(self.node, f"{RPC}/discovery/lookup.json", body))["services"]
        return service["logicInstances"], service["routeRules"]

    async def routed(self, *, ip: str = ELSEWHERE, zone: str = "somewhere") -> list[str]:
        """Instance ids that a caller of the REST API is given."""
        config = {"serviceId": self.service, "discoveryData": {"ip": ip}}
        body = {"discoveryConfig": config, "regionId": REGION, "zoneId": zone}
        return ids((await post(self.node, f"{REST}/discovery/service.json", body))["service"])

    async def everywhere(self) -> dict[str, list[str]]:
        """Instance ids by every way of asking; what is pulled out must be missing in all of them."""
        name = self.service
        single = {"discoveryConfig": {"serviceId": name, "discoveryData": {"ip": ELSEWHERE}}}
        found = {
            "lookup": await self.lookup(),
            "service": ids((await post(self.node, f"{RPC}/discovery/service.json", place(**single)))["service"]),
            "get service": ids((await get(self.node, f"{REST}/discovery/service.json?serviceId={name}"))["service"]),
        }
        for api in (RPC, REST):
            services = (await post(self.node, f"{api}/discovery/services.json", {}))["services"]
            found[f"{api} services"] = [each for one in services if one["serviceId"] == name for each in ids(one)]
        answer = await ask(self.node, "POST", f"{REST}/discovery/lookup.json", json.dumps(single).encode())
        one = answer.json.get("instance")
        found["single lookup"] = [] if one is None else [one["instanceId"]]
        return found

    async def seen(self) -> list[str]:
        """Instance ids, if every way of asking agrees on them."""
        found = await self.everywhere()
        single = found.pop("single lookup")
        first, *others = found.values()
        assert all(other == first for other in others), found
        assert (len(single) == 1 and single[0] in first) if first else not single, (single, first)
        return first

    # What subscribers are told

    @asynccontextmanager
    async def subscribed(self) -> AsyncGenerator["Ears", None]:
        """A subscriber of each kind; both have their subscription when the block begins."""
        async with websocket(self.node, WATCH) as modern, websocket(self.node, CHANGES) as classic:
            revision = (await watching(modern, self.service))["revision"]
            await classic.send({"serviceId": self.service})
            await classic.ping()
            yield Ears(modern, classic, revision)


class Ears:
    """Two subscribers of one service."""

    def __init__(self, modern: Session, classic: Session, revision: int) -> None:
        self._modern = modern
        self._classic = classic
        self._revision = revision

    async def hear_ws(self) -> list[str]:
        """The changes of the next message on `/ws`, e.g. ["delete i1"]; a reload is ["reload"]."""
        message = await self._modern.receive()
        assert message["type"] == "service_change", message
        assert self._revision in (0, message["revision"] - 1), "a revision is missing"
        self._revision = message["revision"]
        return sorted(map(_told, message["changes"]))

    async def hear_rpc(self, count: int = 1) -> list[str]:
        """The next `count` messages of the RPC socket."""
        return sorted([_told(await self._classic.receive()) for _ in range(count)])


def _told(change: dict[str, Any]) -> str:
    kind, instance_id = change["changeType"], change["instance"]["instanceId"]
    return "reload" if kind == "reload" else f"{kind} {instance_id}"


def ids(service: dict[str, Any]) -> list[str]:
    """Instance ids of a Service, sorted."""
    return sorted(each["instanceId"] for each in service["instances"] or [])


def runs(chosen: Sequence[str]) -> dict[str, int]:
    """The longest run of each name in a sequence."""
    longest: dict[str, int] = {}
    length = 0
    for position, name in enumerate(chosen):
        length = length + 1 if position and chosen[position - 1] == name else 1
        longest[name] = max(longest.get(name, 0), length)
    return longest
