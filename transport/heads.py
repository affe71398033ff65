"""The head of a request: from its bytes to its facts. Pure, so that one head is parsed once and remembered.

Every request of every connection is judged here, whoever answers it: what two servers could understand differently is
refused, because a proxy in front of the node may be one of them. httptools is strict about header lines (folded ones,
spaces before the colon, control characters) and framing (doubled or signed lengths, a length beside chunks). What it
would let through is refused here.
"""

import re
from dataclasses import dataclass
from typing import Final

import httptools

from .errors import ClientError, Header

METHODS: Final = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})
HEADERS_MAX: Final = 100
"""Header lines of one request. More are answered 431."""
LENGTH_DIGITS_MAX: Final = 20
"""As many as 2^64 has. More, zeros in front included, are a 400."""

_REQUEST_LINE: Final = re.compile(rb"([A-Z]+) ([!-~]+) HTTP/([0-9])\.([0-9])\r\n")
_BARE: Final = re.compile(rb"\r(?!\n)|(?<!\r)\n")
"""Half of a line's end, which some take for a whole one."""
_HOST: Final = re.compile(rb"(?:\[[0-9A-Fa-f:.%]+\]|[0-9A-Za-z._~%!$&'()*+,;=-]*)(?::[0-9]*)?")
_ABSOLUTE: Final = re.compile(rb"https?://([^/?]*)(.*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Head:
    """What the first lines of a request say. Header names are lower-case."""

    method: bytes
    path: bytes
    query: bytes
    headers: tuple[Header, ...]
    http_1_0: bool
    keep_alive: bool
    length: int
    """Of the body that follows; 0 when there is none, or when it is chunked."""
    chunked: bool

    def header(self, name: bytes) -> bytes | None:
        for key, value in self.headers:
            if key == name:
                return value
        return None

    def tokens(self, name: bytes) -> set[bytes]:
        """The comma-separated, lower-cased values of all headers of this name."""
        values = b",".join(value for key, value in self.headers if key == name)
        return {token for part in values.split(b",") if (token := part.strip().lower())}


class _Collector:
    """Receives the callbacks of one parser."""

    def __init__(self) -> None:
        self.headers: list[Header] = []
        self.parser = httptools.HttpRequestParser(self)
        self.complete = False
        self.keep_alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.strip()))

    def on_headers_complete(self) -> None:
        # The parser forgets the Connection header when the message is complete.
        self.complete = True
        self.keep_alive = self.parser.should_keep_alive()


def screen(raw: bytes | bytearray, start: int = 0) -> None:
    """Refuse what will never become a head, before all of it is here. Bytes before `start` have been looked at.

    The last byte may be one half of a line's end; it is looked at together with the next one.
    """
    first = raw[:64].lstrip(b"\r\n")[:1]
    if first and not b"A" <= first <= b"Z":
        raise ClientError(400, "this is not HTTP")
    if start == 0 and raw.count(b"\r") == raw.count(b"\n") == raw.count(b"\r\n"):
        return  # as good, and five times as fast, for a whole head
    bare = _BARE.search(raw, max(0, start - 1))
    if bare is not None and not (bare.end() == len(raw) and raw.endswith(b"\r")):
        raise ClientError(400, "the lines of a request must end with CR LF")


def parse_head(raw: bytes) -> Head:
    """The facts of a head that ends with its blank line. Raises ClientError with the status to answer."""
    screen(raw)
    raw = raw.lstrip(b"\r\n")  # blank lines before a request are forgiven
    method, target = _request_line(raw)
    collector = _Collector()
    try:
        collector.parser.feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass  # raised for any offer to upgrade; whether one is accepted is decided elsewhere
    except httptools.HttpParserError as error:
        raise ClientError(400, f"not a valid HTTP/1.1 request: {error}") from None
    if not collector.complete:
        raise ClientError(400, "not a valid HTTP/1.1 request")
    headers = collector.headers
    if len(headers) > HEADERS_MAX:
        raise ClientError(431, f"a request has at most {HEADERS_MAX} header lines")
    path, _, query = _origin_form(method, target, headers).partition(b"?")
    head = Head(
        method=method,
        path=path,
        query=query,
        headers=tuple(headers),
        http_1_0=collector.parser.get_http_version() == "1.0",
        keep_alive=collector.keep_alive,
        length=_length(headers),
        chunked=any(name == b"transfer-encoding" for name, _ in headers),
    )
    _refuse_ambiguity(head)
    return head


def _request_line(raw: bytes) -> tuple[bytes, bytes]:
    """Method and target."""
    line = _REQUEST_LINE.match(raw)
    if line is None:
        raise ClientError(400, "not a valid HTTP/1.1 request: its first line is not METHOD /path HTTP/1.1")
    method, target, major, minor = line.groups()
    if (major, minor) not in ((b"1", b"1"), (b"1", b"0")):
        raise ClientError(505, f"HTTP/{major.decode()}.{minor.decode()} is not supported; use HTTP/1.1")
    if method not in METHODS:
        raise ClientError(501, f"the method {method[:32].decode()} is not supported")
    if b"#" in target:
        raise ClientError(400, "the target of a request must not have a fragment (#)")
    return method, target


def _origin_form(method: bytes, target: bytes, headers: list[Header]) -> bytes:
    """The target as it is after the name of the server. http://host/path must name the host that Host names."""
    if target.startswith(b"/") or (target == b"*" and method == b"OPTIONS"):
        return target
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise ClientError(400, "the target of a request must be a path that begins with a slash")
    authority, rest = absolute.groups()
    if authority.lower() != next((value for name, value in headers if name == b"host"), b"").lower():
        raise ClientError(400, "the target of the request and its Host header name different hosts")
    return rest if rest.startswith(b"/") else b"/" + rest


def _length(headers: list[Header]) -> int:
    for name, value in headers:
        if name == b"content-length":
            if len(value) > LENGTH_DIGITS_MAX:
                raise ClientError(400, f"a Content-Length has at most {LENGTH_DIGITS_MAX} digits")
            return int(value)
    return 0


def _refuse_ambiguity(head: Head) -> None:
    """Refuse what another server on the way may understand differently from us."""
    names = [name for name, _ in head.headers]
    hosts = names.count(b"host")
    if hosts > 1 or (hosts == 0 and not head.http_1_0):
        raise ClientError(400, "exactly one Host header is required")
    if hosts and not _HOST.fullmatch(head.header(b"host") or b""):
        raise ClientError(400, "the Host header must be a name or an address, with or without a port")
    if head.chunked:
        if head.http_1_0:
            raise ClientError(400, "Transfer-Encoding is not allowed in HTTP/1.0")
        if (head.header(b"transfer-encoding") or b"").lower() != b"chunked":
            raise ClientError(501, "the only supported Transfer-Encoding is chunked")
    if b"expect" in names and head.tokens(b"expect") - {b"100-continue"}:
        raise ClientError(417, "the only supported expectation is 100-continue")
