"""The head of a request: from its bytes to its facts. Pure, so that one head is parsed once and remembered.

Clients of a registry send the same head again and again; only bodies differ. httptools is strict about what it lets
through (bare line feeds, doubled or signed lengths, a length beside chunks); what it leaves to us is refused here.
"""

from dataclasses import dataclass

import httptools

from .errors import ClientError, Header

HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\n"


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
        self.url = b""
        self.headers: list[Header] = []
        self.parser = httptools.HttpRequestParser(self)
        self.complete = False
        self.keep_alive = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.strip()))

    def on_headers_complete(self) -> None:
        # The parser forgets the Connection header when the message is complete.
        self.complete = True
        self.keep_alive = self.parser.should_keep_alive()


def parse_head(raw: bytes) -> Head:
    """The facts of a head that ends with its blank line. Raises ClientError with the status to answer."""
    collector = _Collector()
    try:
        collector.parser.feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass  # raised for CONNECT and for any offer to upgrade; whether one is accepted is decided elsewhere
    except httptools.HttpParserError as error:
        raise ClientError(400, f"not a valid HTTP/1.1 request: {error}") from None
    if not collector.complete:
        raise ClientError(400, "not a valid HTTP/1.1 request")
    version = collector.parser.get_http_version()
    if version not in ("1.0", "1.1"):
        raise ClientError(505, f"HTTP/{version} is not spoken here")
    path, _, query = collector.url.partition(b"?")
    head = Head(
        method=collector.parser.get_method(),
        path=path,
        query=query,
        headers=tuple(collector.headers),
        http_1_0=version == "1.0",
        keep_alive=collector.keep_alive,
        length=_length(collector.headers),
        chunked=any(name == b"transfer-encoding" for name, _ in collector.headers),
    )
    _refuse_ambiguity(head)
    return head


def _length(headers: list[Header]) -> int:
    for name, value in headers:
        if name == b"content-length":
            return int(value)
    return 0


def _refuse_ambiguity(head: Head) -> None:
    """Refuse what another server on the way may understand differently from us."""
    hosts = sum(name == b"host" for name, _ in head.headers)
    if hosts > 1 or (hosts == 0 and not head.http_1_0):
        raise ClientError(400, "exactly one Host header is required")
    if head.chunked:
        if head.http_1_0:
            raise ClientError(400, "HTTP/1.0 has no Transfer-Encoding")
        if head.tokens(b"transfer-encoding") != {b"chunked"}:
            raise ClientError(501, "the only Transfer-Encoding understood is chunked")
