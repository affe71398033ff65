"""The settings with which nodes are shared among tests. To start a node takes a second: few settings, many tests."""

from typing import Any, Final

from ..pace import paced

SECRET: Final = "a secret of the cluster"

STRICT: Final[Any] = {"registry": {"allow_other_zones": False}, "discovery": {"allow_other_zones": False}}
"""For its own zone only."""

FORCED_DOWN: Final[Any] = {"cluster": {"force_down": True}}
"""Serves no clients."""

UNMANAGED: Final[Any] = {"management": {"enabled": False}}
"""Management is switched off."""

GUARDED: Final[Any] = {
    "cluster": {"secret": SECRET},
    "logging": {"level": "debug"},
    "rate_limits": {"status": 30, "operations": {"status.get-leases": 10}},
}
"""Peers must know a secret, so nobody registers here by accident; with the limits of status queries as they are."""

QUICK: Final[Any] = {
    "registry": {
        "lease_ttl_s": paced(0.5),
        "legacy_ttl_s": paced(0.7),
        "lease_ttl_min_s": 0.1,
        "sweep_interval_s": 0.05,
    },
    "websocket": {"session_ttl_s": paced(1.5)},
}
"""Leases and sessions are short."""

GATED: Final[Any] = {
    "node": {"trusted_proxies": ["127.0.0.1"]},
    "limits": {"connections": 5, "idle_timeout_s": 60},
    "websocket": {
        "black_list_heartbeat": ["127.0.0.1"],
        "black_list_discovery": ["10.0.0.1", "127.0.0.1"],
        "black_list_discoveries": ["10.0.0.1"],
    },
    "cors": {"origins": ["http://console.example"], "credentials": True},
}
"""Few connections, black lists that name us, and one origin whose pages may do everything."""

OPEN: Final[Any] = {"cors": {"origins": ["*"]}}
"""Pages of every origin may use the paths of the RPC contract, as in the original."""

SMALL: Final[Any] = {
    "limits": {
        "body_bytes": 20_000,
        "header_bytes": 2_000,
        "header_timeout_s": paced(0.5),
        "body_timeout_s": paced(0.5),
        "idle_timeout_s": paced(1.0),
        "instances_per_request": 3,
        "id_characters": 20,
        "url_characters": 30,
        "metadata_entries": 2,
        "metadata_bytes": 10,
        "websocket_text_bytes": 1024,
    },
    "rate_limits": {"operations": {"registry.heartbeat": 3}},
}
"""Every limit is low."""

BUSY: Final[Any] = {
    "rate_limits": {"registry": 3, "replication": 3, "cluster": 3, "status": 3, "operations": {"status.get-config": 1}},
}
"""Three calls of an operation in ten seconds, and no more."""

PER_CLIENT: Final[Any] = {"rate_limits": {"per_client": 3}, "node": {"trusted_proxies": ["127.0.0.1"]}}
"""Three calls of an address in ten seconds."""

UNLIMITED: Final[Any] = {
    "rate_limits": {"enabled": False, "registry": 1, "cluster": 1, "status": 1, "per_client": 1},
    "websocket": {"backlog": 4},
}
"""No limit of rate, and subscribers that may fall behind by four changes only."""
