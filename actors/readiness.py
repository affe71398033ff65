"""Readiness: whether a node may call itself up. Pure.

* This node is STARTING until one of these holds; then it is UP for good:
    1. there is nobody else;
    2. it has synchronised with a peer that is up (or draining);
    3. every peer was found to be absent (nobody listens there), or is starting too and has synchronised with us;
    4. for `bootstrap_s`, nobody who is up was heard of, and nobody else answers.
  While a peer that is up can be reached, only (2) counts: a node never hands out the lists of a table half filled.
* A peer that answers but has not introduced itself (its process starts, its machine is slow, a handshake is under way),
  or that is starting too and has not synchronised, is waited for, but no longer than `patience_s` after our start: it
  may as well be a black hole. A peer of dialect `rpc` that is starting keeps nothing on disk, and is not waited for.
* A peer that refuses us is there, and we do not belong to it. If it is up, or does not say how it is, we stay STARTING
  until it accepts us, or is gone, or (2) holds with another one, or an operator forces us up. Peers that refuse us and
  are starting, too, are outvoted by those that have synchronised with us: one node with a wrong setting does not
  keep the others from starting together. In a tie nobody is up.
* Two nodes of one name would date rows alike, so who meets one of its own name that is up is not up, whatever else
  holds; neither is a node that is not in its own list.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .cluster_settings import ClusterSettings
from .handshake import ITSELF, Refused
from .members import SOURCES, Member, NodeStatus, PeerState, Reach

OWN_FAULTS = frozenset({"same-node-id", "same-origin"})
"""Refusals that say that another node has the name of this one."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether this node may call itself up, and why, or why not: a text for people."""

    ready: bool
    reason: str
    fault: str = ""
    """What somebody has to mend, for waiting does not: the same as long as it is the same. Empty: just wait."""


def judge(
    settings: ClusterSettings, members: Iterable[Member], *, now_s: float, started_s: float, source_heard_s: float
) -> Verdict:
    """Whether this node may call itself up now; see above. `source_heard_s`: when a node that is up was heard of."""
    others = [member for member in members if member.configured or member.links]
    own_fault = _own_fault(settings, others)
    if own_fault is not None:
        return own_fault
    if not others:
        return Verdict(ready=True, reason="there is no other node")
    sources = [member for member in others if member.state is PeerState.UP and is_source(member)]
    for member in sources:
        if member.synchronised:
            return Verdict(ready=True, reason=f"synchronised with {member.url}")
    if sources:
        return Verdict(ready=False, reason=f"synchronising with {_urls(sources)}")
    refusing = [member for member in others if member.refuses]
    if _are_heard(refusing, others):
        return _refused(refusing)
    awaited = [member for member in others if not member.refuses and not _adds_nothing(member)]
    if not awaited:
        return Verdict(ready=True, reason="no other node is up")
    answering = [member for member in awaited if member.links or member.reach is Reach.ANSWERS]
    if answering and now_s - started_s < settings.patience_s:
        text = f"waiting for {_urls(answering)} to start, at most {settings.patience_s:g} s"
        return Verdict(ready=False, reason=text)
    if now_s - max(started_s, source_heard_s) >= settings.bootstrap_s:
        return Verdict(ready=True, reason=f"no node that is up was heard of for {settings.bootstrap_s:g} s")
    return Verdict(ready=False, reason="looking for other nodes")


def _own_fault(settings: ClusterSettings, others: Iterable[Member]) -> Verdict | None:
    """What is wrong with the name of this node, if something is."""
    faulty = [member for member in others if member.refuses and _is_own_fault(member.refuses)]
    listed = [url for urls in settings.nodes.values() for url in urls]
    if listed and settings.url not in listed:
        names = [member.url for member in faulty if member.refuses and member.refuses.code == ITSELF]
        text = f"cluster.nodes does not list this node, whose url is {settings.url} (node.url)"
        if names:
            text = f"cluster.nodes calls this node {names[0]}, but node.url is {settings.url}; make them the same"
        return Verdict(ready=False, reason=text, fault="not listed")
    return _refused(faulty) if faulty else None


def _is_own_fault(refused: Refused) -> bool:
    """Whether this node must change its name. If the other one is starting, the rest of the cluster decides who."""
    if refused.code == ITSELF:
        return True
    return refused.code in OWN_FAULTS and refused.status != NodeStatus.STARTING


def _are_heard(refusing: Sequence[Member], others: Iterable[Member]) -> bool:
    """Whether those who refuse us count: unless all of them are starting, and more nodes are with us."""
    if any(member.refuses and member.refuses.status != NodeStatus.STARTING for member in refusing):
        return True
    with_us = 1 + sum(member.synchronised for member in others)
    return 0 < len(refusing) >= with_us


def _refused(refusing: Sequence[Member]) -> Verdict:
    reason = "; ".join(f"{member.url}: {member.refuses}" for member in refusing)
    codes = {member.refuses.code for member in refusing if member.refuses}
    return Verdict(ready=False, reason=f"no link to {reason}", fault=" ".join(sorted(codes)))


def _urls(members: Iterable[Member]) -> str:
    return ", ".join(member.url for member in members)


def is_source(member: Member) -> bool:
    return member.word is not None and member.word.status in SOURCES


def _adds_nothing(member: Member) -> bool:
    """Whether nothing can be learnt from a member that we do not know: it is not there, or is new itself."""
    if member.left or (member.links == 0 and member.reach is Reach.ABSENT):
        return True
    if is_source(member):
        return False
    return member.synchronised or (member.dialect == "rpc" and member.state is PeerState.UP)
