"""Namesakes: two nodes of one name would date rows alike, so only one of them is a peer. Pure.

The one that is up stays; of two that are alike in that, the one that was here first. A name also stays with the node of
our list that had it while it was up and is away now: its namesake does not take its place each time it is restarted.
"""

from collections.abc import Mapping
from typing import Literal

from .frames import Word
from .handshake import Identity, Refused
from .members import SOURCES, Member, NodeStatus


def clash(peer: Identity, peer_word: Word, them: Identity, word: Word) -> Refused | Literal["give way"] | None:
    """Whether another node may join beside a peer that is linked, or the peer has to give way to it."""
    if peer.node_id != them.node_id:
        if peer.origin != them.origin:
            return None
        text = f"the names {them.node_id} and {peer.node_id} hash alike; give one of them another node.id"
        return Refused("node-id-taken", text)
    if peer.url == them.url:
        return None
    if peer_word.status == NodeStatus.STARTING and word.status != NodeStatus.STARTING:
        return "give way"
    return _taken(them, peer.url)


def clash_in_list(them: Identity, members: Mapping[str, Member]) -> Refused | None:
    """The same for members that are away; `members` by URL."""
    own = members.get(them.url)
    if own is None or not own.configured:
        return None
    for url, member in members.items():
        known = member.identity
        if url == them.url or not member.configured or known is None or known.node_id != them.node_id:
            continue
        if member.word is not None and member.word.status in SOURCES:
            return _taken(them, url)
    return None


def _taken(them: Identity, by_url: str) -> Refused:
    text = f"{them.url} and {by_url} are both called {them.node_id}; give one of them another node.id"
    return Refused("node-id-taken", text)
