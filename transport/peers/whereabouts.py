"""Where a url leads, as far as the names and the addresses of this machine can tell."""

import ipaddress
import socket
from urllib.parse import urlsplit

import trio


async def is_at(url: str, address: str) -> bool:
    """Whether this address is one of the machine to which the url leads. False for a url that leads nowhere.

    Who calls from the loopback is on this machine, and may be reached at any address of it.
    """
    try:
        host = urlsplit(url).hostname or ""
        caller = ipaddress.ip_address(address)
        found = await trio.socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (ValueError, OSError):  # no url, no address (behind a proxy), no such name
        return False
    addresses = {ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found}
    return caller in addresses or (caller.is_loopback and any(map(_is_own, addresses)))


def _is_own(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether this machine has the address: nobody else could listen there."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True
