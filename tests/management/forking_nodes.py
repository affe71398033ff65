"""Starts nodes quickly: everything is imported once, and each node is a fork of that.

Run as a script. Every line on standard input is the path of a configuration file and that of a log file, with a tab
between them; the answer is the process id of a node that serves that configuration. It ends, and its nodes with it,
when standard input does.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

import artemis.node.composition
import artemis.node.process
import artemis.node.serve
from artemis.node.cli.app import artemis as command

PR_SET_PDEATHSIG = 1

PRELOADED = (artemis.node.composition, artemis.node.process, artemis.node.serve)


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a node that was killed
    libc = ctypes.CDLL(None)
    for line in sys.stdin:
        config, log = line.rstrip("\n").split("\t")
        child = os.fork()
        if child == 0:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            become_a_node(config, Path(log))
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()


def become_a_node(config: str, log: Path) -> None:
    """What a fresh `artemis serve` would do; does not return."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    command(["serve", "--config", config])
    os._exit(0)


if __name__ == "__main__":
    main()
