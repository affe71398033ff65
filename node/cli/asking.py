"""What commands that ask a node have in common: which node, in which form the answer is wanted, and what may fail."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import click
import trio

from artemis.transport.client.discovery import DiscoveryClient, open_discovery_client
from artemis.transport.client.errors import Incomprehensible, Refused, Unreachable
from artemis.transport.client.http import Http, open_http
from artemis.transport.client.nodes import Nodes

from .exits import INTERRUPTED, REFUSED, UNREACHABLE, USAGE, Failure

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_URL: Final = "http://127.0.0.1:8080"
TIMEOUT_S: Final = 10.0


def asks_a_node(command: F) -> F:
    """The options --url and --json, as arguments `urls` and `as_json`."""
    with_url = click.option(
        "--url",
        "urls",
        multiple=True,
        envvar="ARTEMIS_URL",
        default=(DEFAULT_URL,),
        show_default=True,
        metavar="URL",
        help="A node; several times for several, tried in turn. Also ARTEMIS_URL, separated by spaces.",
    )
    with_json = click.option("--json", "as_json", is_flag=True, help="JSON for scripts instead of a table.")
    return with_url(with_json(command))


def run(work: Callable[[], Awaitable[T]]) -> T:
    """Run `work` on Trio; what nodes answer or do not answer becomes one line and an exit code."""
    try:
        return trio.run(work, restrict_keyboard_interrupt_to_checkpoints=True)
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    except BaseExceptionGroup as group:
        if group.subgroup(KeyboardInterrupt):
            raise SystemExit(INTERRUPTED) from None
        raise
    except Unreachable as error:
        raise Failure(UNREACHABLE, str(error)) from None
    except (Refused, Incomprehensible) as error:
        raise Failure(REFUSED, str(error)) from None


def ask_discovery(urls: Sequence[str], work: Callable[[DiscoveryClient], Awaitable[T]]) -> T:
    """Run `work` with a discovery client of these nodes."""

    async def with_client() -> T:
        async with open_discovery_client(*checked(urls), timeout_s=TIMEOUT_S) as client:
            return await work(client)

    return run(with_client)


def ask_http(urls: Sequence[str], work: Callable[[Http], Awaitable[T]]) -> T:
    """Run `work` with plain requests to these nodes."""

    async def with_client() -> T:
        async with open_http(Nodes(checked(urls)), timeout_s=TIMEOUT_S) as http:
            return await work(http)

    return run(with_client)


def checked(urls: Sequence[str]) -> Sequence[str]:
    """The urls, if they are some."""
    try:
        Nodes(urls)
    except ValueError as error:
        raise Failure(USAGE, f"--url: {error}") from None
    return urls
