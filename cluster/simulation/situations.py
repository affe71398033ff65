"""What a simulation gets into: what never occurs is not tested, whatever the checkers say."""

import enum


class Situation(enum.StrEnum):
    """Something that promises are about. Whoever sees it takes note of it, once per seed."""

    PARTITION = "nodes are cut off from each other"
    SUSPECT = "a living instance of the other side is kept through a partition for longer than its lease"
    LONG_ABSENCE = "nodes are cut off from each other for longer than removals are remembered"
    SUSPICION_ENDED = "an instance of the other side that died is given up while the network is still cut"
    START_IN_PARTITION = "a node starts, while others are cut off from it, among those that know"
    MIXED_CASE = "clients or operators spell ids, zones and groups in another case"
    PULLED_OUT = "an operator's decision hides an instance that lives"
    OVERFLOW = "the outbox of a peer overflows"
    PAUSE = "a node is paused for longer than a lease"
    IMAGE = "a node starts on an image of its disk that was taken some time ago"
    OLD_IMAGE = "the image is older than removals are remembered"
    RESTARTS = "a node is killed and restarted several times in a row"
    REFUSED = "a node with another secret, or a wrong clock, is refused by nodes that are up, and not ready"
    CLOCK_JUMP = "the clock of a node that runs is set wrong by minutes"
    DISK_LOST = "a node loses its disk"
