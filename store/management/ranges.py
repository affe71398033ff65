"""Range tombstones: the removal of everything that is listed under a term, also of what has not come here yet.

Ids and terms are enough to remove by, natural keys are not always known: a group that was created at another node a
moment ago is deleted here by its id, or the members of a group are set here while one is being added there. A range
tombstone is a record without a value whose key is a kind and a term. A node that holds it takes whatever is older and
listed under the term for removed, in whichever order the two arrive, and leaves the tombstone of that key with the
version of the range tombstone: the same on every node.
"""

from typing import Any, Final

from .kinds import Kind
from .records import Record, key_of

RANGE: Final = "range-tombstone"
"""As the kind of a record. Nodes that do not know it refuse it, and learn the tombstones that it left."""

_ID: Final = "id "


def of_id(id_: int) -> str:
    """The term under which everything is listed that has an id."""
    return f"{_ID}{id_}"


def id_in(term: str) -> int | None:
    """The id that a term means; None when it is another term."""
    text = term.removeprefix(_ID)
    return int(text) if text != term and text.isascii() and text.isdecimal() and len(text) < 20 else None


def range_key(kind: Kind[Any], term: str) -> str:
    """The key of the range tombstone over a term."""
    return key_of(kind.name, term)


def range_of(record: Record) -> tuple[str, str]:
    """The name of the kind and the term that a range tombstone covers."""
    kind, _, term = record.key.partition("\n")
    return kind, term
