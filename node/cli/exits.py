"""How the command line ends. Scripts rely on these numbers; docs/reference/cli.md lists them."""

from typing import Final

DONE: Final = 0
NEGATIVE: Final = 1
"""The answer is no: not found, not ready, refused for this instance."""
USAGE: Final = 2
"""The command, a flag or the configuration cannot be used. Also click's own number."""
UNREACHABLE: Final = 3
"""No node could be asked."""
REFUSED: Final = 4
"""A node was asked and refused, or answered something that is not understood."""
NODE_FAILED: Final = 5
"""The node could not start, or had to give up."""
INTERRUPTED: Final = 130


class Failure(Exception):
    """Ends the command with a number, and one line on standard error for each problem."""

    def __init__(self, code: int, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.code = code
        self.lines = lines
