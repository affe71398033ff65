"""The console script `artemis`, also `python -m artemis.node`."""

from .cli.app import artemis


def cli() -> None:
    """Run one command and exit with its number."""
    artemis(prog_name="artemis")


if __name__ == "__main__":
    cli()
