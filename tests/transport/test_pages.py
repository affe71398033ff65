"""Pages in browsers: what they may do is judged by the origin that the browser names, in both lanes."""

import pytest

from artemis.transport.origins import Cors
from artemis.transport.requests import Reply, Request, Route
from artemis.transport.sockets import PeerRoute, SocketRoute

from .serving import ROUTES, Answer, Client, connected, serving
from .test_sockets import HANDSHAKE, echo, echo_frames

NAMED = "https://console.example"
CORS = Cors(origins=(NAMED,), names=frozenset({"registry"}), trusts=lambda ip: ip == "127.0.0.1")
STRICT = Cors(names=frozenset({"registry"}))
FOREIGN = [
    "http://evil.example",
    "null",
    "http://registry.evil.example",
    "http://registry:81",
    "registry",
    "",
    "http://",
]


def done(request: Request) -> Reply:
    return Reply(200, b"{}")


REPLICATION = [
    Route("POST", "/artemis/api/replication/register.json", done, "replicate", hot=True),
    Route("POST", "/api/replication/heartbeat", done, "rest-replicate"),
    Route("GET", "/api/replication/services", done, "replicated"),
]
SOCKETS: list[SocketRoute | PeerRoute] = [SocketRoute("/ws", echo, "echo"), PeerRoute("/artemis/peer", echo_frames)]

WRITES = [
    ("POST", "/echo", b"{}"),
    ("POST", "/artemis/api/echo.json", b"{}"),
    ("POST", "/cold", b"{}"),
    ("POST", "/things/a/publish", None),
    ("DELETE", "/things/a", None),
    ("PUT", "/nowhere", b"{}"),
]


async def write(client: Client, **headers: str) -> set[int]:
    """The statuses of all writes: 404 for the path that is none counts as taken."""
    statuses: set[int] = set()
    for method, path, body in WRITES:
        statuses.add((await client.ask(method, path, body, **headers)).status)
    return statuses


async def open_socket(client: Client, path: str = "/ws", **headers: str) -> Answer:
    return await client.ask("GET", path, None, **{**HANDSHAKE, **headers})


TAKEN, REFUSED = {200, 404}, {403}

OURS = [
    {},
    {"origin": "http://registry"},
    {"origin": "https://registry"},
    {"origin": "http://registry", "host": "registry:80"},
    {"origin": "http://REGISTRY:80", "host": "Registry"},
    {"origin": "http://127.0.0.1:8080", "host": "127.0.0.1:8080"},
    {"origin": "http://[::1]:8080", "host": "[::1]:8080"},
    {"origin": "http://[::1]", "host": "[::1]"},
    {"origin": "http://localhost:8080", "host": "localhost:8080"},
    {"origin": "http://registry", "sec_fetch_site": "same-origin"},
    {"origin": "https://what.the.browser.sees", "sec_fetch_site": "same-origin"},
    {"sec_fetch_site": "none"},
]


@pytest.mark.parametrize("headers", OURS)
async def test_what_is_no_page_or_our_own_may_write_and_subscribe(fast_lane: bool, headers: dict[str, str]) -> None:
    async with (
        serving(fast_lane=fast_lane, cors=STRICT, sockets=SOCKETS) as server,
        connected(server) as client,
    ):
        assert await write(client, **headers) == TAKEN
        assert (await open_socket(client, **headers)).status == 101


THEIRS = [
    *({"origin": origin or " "} for origin in FOREIGN),
    {"origin": "http://evil.example", "host": "evil.example"},
    {"origin": "http://evil.example", "x_forwarded_host": "evil.example"},
    {"origin": "http://127.0.0.1:9999", "host": "127.0.0.1:8080"},
    {"origin": "http://registry", "sec_fetch_site": "same-site"},
    {"origin": "http://evil.example", "sec_fetch_site": "cross-site"},
    {"sec_fetch_site": "cross-site"},
    {"sec_fetch_site": "same-site"},
]


