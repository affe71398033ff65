"""IP addresses as texts: many spellings, one address. Texts are compared in the one spelling that is made here."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAPPED_BITS: Final = 96
"""Of an IPv4 address mapped into IPv6 (::ffff:10.0.0.1), the bits in front of the address itself."""


def address_of(text: str) -> Address | None:
    """The address that a text means, mapped ones as what they map; None when it means none."""
    try:
        address = ip_address(text.strip().removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def canonical_ip(text: str) -> str:
    """The one spelling of an address; a text that is none, without the blanks around it."""
    if ":" not in text:  # there is only one way of writing an IPv4 address
        return text.strip()
    address = address_of(text)
    return text.strip() if address is None else str(address)


def network_of(text: str) -> Network | None:
    """The network (or the single address) that a text means; None when it means none."""
    try:
        network = ip_network(text.strip(), strict=False)
    except ValueError:
        return None
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is None or network.prefixlen < MAPPED_BITS:
        return network
    return IPv4Network((mapped, network.prefixlen - MAPPED_BITS))


def host_address(url: str) -> str:
    """The address that is the host of a url, in its one spelling; empty when the host is a name, or there is none."""
    try:
        host = urlsplit(url if "://" in url else f"//{url}").hostname or ""
    except ValueError:
        return ""
    address = address_of(host.replace("%25", "%"))
    return "" if address is None else str(address)
