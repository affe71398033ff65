"""What the fast lane decides about a request from its head, once for all requests with that head."""

import time
from collections.abc import Iterable
from typing import cast

import trio

from .arriving import Arriving
from .bodies import encoding_of, too_large
from .errors import ClientError, Header
from .handover import Guest
from .heads import Head, parse_head
from .limits import Limits
from .negotiation import refusal
from .observation import UNROUTED, Observer
from .origins import Cors
from .requests import JSON, Route, SyncHandler, forwarded_for
from .responses import CLOSE, KEEP_ALIVE, date_line, start_of
from .sockets import PeerRoute, SocketRoute
from .upgrades import check_handshake, is_upgrade

PLANS_MAX = 1024
"""Different heads remembered. One more and all are forgotten, and parsed again as they come."""
PLAN_BYTES_MAX = 2048
"""A longer head is parsed each time."""


class Plan:
    """All that can be decided about a request from its head."""

    __slots__ = (
        "chunked",
        "encoding",
        "expects",
        "fatal",
        "forwarded_for",
        "handler",
        "head",
        "headers",
        "in_place",
        "keep_alive",
        "length",
        "loose",
        "method",
        "name",
        "of_page",
        "path",
        "query",
        "refusal",
        "size",
        "socket",
        "start",
        "tail",
    )

    def __init__(self, head: Head | None, size: int, route: Route | None, tail: tuple[Header, ...]) -> None:
        self.head = head
        self.size = size
        """Of the head, in bytes."""
        self.tail = tail
        """Headers that every answer to this head carries."""
        self.socket: SocketRoute | PeerRoute | None = None
        """Who takes over the connection, as a WebSocket."""
        self.refusal: ClientError | None = None
        self.fatal = False
        """Answer the refusal without reading on, and close."""
        self.name = UNROUTED if route is None else route.name
        self.handler = None if route is None else cast(SyncHandler, route.handler)
        """None: ask the app."""
        self.loose = route is not None and route.loose
        self.encoding = b""
        self.in_place = False
        self.of_page = False
        """A browser sends it. Whether it may depends on the caller, too."""
        if head is None:
            self.method = self.path = ""
            return
        self.method, self.path, self.query = head.method.decode(), head.path.decode("latin-1"), head.query
        self.headers, self.length, self.chunked = head.headers, head.length, head.chunked
        self.keep_alive = head.keep_alive
        self.expects = not head.http_1_0 and (head.header(b"expect") or b"").lower() == b"100-continue"
        self.forwarded_for = forwarded_for(head.headers)
        self.start = start_of(200, JSON, tail)


class Lane:
    """What all conversations share."""

    def __init__(
        self,
        routes: Iterable[Route],
        sockets: Iterable[SocketRoute | PeerRoute] = (),
        *,
        guest: Guest,
        limits: Limits,
        cors: Cors,
        observer: Observer | None = None,
    ) -> None:
        self.routes = {(route.method.encode(), route.path.encode()): route for route in routes if route.hot}
        self.sockets = {route.path.encode(): route for route in sockets}
        self.guest = guest
        """Answers whatever is not hot."""
        self.limits = limits
        self.cors = cors
        self.observer = observer
        self.arriving = Arriving(limits.arriving_bytes)
        self.draining = False
        """Every answer is the last one of its connection."""
        self.plans: dict[bytes, Plan] = {}
        self.now_s = 0.0
        self.date = b""
        self.tick()

    def tick(self) -> None:
        """Look at the clocks. Called by the watch, at least once a second."""
        self.now_s = trio.current_time()
        self.date = date_line(time.time())

    def plan(self, raw: bytes, ip: str) -> Plan:
        """Decide what to do about a head from this address that was not seen lately."""
        plan = self._decide(raw, ip)
        if plan.in_place and not plan.of_page and len(raw) <= PLAN_BYTES_MAX:
            if len(self.plans) >= PLANS_MAX:
                self.plans.clear()
            self.plans[raw] = plan
        return plan

    def _decide(self, raw: bytes, ip: str) -> Plan:
        try:
            if len(raw) > self.limits.header_bytes:
                raise header_too_large(self.limits)
            head = parse_head(raw)
        except ClientError as error:
            return self._refused(Plan(None, len(raw), None, ()), error)
        path = head.path.removesuffix(b"/")
        route = self.routes.get((head.method, path))
        plan = Plan(head, len(raw), route, self._tail(head))
        if head.length > self.limits.body_bytes:
            return self._refused(plan, too_large(self.limits.body_bytes))
        plan.socket = self.sockets.get(path) if is_upgrade(head) else None
        plan.of_page = head.header(b"origin") is not None or head.header(b"sec-fetch-site") is not None
        plan.refusal = self.cors.refusal(head, ip, socket=plan.socket)
        if plan.socket is not None:
            plan.refusal = plan.refusal or check_handshake(head)
            plan.fatal = plan.refusal is not None
        elif route is not None:
            plan.refusal = plan.refusal or refusal(route, head.header, self.limits)
            if plan.refusal is None:
                plan.encoding = encoding_of(head.header(b"content-encoding"))
                plan.in_place = not (plan.chunked or plan.expects)
        return plan

    def _refused(self, plan: Plan, error: ClientError) -> Plan:
        plan.refusal, plan.fatal = error, True
        return plan

    def _tail(self, head: Head) -> tuple[Header, ...]:
        cors = self.cors.headers(head.path.decode("latin-1"), head.header(b"origin"))
        if not head.keep_alive:
            return (*cors, *CLOSE)
        return (*cors, *KEEP_ALIVE) if head.http_1_0 else cors


def header_too_large(limits: Limits) -> ClientError:
    return ClientError(431, f"the header section is larger than {limits.header_bytes} bytes")
