"""Answers as bytes of HTTP/1.1, and what cross-origin callers are told."""

from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import formatdate

from .errors import Header, phrase_of
from .requests import Reply

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CLOSE: tuple[Header, ...] = ((b"Connection", b"close"),)
KEEP_ALIVE: tuple[Header, ...] = ((b"Connection", b"keep-alive"),)


@dataclass(frozen=True, slots=True)
class Cors:
    """What scripts of other origins may read.

    The RPC contract allows every origin, with credentials. That is permissive, so it holds for the paths of that
    contract only, and an operator can name the origins instead, or none.
    """

    prefixes: tuple[str, ...] = ("/artemis/",)
    origins: tuple[str, ...] = ("*",)
    credentials: bool = True
    max_age_s: int = 3600

    def covers(self, path: str) -> bool:
        return bool(self.origins) and path.startswith(self.prefixes)

    def headers(self, path: str, origin: bytes | None) -> tuple[Header, ...]:
        """What every answer on this path carries."""
        if not self.covers(path):
            return ()
        allowed = self._allowed(origin)
        if allowed is None:
            return ((b"Vary", b"Accept-Encoding, Origin"),)
        vary = b"Accept-Encoding" if "*" in self.origins else b"Accept-Encoding, Origin"
        headers = [
            (b"Access-Control-Allow-Origin", allowed),
            (b"Access-Control-Expose-Headers", b"*"),
            (b"Vary", vary),
        ]
        if self.credentials:
            headers.insert(2, (b"Access-Control-Allow-Credentials", b"true"))
        return tuple(headers)

    def preflight(self, path: str, origin: bytes | None, asked: Sequence[Header]) -> tuple[Header, ...]:
        """What an OPTIONS request is told, beside `headers`: what it asks for is what it gets."""
        if not self.covers(path) or self._allowed(origin) is None:
            return ()
        wanted = dict(asked)
        headers = [(b"Access-Control-Max-Age", str(self.max_age_s).encode())]
        for question, answer in (
            (b"access-control-request-method", b"Access-Control-Allow-Methods"),
            (b"access-control-request-headers", b"Access-Control-Allow-Headers"),
        ):
            if question in wanted:
                headers.append((answer, wanted[question]))
        return tuple(headers)

    def _allowed(self, origin: bytes | None) -> bytes | None:
        if "*" in self.origins:
            return b"*"
        if origin is not None and origin.decode("latin-1") in self.origins:
            return origin
        return None


def start_of(status: int, content_type: bytes, headers: Sequence[Header]) -> bytes:
    """Status line and headers up to where the date and the length follow."""
    lines = [b"HTTP/1.1 %d %b\r\n" % (status, phrase_of(status).encode())]
    if content_type:
        lines.append(b"Content-Type: %b\r\n" % content_type)
    for name, value in headers:
        assert b"\n" not in value, "a header with a line feed in it would be two"
        assert b"\r" not in value
        lines.append(b"%b: %b\r\n" % (name, value))
    return b"".join(lines)


def date_line(now_s: float) -> bytes:
    """The Date header, and the name of the length that ends every head."""
    return b"Date: %b\r\nContent-Length: " % formatdate(now_s, usegmt=True).encode()


def render(reply: Reply, date: bytes, headers: Sequence[Header] = ()) -> bytes:
    """A whole answer."""
    start = start_of(reply.status, reply.content_type, (*headers, *reply.headers))
    return b"%b%b%d\r\n\r\n%b" % (start, date, len(reply.body), reply.body)
