"""`python -m artemis.cluster`: the same as `artemis cluster`."""

from .commands import cluster

if __name__ == "__main__":
    cluster()
