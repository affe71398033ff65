"""What a simulation gets into: what never occurs is not tested, whatever the checkers say."""

import enum


class Situation(enum.StrEnum):
    """Something that promises are about. Whoever sees it takes note of it, once per seed."""

    PARTITION = "nodes are cut off from each other"
    SUSPECT = "a living instance of the other side is kept through a partition for longer than its lease"
    START_IN_PARTITION = "a node starts, while others are cut off from it, among those that know"
    MIXED_CASE = "clients or operators spell ids, zones and groups in another case"
    PULLED_OUT = "an operator's decision hides an instance that lives"
    OVERFLOW = "the outbox of a peer overflows"
    PAUSE = "a node is paused for longer than a lease"
    DISK_LOST = "a node loses its disk"
