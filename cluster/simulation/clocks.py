"""The clocks of simulated hosts."""

from typing import Final

import trio

EPOCH_MS: Final = 1_800_000_000_000
"""The wall time at which every simulation begins."""


class HostClock:
    """The time of one host: it runs like everybody's, and shows something else."""

    def __init__(self, *, skew_ms: int, uptime_s: float) -> None:
        self.skew_ms = skew_ms
        self.wrong_ms = 0
        """What somebody who has to be told of it has set it wrong by: minutes."""
        self._uptime_s = uptime_s

    def now_s(self) -> float:
        return trio.current_time() + self._uptime_s

    def now_ms(self) -> int:
        return EPOCH_MS + self.skew_ms + self.wrong_ms + int(trio.current_time() * 1000)

    def stamp_ms(self) -> float:
        return EPOCH_MS + self.skew_ms + self.wrong_ms + trio.current_time() * 1000
