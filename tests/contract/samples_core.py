"""Captured exchanges of the RPC core (appendix A.1 of the RPC API, and the samples in its sections), as data.

Requests and answers stand here as they were captured; where the appendix shortens an instance it is written out.
Deliberate deviations are in `deviations.py`. Texts of messages are free: a replay asks only whether there is one.
"""

from typing import Any, Final, NamedTuple

SUCCESS: Final = {"errorCode": "success", "message": "", "status": "success"}


class Exchange(NamedTuple):
    """`management`: whether the node of the capture had it switched on; None when it makes no difference."""

    title: str
    path: str
    request: Any
    answer: Any
    management: bool | None = None


SVC_A: Final[dict[str, Any]] = {
    "groupId": None,
    "healthCheckUrl": "",
    "instanceId": "i1",
    "ip": "10.0.0.1",
    "machineName": None,
    "metadata": {"k": "v"},
    "port": 8090,
    "protocol": "http",
    "regionId": "lab",
    "serviceId": "Svc.A",
    "status": "up",
    "url": "http://10.0.0.1:8090/",
    "zoneId": "zone1",
}

BARE: Final[dict[str, Any]] = {
    "groupId": None,
    "healthCheckUrl": None,
    "instanceId": "i1",
    "ip": None,
    "machineName": None,
    "metadata": None,
    "port": 0,
    "protocol": None,
    "regionId": "lab",
    "serviceId": "Svc.B",
    "status": None,
    "url": "u",
    "zoneId": "zone1",
}

