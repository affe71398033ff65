"""Which route answers, and what is answered when none does, in both lanes."""

from urllib.parse import quote

import pytest

from artemis.transport.origins import Cors

from .serving import connected, serving


async def test_a_trailing_slash_is_tolerated(fast_lane: bool) -> None:
    async with serving(fast_lane=fast_lane) as server, connected(server) as client:
        for path in ("/echo", "/echo/"):
            assert (await client.ask("POST", path, b"{}")).status == 200
        assert (await client.ask("POST", "/cold/", b"{}")).status == 200


async def test_an_unknown_path_is_a_json_404(fast_lane: bool) -> None:
    async with serving(fast_lane=fast_lane) as server, connected(server) as client:
        for path in ("/nowhere", "/ECHO", "/echo.json", "/", "/echo//"):
            answer = await client.ask("POST", path, b"{}")
            assert (answer.status, answer.json["success"], answer.json["error"]) == (404, False, "Not Found"), path


async def test_a_wrong_method_is_405_and_told_the_right_one(fast_lane: bool) -> None:
    async with serving(fast_lane=fast_lane) as server, connected(server) as client:
        answer = await client.ask("GET", "/echo")
        assert (answer.status, answer.header("allow")) == (405, "POST")
        answer = await client.ask("PUT", "/things/a", b"{}")
        assert (answer.status, answer.header("allow")) == (405, "DELETE, GET, HEAD")


async def test_head_works_where_get_does(fast_lane: bool) -> None:
    async with serving(fast_lane=fast_lane) as server, connected(server) as client:
        answer = await client.ask("HEAD", "/facts")
        assert (answer.status, int(answer.header("content-length") or 0) > 0) == (200, True)
        assert (await client.ask("GET", "/facts")).status == 200


async def test_path_parameters_are_decoded(fast_lane: bool) -> None:
    async with serving(fast_lane=fast_lane) as server, connected(server) as client:
        answer = await client.ask("GET", "/things/my%20service:eu:a:blue")
        assert answer.json["params"] == {"name": "my service:eu:a:blue"}


@pytest.mark.parametrize(
    "name", ["a/b", "/", "..", "%", "a%2Fb", "100 % \N{BLACK HEART SUIT}", "?#&=+;:@[]", "a\\b", "a"]
)
@pytest.mark.parametrize("path", ["/things/{}", "/things/{}/"])
async def test_whatever_a_name_contains_reaches_the_handler(fast_lane: bool, name: str, path: str) -> None:
    async with serving(fast_lane=fast_lane) as server, connected(server) as client:
        answer = await client.ask("GET", path.format(quote(name, safe="")))
        assert answer.json["params"] == {"name": name}
        answer = await client.ask("POST", path.format(quote(name, safe="") + "/publish"))
        assert answer.json["params"] == {"name": name}


async def test_a_name_that_is_not_utf_8_is_400(fast_lane: bool) -> None:
    async with serving(fast_lane=fast_lane) as server, connected(server) as client:
        answer = await client.ask("GET", "/things/a%ff")
        assert (answer.status, answer.json["message"]) == (400, "the path is not UTF-8")


@pytest.mark.parametrize("path", ["//echo", "///echo", "/%65cho", "/echo%2F", "/artemis%2Fapi/echo.json"])
@pytest.mark.parametrize("first", ["/echo", "/cold"])
async def test_another_spelling_of_a_path_is_another_path(fast_lane: bool, first: str, path: str) -> None:
    """A proxy in front of the node guards paths by their spelling."""
    async with serving(fast_lane=fast_lane) as server, connected(server) as client:
        assert (await client.ask("POST", first, b"{}")).status == 200
        assert (await client.ask("POST", path, b"{}")).json["status"] == 404
        assert (await client.ask("POST", path.replace("echo", "cold"), b"{}")).json["status"] == 404
        assert (await client.ask("OPTIONS", path)).status == 404


@pytest.mark.parametrize("path", ["//things/a", "/%74hings/a", "/things%2Fa", "/things//a", "/things/a/%70ublish"])
async def test_another_spelling_of_a_path_with_a_name_in_it_is_another_path(fast_lane: bool, path: str) -> None:
    async with serving(fast_lane=fast_lane) as server, connected(server) as client:
        for method in ("GET", "DELETE", "POST"):
            answer = await client.ask(method, path)
            assert (answer.status, answer.json["path"]) == (404, path)


