"""Answers as bytes of HTTP/1.1."""

from collections.abc import Sequence
from email.utils import formatdate

from .errors import Header, phrase_of
from .requests import Reply

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CLOSE: tuple[Header, ...] = ((b"Connection", b"close"),)
KEEP_ALIVE: tuple[Header, ...] = ((b"Connection", b"keep-alive"),)


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
