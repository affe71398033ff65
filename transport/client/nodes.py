"""The nodes a client may turn to, and the one it turns to now."""

from collections.abc import Sequence
from urllib.parse import urlsplit

FORBIDDEN_TEXT = "a node is given as http://host:port or https://host:port"


class Nodes:
    """A ring of urls with a current one. All parts of a client share it, so a failed node is left by all of them."""

    def __init__(self, urls: Sequence[str]) -> None:
        """Start with the first of `urls`; raises ValueError when there is none, or one is no url of a node."""
        self.urls = tuple(dict.fromkeys(_base(url) for url in urls))
        if not self.urls:
            raise ValueError("no node is given")
        self._index = 0

    @property
    def current(self) -> str:
        """The url to ask now."""
        return self.urls[self._index]

    def leave(self, url: str) -> None:
        """`url` failed: turn to the next one, unless somebody did so already."""
        if url == self.current:
            self._index = (self._index + 1) % len(self.urls)

    def __repr__(self) -> str:
        return f"<Nodes [{self.current}, {len(self.urls) - 1} others]>"


def websocket_url(url: str, path: str) -> str:
    """The WebSocket address of a path of a node."""
    scheme, _, rest = url.partition("://")
    return f"{'wss' if scheme == 'https' else 'ws'}://{rest}{path}"


def _base(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r}: {FORBIDDEN_TEXT}")
    return url.rstrip("/")