@pytest.mark.parametrize("query", ["serviceId=a%20b", "serviceId=a+b&serviceId=c", "x=&serviceId=a%20b"])
async def test_query_parameters_are_decoded_and_the_first_counts(fast_lane: bool, query: str) -> None:
    async with serving(fast_lane=fast_lane) as server, connected(server) as client:
        assert (await client.ask("GET", f"/facts?{query}")).json["name"] == "a b"


async def test_names_of_query_parameters_are_exact_unless_the_route_is_loose(fast_lane: bool) -> None:
    async with serving(fast_lane=fast_lane) as server, connected(server) as client:
        for name in ("service_id", "SERVICEID", "serviceid"):
            assert (await client.ask("GET", f"/facts?{name}=a")).json["name"] is None
            assert (await client.ask("GET", f"/loose?{name}=a")).json["name"] == "a"


async def test_a_query_that_is_not_utf_8_or_has_too_many_parameters_is_400(fast_lane: bool) -> None:
    async with serving(fast_lane=fast_lane) as server, connected(server) as client:
        for query in ("serviceId=%ff", "a=1&" * 200):
            assert (await client.ask("GET", f"/facts?{query}")).status == 400


@pytest.mark.parametrize("content_type", ["application/json", "application/json;charset=UTF-8", "Application/JSON"])
async def test_json_bodies_are_taken(fast_lane: bool, content_type: str) -> None:
    async with serving(fast_lane=fast_lane) as server, connected(server) as client:
        assert (await client.ask("POST", "/echo", b"{}", content_type=content_type)).status == 200


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp"])
async def test_other_bodies_are_415_and_the_connection_lives_on(fast_lane: bool, content_type: str) -> None:
    async with serving(fast_lane=fast_lane) as server, connected(server) as client:
        assert (await client.ask("POST", "/echo", b"{}", content_type=content_type)).status == 415
        assert (await client.ask("POST", "/echo", b"{}")).status == 200


async def test_a_route_may_do_without_a_body(fast_lane: bool) -> None:
    async with serving(fast_lane=fast_lane) as server, connected(server) as client:
        assert (await client.ask("POST", "/things/a/publish")).json["size"] == 0
        assert (await client.ask("POST", "/things/a/publish", b"x", content_type="text/plain")).status == 415
        assert (await client.ask("POST", "/echo")).status == 415


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("application/json", 200),
        ("application/*;q=0.1", 200),
        ("text/html, */*;q=0.8", 200),
        ("text/html", 406),
        ("application/json;q=0, */*", 406),
    ],
)
async def test_an_accept_header_that_excludes_json_is_406(fast_lane: bool, accept: str, status: int) -> None:
    async with serving(fast_lane=fast_lane) as server, connected(server) as client:
        assert (await client.ask("POST", "/echo", b"{}", accept=accept)).status == status
        assert (await client.ask("POST", "/cold", b"{}", accept=accept)).status == status


async def test_a_route_may_produce_something_else(fast_lane: bool) -> None:
    async with serving(fast_lane=fast_lane) as server, connected(server) as client:
        answer = await client.ask("GET", "/metrics", accept="application/openmetrics-text, text/plain;q=0.5")
        assert (answer.status, answer.header("content-type")) == (200, "text/plain; version=0.0.4")


async def test_a_refusal_of_a_handler_is_json_with_its_status(fast_lane: bool) -> None:
    async with serving(fast_lane=fast_lane) as server, connected(server) as client:
        answer = await client.ask("POST", "/refuse", b"{}")
        assert answer.status == 409
        assert answer.json == {
            "success": False,
            "status": 409,
            "error": "Conflict",
            "message": "exists already",
            "path": "/refuse",
        }


