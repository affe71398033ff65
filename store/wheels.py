"""The wheel behind weighted-round-robin: exact proportion over a full cycle, and smoothly interleaved within it."""

from collections.abc import Sequence


class WeightedWheel:
    """Smooth weighted round robin: every step each candidate gains its weight, and the richest one pays for all.

    With weights 7 and 3, ten steps choose the first seven times and never more than three times in a row.
    """

    __slots__ = ("_credit", "weights")

    def __init__(self, weights: tuple[tuple[int, int], ...]) -> None:
        """(group id, weight) in the order of the rule. Other weights need another wheel."""
        self.weights = weights
        self._credit = [0] * len(weights)

    def next(self, candidates: Sequence[int]) -> int:
        """Turn by one step, among these positions (never empty). Those left out keep their credit."""
        chosen = self._gain(candidates, self._credit)
        self._credit[chosen] -= sum(self.weights[position][1] for position in candidates)
        return chosen

    def peek(self, candidates: Sequence[int]) -> int:
        """What `next` would choose, without turning."""
        return self._gain(candidates, list(self._credit))

    def _gain(self, candidates: Sequence[int], credit: list[int]) -> int:
        assert candidates
        weighty = [position for position in candidates if self.weights[position][1] > 0] or candidates
        for position in candidates:
            credit[position] += self.weights[position][1]
        # `max` takes the first of equals: the order of the rule decides. A group of weight 0 is only ever a fallback.
        return max(weighty, key=credit.__getitem__)
