"""Bodies of requests: chunks joined, compression undone, and never a byte more than the limit."""

import zlib
from enum import Enum, auto

from .errors import ClientError

CHUNK_LINE_BYTES_MAX = 256
"""Size line of a chunk, extensions included. Longer is a 400."""
TRAILER_BYTES_MAX = 8 * 1024
"""Extensions of the chunks, and fields after the last one; they are ignored. More is a 400."""
GZIP_MEMBERS_MAX = 64
"""Each costs a copy of what follows it. More is a 400."""
GZIP_WINDOW, ZLIB_WINDOW, RAW_WINDOW = 31, 15, -15
HEX_DIGITS = frozenset(b"0123456789abcdefABCDEF")


def too_large(limit: int) -> ClientError:
    return ClientError(413, f"the body is larger than {limit} bytes")


class _Part(Enum):
    SIZE = auto()
    DATA = auto()
    DATA_END = auto()
    TRAILER = auto()


class Chunks:
    """A chunked body that arrives in pieces. Sans I/O: bytes go in, and it says when it has them all."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._part = _Part.SIZE
        self._body = bytearray()
        self._left = 0
        self._pending = b""
        self._ignored_bytes = 0
        self.rest = b""
        """What followed the body, once it is complete."""

    @property
    def body(self) -> bytes:
        return bytes(self._body)

    @property
    def size(self) -> int:
        """Of the body, as far as it is here."""
        return len(self._body)

    def feed(self, data: bytes) -> bool:
        """Take the next bytes; True when the body is complete. Raises ClientError 400 or 413."""
        data = self._pending + data if self._pending else data
        position = 0
        while True:
            if self._part is _Part.DATA:
                position = self._take(data, position)
            if self._part is _Part.DATA_END:
                position = self._take_data_end(data, position)
            if self._part is _Part.DATA or self._part is _Part.DATA_END:
                break
            end = data.find(b"\r\n", position)
            if end < 0:
                break
            line, position = data[position:end], end + 2
            if b"\n" in line or b"\r" in line:  # a line to some proxies, which would then see other requests than we
                raise ClientError(400, "the lines between chunks must end with CR LF")
            if self._part is _Part.SIZE:
                self._begin_chunk(line)
            elif line:
                self._ignore(len(line) + 2)
            else:
                self.rest = data[position:]
                return True
        self._pending = data[position:]
        if len(self._pending) > (TRAILER_BYTES_MAX if self._part is _Part.TRAILER else CHUNK_LINE_BYTES_MAX):
            raise ClientError(400, "a line between chunks is too long")
        return False

    def _begin_chunk(self, line: bytes) -> None:
        size, _, extensions = line.partition(b";")
        digits = size.rstrip(b" \t")
        if not 0 < len(digits) <= 8 or not HEX_DIGITS.issuperset(digits) or len(line) > CHUNK_LINE_BYTES_MAX:
            raise ClientError(400, "a chunk must begin with its size in hexadecimal digits")
        self._ignore(len(extensions))
        self._left = int(digits, 16)
        if len(self._body) + self._left > self._limit:
            raise too_large(self._limit)
        self._part = _Part.DATA if self._left else _Part.TRAILER

    def _take(self, data: bytes, position: int) -> int:
        piece = data[position : position + self._left]
        self._body += piece
        self._left -= len(piece)
        if not self._left:
            self._part = _Part.DATA_END
        return position + len(piece)

    def _take_data_end(self, data: bytes, position: int) -> int:
        ending = data[position : position + 2]
        if len(ending) < 2:
            return position
        if ending != b"\r\n":
            raise ClientError(400, "a chunk is longer than it says")
        self._part = _Part.SIZE
        return position + 2

    def _ignore(self, size: int) -> None:
        self._ignored_bytes += size
        if self._ignored_bytes > TRAILER_BYTES_MAX:
            raise ClientError(
                400, f"the chunks of the body come with more than {TRAILER_BYTES_MAX} bytes of extensions and trailers"
            )


def encoding_of(value: bytes | None) -> bytes:
    """The Content-Encoding, b"" for none. Raises ClientError 415 for one that is not understood."""
    name = (value or b"").strip().lower()
    if name in (b"", b"identity"):
        return b""
    if name in (b"gzip", b"x-gzip"):
        return b"gzip"
    if name == b"deflate":
        return name
    raise ClientError(
        415,
        "the Content-Encoding is not one of gzip, x-gzip, deflate, identity",
        headers=((b"Accept-Encoding", b"gzip, deflate"),),
    )


def inflate(body: bytes, encoding: bytes, limit: int) -> bytes:
    """The body without its compression. Stops inflating at the limit: 413; 400 when it is not what it says."""
    if not encoding or not body:
        return body
    try:
        if encoding == b"gzip":
            return _inflate_gzip(body, limit)
        # Half of the world sends deflate with the zlib header it should have, the other half without.
        window = ZLIB_WINDOW if body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0 else RAW_WINDOW
        data, rest = _inflate_member(body, window, limit)
    except zlib.error:
        raise ClientError(400, f"the body is not {encoding.decode()}, as its Content-Encoding says") from None
    if rest:
        raise ClientError(400, "there are bytes after the end of the compressed body")
    return data


def _inflate_gzip(body: bytes, limit: int) -> bytes:
    """A gzip file may be several, one after the other."""
    data, rest = _inflate_member(body, GZIP_WINDOW, limit)
    for _ in range(GZIP_MEMBERS_MAX):
        if not rest:
            return data
        more, rest = _inflate_member(rest, GZIP_WINDOW, limit)
        data += more
        if len(data) > limit:
            raise too_large(limit)
    raise ClientError(400, f"the body consists of more than {GZIP_MEMBERS_MAX} gzip members")


def _inflate_member(body: bytes, window: int, limit: int) -> tuple[bytes, bytes]:
    inflater = zlib.decompressobj(wbits=window)
    data = inflater.decompress(body, limit + 1)
    if len(data) > limit:
        raise too_large(limit)
    if not inflater.eof:
        # The limit did not cut the output short, so the input must be incomplete.
        raise zlib.error("truncated")
    return data, inflater.unused_data