EXCHANGES: Final = (
    Exchange(
        "register",
        "/artemis/api/registry/register.json",
        {
            "instances": [
                {
                    "regionId": "lab",
                    "zoneId": "zone1",
                    "serviceId": "Svc.A",
                    "instanceId": "i1",
                    "ip": "10.0.0.1",
                    "port": 8090,
                    "protocol": "http",
                    "url": "http://10.0.0.1:8090/",
                    "healthCheckUrl": "",
                    "status": "up",
                    "metadata": {"k": "v"},
                }
            ]
        },
        {"failedInstances": None, "responseStatus": SUCCESS},
    ),
    Exchange(
        "heartbeat of an unknown lease, a wrong region, a blank service",
        "/artemis/api/registry/heartbeat.json",
        {
            "instances": [
                {
                    "regionId": "LAB",
                    "zoneId": "zoneX",
                    "groupId": "G1",
                    "serviceId": "Svc.B",
                    "instanceId": "i1",
                    "url": "u",
                },
                {"regionId": "other", "zoneId": "zone1", "serviceId": "Svc.B", "instanceId": "i1", "url": "u"},
                {"regionId": "lab", "zoneId": "zone1", "serviceId": "", "instanceId": "i1", "url": "u"},
                None,
            ]
        },
        {
            "failedInstances": [
                {
                    "errorCode": "data-not-found",
                    "errorMessage": "lab/zonex/svc.b/g1/i1: Instance is not exising! Need re-register.",
                    "instance": {**BARE, "groupId": "G1", "regionId": "LAB", "zoneId": "zoneX"},
                },
                {
                    "errorCode": "no-permission",
                    "errorMessage": "other/zone1/svc.b/i1: regionId is not the same as the registry node. "
                    "regionId: other, registry node.regionId: lab",
                    "instance": {**BARE, "regionId": "other"},
                },
                {
                    "errorCode": "internal-service-error",
                    "errorMessage": "lab/zone1//i1: Exception: instance.serviceId is blank",
                    "instance": {**BARE, "serviceId": ""},
                },
            ],
            "responseStatus": {"errorCode": "partial_fail", "message": "", "status": "partial_fail"},
        },
    ),
    Exchange(
        "register of nothing",
        "/artemis/api/registry/register.json",
        {},
        {
            "failedInstances": None,
            "responseStatus": {
                "errorCode": "bad-request",
                "message": "request.instances is null or empty.",
                "status": "fail",
            },
        },
    ),
    Exchange(
        "lookup without management",
        "/artemis/api/discovery/lookup.json",
        {
            "regionId": "lab",
            "zoneId": "zone1",
            "discoveryConfigs": [
                {"serviceId": "Svc.A", "regionId": None, "zoneId": None, "discoveryData": None},
                {"serviceId": "none"},
            ],
        },
        {
            "responseStatus": SUCCESS,
            "services": [
                {
                    "instances": [SVC_A],
                    "logicInstances": None,
                    "metadata": None,
                    "routeRules": None,
                    "serviceId": "Svc.A",
                },
                {"instances": None, "logicInstances": None, "metadata": None, "routeRules": None, "serviceId": "none"},
            ],
        },
        management=False,
    ),
    Exchange(
        "lookup of an unknown service",
        "/artemis/api/discovery/lookup.json",
        {"regionId": "lab", "zoneId": "zone1", "discoveryConfigs": [{"serviceId": "none"}]},
        {
            "responseStatus": SUCCESS,
            "services": [
                {"instances": [], "logicInstances": [], "metadata": None, "routeRules": [], "serviceId": "none"}
            ],
        },
        management=True,
    ),
    Exchange(
        "lookup without a region",
        "/artemis/api/discovery/lookup.json",
        {"zoneId": "zone1", "discoveryConfigs": [{"serviceId": "Svc.A"}]},
        {
            "responseStatus": {
                "errorCode": "no-permission",
                "message": "regionId is not the same as the registry node. regionId: null, registry node.regionId: lab",
                "status": "fail",
            },
            "services": None,
        },
    ),
    Exchange(
        "services",
        "/artemis/api/discovery/services.json",
        {},
        {
            "responseStatus": SUCCESS,
            "services": [
                {"instances": [SVC_A], "logicInstances": [], "metadata": None, "routeRules": [], "serviceId": "Svc.A"}
            ],
            "version": 0,
        },
        management=True,
    ),
    Exchange(
        "delta that nobody knows",
        "/artemis/api/discovery/services-delta.json",
        {"regionId": "lab", "zoneId": "zone1", "version": 17},
        {
            "delta": None,
            "version": 0,
            "responseStatus": {"errorCode": "data-not-found", "message": "Delta is not found.", "status": "fail"},
        },
    ),
    Exchange(
        "nodes",
        "/artemis/api/cluster/up-registry-nodes.json",
        {"regionId": "lab", "zoneId": "zone1"},
        {
            "nodes": [
                {
                    "url": "http://127.0.0.1:8080",
                    "zone": {"metadata": None, "regionId": "lab", "zoneId": "zone1"},
                }
            ],
            "responseStatus": SUCCESS,
        },
    ),
    Exchange(
        "status of the node",
        "/artemis/api/status/node.json",
        {},
        {
            "nodeStatus": {
                "allowDiscoveryFromOtherZone": True,
                "allowRegistryFromOtherZone": True,
                "canServiceDiscovery": True,
                "canServiceRegistry": True,
                "node": {
                    "url": "http://127.0.0.1:8080",
                    "zone": {"metadata": None, "regionId": "lab", "zoneId": "zone1"},
                },
                "status": "up",
            },
            "responseStatus": SUCCESS,
        },
    ),
    Exchange(
        "leases",
        "/artemis/api/status/leases.json",
        {"serviceIds": ["Svc.A"]},
        {
            "isSafe": True,
            "isSafeCheckEnabled": True,
            "leaseCount": 1,
            "leaseUpdateCountLastTimeWindow": 1,
            "leaseUpdateMaxCount": 1,
            "leaseUpdateMaxCountLastUpdateTime": 1795348735389,
            "leases": {
                "Svc.A": [
                    {
                        "instance": "lab/zone1/svc.a/i1",
                        "creationTime": "2026-11-22 11:58:55.170",
                        "renewalTime": "2026-11-22 11:58:55.332",
                        "evitionTime": "1970-01-01 00:00:00.000",
                        "ttl": 20000,
                    }
                ]
            },
            "responseStatus": SUCCESS,
        },
    ),
    Exchange(
        "dump for a peer",
        "/artemis/api/replication/registry/services.json",
        {"regionId": "lab", "zoneId": "zone1"},
        {
            "services": [
                {
                    "instances": [SVC_A],
                    "logicInstances": None,
                    "metadata": None,
                    "routeRules": None,
                    "serviceId": "Svc.A",
                }
            ],
            "responseStatus": SUCCESS,
        },
    ),
    Exchange(
        "heartbeat",
        "/artemis/api/registry/heartbeat.json",
        {"instances": [SVC_A]},
        {"failedInstances": None, "responseStatus": SUCCESS},
    ),
    Exchange(
        "unregister",
        "/artemis/api/registry/unregister.json",
        {"instances": [SVC_A]},
        {"failedInstances": None, "responseStatus": SUCCESS},
    ),
    Exchange(
        "dump of nothing",
        "/artemis/api/replication/registry/services.json",
        {"regionId": "lab", "zoneId": "zone1"},
        {"services": [], "responseStatus": SUCCESS},
    ),
)

STARTING: Final = {
    "nodeStatus": {
        "allowDiscoveryFromOtherZone": True,
        "allowRegistryFromOtherZone": True,
        "canServiceDiscovery": None,
        "canServiceRegistry": None,
        "node": {"url": "http://127.0.0.1:8080", "zone": {"metadata": None, "regionId": "lab", "zoneId": "zone1"}},
        "status": "starting",
    },
    "responseStatus": SUCCESS,
}

UNDECODABLE: Final = {
    "responseStatus": {"message": "", "status": "success", "errorCode": "success"},
    "failedInstances": None,
}
"""The answer to a text on the heartbeat WebSocket that is no heartbeat."""
