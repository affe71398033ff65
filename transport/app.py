"""The Quart-Trio app: every route, with the same checks and the same answers as the fast lane."""

import inspect
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from itertools import groupby
from typing import cast
from urllib.parse import unquote

from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope, Scope
from quart import Blueprint, request
from quart_trio import QuartTrio
from quart_trio.wrappers import TrioResponse
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from .bodies import encoding_of, inflate
from .errors import ClientError, Header
from .limits import Limits
from .negotiation import refusal
from .observation import UNROUTED, Observer
from .origins import RPC, Cors
from .requests import JSON, Caller, Reply, Request, Route, error_reply, forwarded_for

View = Callable[..., Awaitable[TrioResponse]]


def build_app(
    routes: Iterable[Route],
    *,
    limits: Limits,
    cors: Cors,
    observer: Observer | None = None,
    blueprints: Sequence[Blueprint] = (),
) -> QuartTrio:
    """The whole API as an ASGI app. `blueprints` are added as they are (the console, for example)."""
    app = _App(__name__, static_folder=None, template_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = None  # bodies come complete, and within the limits
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.url_map.merge_slashes = False
    app.url_map.strict_slashes = False
    views = _Views(limits, observer)
    for area, members in groupby(sorted(routes, key=_area), key=_area):
        app.register_blueprint(_blueprint(area, members, views))
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
    app.register_error_handler(HTTPException, views.http_error)
    app.before_request(_refuse_double_slash)
    app.before_request(partial(_options, cors))
    return app


class _App(QuartTrio):
    """Routes by the path as it was sent, so that %2F is no slash and %61 no letter of a route, as in the fast lane.

    Only what stands for a {placeholder} is percent-decoded, once it has been found.
    """

    async def asgi_app(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] != "lifespan":
            scope["path"] = cast("HTTPScope", scope)["raw_path"].decode("latin-1")
        await super().asgi_app(scope, receive, send)


async def _refuse_double_slash() -> None:
    """Werkzeug would look for the path without its first slashes."""
    if _path().startswith("//"):
        raise NotFound


def _area(route: Route) -> str:
    """The part of the API that a route belongs to: registry, discovery, routing, ..."""
    names = [name for name in route.path.split("/") if name not in ("", "artemis", "api")]
    return names[0].partition(".")[0] if names else "root"


def _blueprint(area: str, routes: Iterable[Route], views: "_Views") -> Blueprint:
    blueprint = Blueprint(area, __name__)
    for number, route in enumerate(routes):
        rule = route.path.replace("{", "<").replace("}", ">")
        blueprint.add_url_rule(
            rule, f"{route.name.replace('.', '-')}-{number}", views.view(route), methods=[route.method]
        )
    return blueprint


class _Views:
    """From Quart's requests to ours, and from our replies to Quart's."""

    def __init__(self, limits: Limits, observer: Observer | None) -> None:
        self._limits = limits
        self._observer = observer
        self._names: dict[str, str] = {}

    def view(self, route: Route) -> View:
        async def view(**params: str) -> TrioResponse:
            started_s = time.perf_counter()
            try:
                reply = route.handler(await self._receive(route, params))
                if inspect.isawaitable(reply):
                    reply = await reply
            except ClientError as error:
                reply = error_reply(error, _path())
            self._observe(route.name, reply, time.perf_counter() - started_s)
            return _response(reply)

        return view

    async def _receive(self, route: Route, params: dict[str, str]) -> Request:
        """Check the media types, undo the compression. Raises ClientError."""
        headers = _headers()
        refused = refusal(route, partial(_header, headers), self._limits)
        if refused is not None:
            raise refused
        body: bytes = await request.get_data(cache=False, as_text=False, parse_form_data=False)
        encoding = encoding_of(_header(headers, b"content-encoding"))
        return Request(
            method=request.method,
            path=_path(),
            query=request.query_string,
            body=inflate(body, encoding, self._limits.body_bytes),
            caller=Caller(request.remote_addr or "", forwarded_for(headers)),
            headers=headers,
            params={name: _decoded(value) for name, value in params.items()},
            loose=route.loose,
        )

    async def http_error(self, error: HTTPException) -> TrioResponse:
        """Say in JSON what Quart and Werkzeug found: unknown paths, wrong methods, and our own failures."""
        status = error.code or 500
        headers: tuple[Header, ...] = ()
        match error:
            case NotFound():
                message = "nothing is served at this path"
            case MethodNotAllowed():
                allowed = ", ".join(sorted(error.valid_methods or ()))
                message, headers = f"this path answers {allowed}", ((b"Allow", allowed.encode()),)
            case _ if status >= 500:
                message = "the node failed to answer; its log says why"
            case _:
                message = error.description or error.name
        reply = error_reply(ClientError(status, message, headers=headers), _path())
        self._observe(UNROUTED, reply, 0.0)
        return _response(reply)

    def _observe(self, name: str, reply: Reply, seconds: float) -> None:
        if self._observer is not None:
            self._observer.request(name, reply.status, reply.outcome, seconds)


def _decoded(segment: str) -> str:
    try:
        return unquote(segment, errors="strict")
    except UnicodeDecodeError:
        raise ClientError(400, "the path is not UTF-8") from None


def _path() -> str:
    """The path as it was sent. The one that Quart knows begins with one slash, however many there were."""
    path: str = request.scope["path"]
    return path


def _headers() -> tuple[Header, ...]:
    return tuple((name.lower(), value) for name, value in request.scope["headers"])


def _header(headers: Sequence[Header], name: bytes) -> bytes | None:
    return next((value for key, value in headers if key == name), None)


def _response(reply: Reply) -> TrioResponse:
    response = TrioResponse(reply.body, reply.status, content_type=reply.content_type.decode())
    for name, value in reply.headers:
        response.headers.add(name.decode("latin-1"), value.decode("latin-1"))
    return response


async def _options(cors: Cors) -> TrioResponse | None:
    """OPTIONS is answered for every path of the RPC contract, and for others that exist."""
    if request.method != "OPTIONS":
        return None
    unroutable = request.routing_exception
    if isinstance(unroutable, NotFound) and not (_path().startswith(RPC) or cors.covers(_path())):
        return None
    headers = _headers()
    answer = list(cors.preflight(_path(), _header(headers, b"origin"), headers))
    if isinstance(unroutable, MethodNotAllowed):
        allowed = sorted({*(unroutable.valid_methods or ()), "OPTIONS"})
        answer.append((b"Allow", ", ".join(allowed).encode()))
    return _response(Reply(200, b"", tuple(answer), JSON))
