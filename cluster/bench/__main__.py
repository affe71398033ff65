"""`python -m artemis.cluster.bench`."""

from .commands import bench

if __name__ == "__main__":
    bench()
