"""What goes wrong with a request, and the one JSON body that says so."""

from http import HTTPStatus

import msgspec

Header = tuple[bytes, bytes]


class ClientError(Exception):
    """The request is refused: answered with this status and message, and nothing has changed."""

    def __init__(self, status: int, message: str, *, headers: tuple[Header, ...] = (), outcome: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers
        self.outcome = outcome or outcome_of(status)


_OUTCOMES = {
    400: "bad-request",
    404: "data-not-found",
    413: "too-large",
    429: "rate-limited",
    500: "internal-service-error",
    503: "service-unavailable",
}


def outcome_of(status: int) -> str:
    """The short name under which answers of this status are counted."""
    if status < 400:
        return "success"
    return _OUTCOMES.get(status, "bad-request" if status < 500 else "internal-service-error")


def phrase_of(status: int) -> str:
    """The reason phrase of a status, e.g. "Not Found"."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def error_body(status: int, message: str, path: str = "") -> bytes:
    """The JSON body of every error this node answers, whichever lane and API it comes from."""
    return msgspec.json.encode(
        {"success": False, "status": status, "error": phrase_of(status), "message": message, "path": path}
    )
