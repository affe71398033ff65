"""Browsers: which pages may read the answers of this node, write to it, and open its WebSockets.

Whoever is no browser sends neither Origin nor Sec-Fetch-Site, and is not judged here. A browser sends at least one of
them with every request that could change something and with every opening handshake, and no page can forge them.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from artemis.store.addresses import address_of

from .errors import ClientError, Header
from .heads import Head
from .sockets import PeerRoute, SocketRoute

RPC: Final = "/artemis/"
REPLICATION: Final = ("/artemis/api/replication/", "/api/replication/")
SAFE: Final = frozenset({b"GET", b"HEAD", b"OPTIONS"})
_PORT: Final = re.compile(r":[0-9]+$")


def nobody(ip: str) -> bool:
    """No proxy is trusted."""
    return False


@dataclass(frozen=True, slots=True)
class Cors:
    """Which origins may use this node, beside its own."""

    origins: tuple[str, ...] = ()
    """`*` for all, on the paths of the RPC contract only, which has it so; others may use every path."""
    credentials: bool = False
    max_age_s: int = 3600
    names: frozenset[str] = frozenset()
    """Hosts, in lower case, by which this node is known, beside its addresses and localhost."""
    trusts: Callable[[str], bool] = nobody
    """Whether an address is that of a proxy whose X-Forwarded headers are believed."""

    def covers(self, path: str) -> bool:
        if not self.origins or path.startswith(REPLICATION):
            return False
        return "*" not in self.origins or path.startswith(RPC)

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

    def refusal(self, head: Head, ip: str, *, socket: SocketRoute | PeerRoute | None = None) -> ClientError | None:
        """Why a page may not send this request from the browser of somebody at `ip`; None when it may, or is none."""
        origin, site = head.header(b"origin"), head.header(b"sec-fetch-site")
        if origin is None and site is None:
            return None
        path = head.path.decode("latin-1")
        if isinstance(socket, PeerRoute) or path.startswith(REPLICATION):
            return ClientError(403, "this path is for nodes, not for pages in browsers")
        if head.method in SAFE and socket is None:
            return None  # what it reads, the browser keeps from it
        if origin is not None and self.covers(path) and self._allowed(origin) is not None:
            return None
        if site in (b"same-origin", b"none") or (site is None and self._is_own(origin or b"", head, ip)):
            return None
        return ClientError(403, "pages of this origin may not do this; cors.origins lists those that may")

    def _is_own(self, origin: bytes, head: Head, ip: str) -> bool:
        """Whether the page came from here: from the host that it now asks, if that is a name of ours."""
        scheme, _, authority = origin.decode("latin-1").lower().partition("://")
        host, vouched = head.header(b"host"), False
        if self.trusts(ip):
            if head.header(b"x-forwarded-proto") not in (None, scheme.encode()):
                return False
            forwarded = head.header(b"x-forwarded-host")
            host, vouched = forwarded or host, forwarded is not None
        if host is None or _with_port(authority, scheme) != _with_port(host.decode("latin-1").lower(), scheme):
            return False
        return vouched or self._is_ours(authority)

    def _is_ours(self, authority: str) -> bool:
        """A page of a name that somebody else holds, and lets point to this node, is not ours (DNS rebinding)."""
        name = authority.rpartition(":")[0] if _PORT.search(authority) else authority
        name = name.removeprefix("[").removesuffix("]")
        return name == "localhost" or name in self.names or address_of(name) is not None

    def _allowed(self, origin: bytes | None) -> bytes | None:
        if "*" in self.origins:
            return b"*"
        if origin is not None and origin.decode("latin-1") in self.origins:
            return origin
        return None


def _with_port(authority: str, scheme: str) -> str:
    return authority if _PORT.search(authority) else f"{authority}:{443 if scheme == 'https' else 80}"
