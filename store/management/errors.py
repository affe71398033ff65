"""Why a write was refused. A refused write has changed nothing.

Refused
├── Invalid      something in the request is missing or makes no sense; the message names it
├── NotFound     what the request is about does not exist
└── Conflict     it exists already, or has changed meanwhile
"""


class Refused(Exception):
    """The tables do not take this write."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Invalid(Refused):
    """The caller must change the request."""


class NotFound(Refused):
    """There is no such thing."""


class Conflict(Refused):
    """There is such a thing already, or it is not in the state that the request assumes."""
