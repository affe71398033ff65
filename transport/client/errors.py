"""What a caller of the SDK has to expect.

ArtemisError
├── Unreachable      no node answered; says what happened at each
├── Refused          a node answered, and the answer is no; has its error code
└── Incomprehensible what answered is no Artemis node, or a newer one that speaks otherwise
"""

from collections.abc import Mapping


class ArtemisError(Exception):
    """The root of the family."""


class Unreachable(ArtemisError):
    """No node could be asked. The request may or may not have reached one."""

    def __init__(self, causes: Mapping[str, str]) -> None:
        super().__init__("no node answers: " + "; ".join(f"{url}: {cause}" for url, cause in causes.items()))
        self.causes = causes


class Refused(ArtemisError):
    """A node said no. `code` is the error code of the contract, such as `no-permission` or `rate-limited`."""

    def __init__(self, code: str, message: str, *, status: int = 200) -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.code = code
        self.message = message
        self.status = status


class Incomprehensible(ArtemisError):
    """An answer that is not in the contract."""
