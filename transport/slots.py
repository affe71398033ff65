"""Who may have a connection: bounds that keep one address, and idle WebSockets, from shutting everybody else out.

Some addresses are near: this machine, the proxies that are trusted, the other nodes. Many clients may stand behind one
of them, so there is no bound for it; and a share of all connections is kept for them, so that health checks on this
machine, peers and operators get through when everything else is taken.
"""

import ipaddress
from collections import Counter
from collections.abc import Callable

from .limits import Limits
from .requests import Caller

Near = Callable[[str], bool]
"""Whether an address is one from which many come."""


def is_this_machine(ip: str) -> bool:
    """The addresses that are near when nobody says more."""
    try:
        return ipaddress.ip_address(ip).is_loopback
    except ValueError:
        return False


def nearest(caller: Caller) -> str:
    """The address of the connection."""
    return caller.ip


class Slots:
    """Counts connections, and the WebSockets of clients among them."""

    def __init__(self, limits: Limits, *, is_near: Near, address_of: Callable[[Caller], str]) -> None:
        """`address_of` says who opens a WebSocket: behind a trusted proxy it is not the address of the connection."""
        self._is_near = is_near
        self._address_of = address_of
        self._connections_max = limits.connections
        self._strangers_max = limits.connections - min(limits.reserved_connections, limits.connections // 10)
        self._sockets_max = min(limits.websockets, limits.connections - limits.connections // 5)
        self._address_max = limits.connections_per_address
        self._connections = 0
        self._sockets = 0
        self._by_address: Counter[str] = Counter()
        self._sockets_by_address: Counter[str] = Counter()

    def take(self, ip: str) -> str | None:
        """A connection from this address; the reason when there is no place for it. `leave` gives the place back."""
        if not self._is_near(ip):
            if self._connections >= self._strangers_max:
                return "this node has too many connections (limits.connections)"
            if self._by_address.get(ip, 0) >= self._address_max:
                return f"this node has {self._address_max} connections from {ip} (limits.connections_per_address)"
        elif self._connections >= self._connections_max:
            return "this node has too many connections (limits.connections)"
        self._connections += 1
        self._by_address[ip] += 1
        return None

    def leave(self, ip: str) -> None:
        self._connections -= 1
        _forget(self._by_address, ip)

    def take_socket(self, caller: Caller) -> str | None:
        """The same for a WebSocket of a client."""
        address = self._address_of(caller)
        if self._sockets >= self._sockets_max:
            return f"this node has {self._sockets_max} WebSockets (limits.websockets)"
        if self._sockets_by_address.get(address, 0) >= self._address_max and not self._is_near(address):
            return f"this node has {self._address_max} WebSockets from {address} (limits.connections_per_address)"
        self._sockets += 1
        self._sockets_by_address[address] += 1
        return None

    def leave_socket(self, caller: Caller) -> None:
        self._sockets -= 1
        _forget(self._sockets_by_address, self._address_of(caller))


def _forget(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
