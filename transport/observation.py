"""What the transport tells about the requests it served; who listens decides what becomes of it."""

from typing import Protocol

UNROUTED = "none"
"""The name of requests that no route was found for."""


class Observer(Protocol):
    """Called once for each answered request, on the event loop: it counts, and does not wait."""

    def request(self, name: str, status: int, outcome: str, seconds: float) -> None:
        """A request of the route `name` was answered; `outcome` is "success" or the code of an error."""
        ...