async def test_a_crash_of_a_handler_is_500_without_a_trace_and_ends_nothing_else(
    fast_lane: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(fast_lane=fast_lane) as server, connected(server) as client, connected(server) as other:
        answer = await client.ask("POST", "/crash", b"{}")
        assert (answer.status, answer.json["status"]) == (500, 500)
        assert b"secret" not in answer.body
        assert b"Traceback" not in answer.body
        assert (await other.ask("POST", "/echo", b"{}")).status == 200
    assert "secret detail" in caplog.text


async def test_the_caller_is_the_peer_and_what_a_proxy_claims_is_kept_apart(fast_lane: bool) -> None:
    async with serving(fast_lane=fast_lane) as server, connected(server) as client:
        facts = (await client.ask("GET", "/facts", x_forwarded_for="10.1.1.1, 10.2.2.2")).json
        assert (facts["ip"], facts["forwarded"]) == ("127.0.0.1", "10.1.1.1, 10.2.2.2")
        assert (await client.ask("GET", "/facts")).json["forwarded"] is None


async def test_what_several_proxies_say_in_headers_of_their_own_is_one_list(fast_lane: bool) -> None:
    """Were the first header all, a client behind such a proxy could call itself what it likes."""
    head = "GET /facts HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 10.66.66.66\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n"
    async with serving(fast_lane=fast_lane) as server, connected(server) as client:
        await client.send(head.encode())
        assert (await client.answer()).json["forwarded"] == "10.66.66.66, 192.0.2.7"


EVERYBODY = Cors(origins=("*",))


async def test_answers_of_the_rpc_contract_may_be_read_by_every_origin_if_an_operator_says_so(fast_lane: bool) -> None:
    async with serving(fast_lane=fast_lane, cors=EVERYBODY) as server, connected(server) as client:
        for path in ("/artemis/api/echo.json", "/artemis/nowhere"):
            answer = await client.ask("POST", path, b"{}")
            assert answer.header("access-control-allow-origin") == "*"
            assert answer.header("access-control-expose-headers") == "*"
            assert answer.header("access-control-allow-credentials") is None
            assert answer.header("vary") == "Accept-Encoding"
        answer = await client.ask("POST", "/echo", b"{}", origin="http://evil")
        assert answer.header("access-control-allow-origin") is None


async def test_a_preflight_of_the_rpc_contract_gets_what_it_asks_for(fast_lane: bool) -> None:
    async with serving(fast_lane=fast_lane, cors=EVERYBODY) as server, connected(server) as client:
        answer = await client.ask(
            "OPTIONS",
            "/artemis/anything",
            access_control_request_method="POST",
            access_control_request_headers="content-type, x-mine",
        )
        assert (answer.status, answer.body) == (200, b"")
        assert answer.header("access-control-allow-methods") == "POST"
        assert answer.header("access-control-allow-headers") == "content-type, x-mine"
        assert answer.header("access-control-max-age") == "3600"


async def test_options_elsewhere_names_the_methods_only(fast_lane: bool) -> None:
    async with serving(fast_lane=fast_lane) as server, connected(server) as client:
        answer = await client.ask("OPTIONS", "/things/a", access_control_request_method="DELETE", origin="http://evil")
        assert (answer.status, answer.header("allow")) == (200, "DELETE, GET, HEAD, OPTIONS")
        assert answer.header("access-control-allow-methods") is None
        assert (await client.ask("OPTIONS", "/nowhere")).status == 404
        assert (await client.ask("OPTIONS", "*")).status == 404


async def test_an_operator_may_name_the_origins(fast_lane: bool) -> None:
    cors = Cors(origins=("https://console.example",))
    async with serving(fast_lane=fast_lane, cors=cors) as server, connected(server) as client:
        ours = await client.ask("POST", "/echo", b"{}", origin="https://console.example")
        theirs = await client.ask("POST", "/echo", b"{}", origin="https://evil.example")
        assert ours.header("access-control-allow-origin") == "https://console.example"
        assert ours.header("access-control-allow-credentials") is None
        assert theirs.header("access-control-allow-origin") is None
        assert ours.header("vary") == theirs.header("vary") == "Accept-Encoding, Origin"


class Counter:
    def __init__(self) -> None:
        self.seen: list[tuple[str, int, str]] = []

    def request(self, name: str, status: int, outcome: str, seconds: float) -> None:
        assert 0 <= seconds < 10
        self.seen.append((name, status, outcome))


async def test_every_request_is_observed_once_under_the_name_of_its_route(fast_lane: bool) -> None:
    counter = Counter()
    async with serving(fast_lane=fast_lane, observer=counter) as server, connected(server) as client:
        await client.ask("POST", "/echo", b"{}")
        await client.ask("POST", "/echo", b"{}", content_type="text/plain")
        await client.ask("POST", "/refuse", b"{}")
        await client.ask("GET", "/things/a")
        await client.ask("GET", "/nowhere")
        await client.ask("POST", "/nowhere/else", b"{}")
    assert counter.seen == [
        ("echo", 200, "success"),
        ("echo", 415, "bad-request"),
        ("refuse", 409, "bad-request"),
        ("thing", 200, "success"),
        ("none", 404, "data-not-found"),
        ("none", 404, "data-not-found"),
    ]


async def test_a_crash_is_observed_under_the_name_of_its_route() -> None:
    counter = Counter()
    async with serving(observer=counter) as server, connected(server) as client:
        await client.ask("POST", "/crash", b"{}")
    assert counter.seen == [("crash", 500, "internal-service-error")]
