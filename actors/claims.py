"""Whose url is whose: a node that dials us says where it is reached, and others are sent there.

Who knows the secret may join without being listed, but not as somebody else. What counts, in this order:
* one url has one node at a time: while it is linked nobody else has its url, and nobody has ours;
* a listed url belongs to the node that answered when we dialled it, by its name. Another node with that url is let in
  when our own dial has found it there;
* before anybody has answered, and for a url that is not listed, the call must come from the machine of that url.
So a listed node may call from any address, behind NAT for example, once it has been reached.
"""

from collections.abc import Awaitable, Callable, Iterable

from .handshake import Identity, Refused

IsAt = Callable[[str, str], Awaitable[bool]]
"""Whether an address (second) is one of the machine to which a url (first) leads."""


async def anywhere(url: str, address: str) -> bool:
    """For worlds in which nodes have no addresses."""
    return True


class Claims:
    """Judges what nodes that dial us say of themselves."""

    def __init__(self, me: Identity, listed: Iterable[str], *, is_at: IsAt) -> None:
        self._me = me
        self._listed = frozenset(listed)
        self._is_at = is_at
        self._answered: dict[str, str] = {}
        """Listed url to the name of the node that answered there last."""

    def answered(self, url: str, them: Identity) -> None:
        """We dialled a url, and this node answered and knew the secret."""
        self._answered[url] = them.node_id

    async def objection(self, them: Identity, address: str, *, linked: Iterable[Identity]) -> Refused | None:
        """Why a node may not have the url that it says is its own; None when it may."""
        for other in (self._me, *linked):
            if other.url == them.url and other.node_id != them.node_id:
                return Refused("same-url", f"{them.node_id} says that it is at {them.url}, and so does {other.node_id}")
        owner = self._answered.get(them.url) if them.url in self._listed else None
        if owner == them.node_id:
            return None
        if owner is not None:
            return Refused("not-your-url", f"{owner} answers at {them.url}, not {them.node_id}")
        if not await self._is_at(them.url, address):
            return Refused("not-your-url", f"{them.node_id} calls from {address}, which is not where {them.url} leads")
        return None
