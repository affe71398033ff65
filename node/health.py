"""The pages for whoever watches this node: /health, /health/ready, /metrics."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import msgspec

from artemis.transport.requests import Reply, Request, Route

from .metrics import Metrics, artemis_version

NodeStatus = Literal["starting", "up", "draining", "down"]

RETRY_AFTER_S = 1


@dataclass(frozen=True, slots=True)
class Health:
    """What a node says of itself. `reason` explains why it is not ready, for people; with `problems` it serves."""

    status: NodeStatus
    reason: str = ""
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HealthPages:
    """Handlers that answer from the state of the node at that moment."""

    read: Callable[[], Health]
    metrics: Metrics
    node_id: str
    region: str
    zone: str
    storage: str
    now_s: Callable[[], float]
    started_s: float

    def routes(self) -> list[Route]:
        """The three pages, for the list of all routes. They are plain functions and never wait."""
        return [
            Route("GET", "/health", self.live, "health"),
            Route("GET", "/health/ready", self.ready, "ready"),
            Route("GET", "/metrics", self.scrape, "metrics", produces=b""),
        ]

    def live(self, request: Request) -> Reply:
        """200 as long as the process serves at all, whatever its status."""
        return Reply(200, self._body(self.read()))

    def ready(self, request: Request) -> Reply:
        """200 while this node may take traffic; 503 while it starts, drains, or is forced down."""
        health = self.read()
        if health.status == "up":
            return Reply(200, self._body(health))
        retry = ((b"retry-after", str(RETRY_AFTER_S).encode()),)
        return Reply(503, self._body(health), retry, outcome="service-unavailable")

    def scrape(self, request: Request) -> Reply:
        page, content_type = self.metrics.expose(request.accept)
        return Reply(200, page, content_type=content_type.encode())

    def _body(self, health: Health) -> bytes:
        return msgspec.json.encode(
            {
                "status": health.status,
                "ready": health.status == "up",
                "reason": health.reason,
                "problems": health.problems,
                "nodeId": self.node_id,
                "regionId": self.region,
                "zoneId": self.zone,
                "storage": self.storage,
                "version": artemis_version(),
                "uptimeSeconds": round(self.now_s() - self.started_s, 3),
            }
        )
