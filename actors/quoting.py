"""Texts of strangers in our log: on one line, without anything that moves a cursor or turns a line round, and short."""

import json
from typing import Final

QUOTED_MAX: Final = 300
"""Characters of one foreign text. More are cut, and the cut is shown."""


def quoted(text: object, most: int = QUOTED_MAX) -> str:
    """A foreign text for a line of the log. Whoever passes one to a logger passes it through here."""
    return printable(cut(str(text), most))


def cut(text: str, most: int) -> str:
    """The beginning of the text, and how long all of it is."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text)} characters)"


def printable(text: str) -> str:
    """The text with everything that does not print as \\n or \\u202e: line ends, C0 and C1 controls, bidi marks."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