@pytest.mark.parametrize("headers", THEIRS)
async def test_pages_of_others_may_neither_write_nor_subscribe(fast_lane: bool, headers: dict[str, str]) -> None:
    async with serving(fast_lane=fast_lane, cors=STRICT, sockets=SOCKETS) as server, connected(server) as client:
        assert await write(client, **headers) == REFUSED
        answer = await client.ask("POST", "/cold", b"{}", **headers)
        assert "cors.origins" in answer.json["message"]
        assert (await client.ask("GET", "/facts", None, **headers)).header("access-control-allow-origin") is None
        answer = await open_socket(client, **headers)
        assert (answer.status, answer.header("connection")) == (403, "close")
        assert answer.json["status"] == 403


async def test_pages_of_a_named_origin_may_do_everything_but_replicate(fast_lane: bool) -> None:
    page = {"origin": NAMED, "sec_fetch_site": "cross-site"}
    async with (
        serving(fast_lane=fast_lane, cors=CORS, sockets=SOCKETS, routes=[*ROUTES, *REPLICATION]) as server,
        connected(server) as client,
    ):
        assert await write(client, **page) == TAKEN
        assert (await open_socket(client, **page)).status == 101


@pytest.mark.parametrize("origin", [NAMED, "http://registry", "http://evil.example", "null"])
@pytest.mark.parametrize("cors", [CORS, STRICT, Cors(origins=("*",))], ids=["named", "strict", "everybody"])
async def test_no_page_may_replicate(fast_lane: bool, origin: str, cors: Cors) -> None:
    routes = [*ROUTES, *REPLICATION]
    async with (
        serving(fast_lane=fast_lane, cors=cors, sockets=SOCKETS, routes=routes) as server,
        connected(server) as client,
    ):
        for route in REPLICATION:
            body = None if route.method == "GET" else b"{}"
            assert (await client.ask(route.method, route.path, body)).status == 200
            for site in ("", "same-origin"):
                answer = await client.ask(route.method, route.path, body, origin=origin, sec_fetch_site=site)
                assert (answer.status, answer.header("access-control-allow-origin")) == (403, None)
        assert (await open_socket(client, "/artemis/peer", origin=origin)).status == 403


async def test_every_page_may_use_the_rpc_contract_when_an_operator_says_so(fast_lane: bool) -> None:
    page = {"origin": "http://evil.example"}
    async with (
        serving(fast_lane=fast_lane, cors=Cors(origins=("*",)), sockets=SOCKETS) as server,
        connected(server) as client,
    ):
        assert (await client.ask("POST", "/artemis/api/echo.json", b"{}", **page)).status == 200
        for method, path in (("POST", "/cold"), ("DELETE", "/things/a"), ("POST", "/things/a/publish")):
            assert (await client.ask(method, path, None, **page)).status == 403
        assert (await open_socket(client, **page)).status == 403


@pytest.mark.parametrize(
    ("headers", "statuses"),
    [
        ({"origin": "https://registry.example", "x_forwarded_host": "registry.example"}, TAKEN),
        (
            {
                "origin": "https://registry.example",
                "x_forwarded_host": "registry.example",
                "x_forwarded_proto": "https",
            },
            TAKEN,
        ),
        (
            {
                "origin": "http://registry.example",
                "x_forwarded_host": "registry.example",
                "x_forwarded_proto": "https",
            },
            REFUSED,
        ),
        ({"origin": "https://registry", "x_forwarded_proto": "https"}, TAKEN),
        ({"origin": "https://evil.example", "x_forwarded_host": "registry.example"}, REFUSED),
    ],
)
async def test_a_trusted_proxy_says_what_the_browser_sees(
    fast_lane: bool, headers: dict[str, str], statuses: set[int]
) -> None:
    async with serving(fast_lane=fast_lane, cors=CORS, sockets=SOCKETS) as server, connected(server) as client:
        assert await write(client, **headers) == statuses
        assert (await open_socket(client, **headers)).status == (101 if statuses == TAKEN else 403)


async def test_what_one_caller_may_do_is_not_remembered_for_another(fast_lane: bool) -> None:
    """The same bytes come from a trusted proxy and from somebody else."""
    trusted = True
    cors = Cors(trusts=lambda ip: trusted)
    page = {"origin": "https://registry.example", "x_forwarded_host": "registry.example"}
    async with serving(fast_lane=fast_lane, cors=cors) as server, connected(server) as client:
        for trusted in (True, False, True):
            assert await write(client, **page) == (TAKEN if trusted else REFUSED)
