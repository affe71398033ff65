"""What the commands of operators have in common: who operates and why, and how answers of the REST API are read."""

import getpass
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode

import click
import msgspec
from click.core import ParameterSource

from artemis.transport.client.errors import Refused
from artemis.transport.client.http import Http

from .asking import ask_http
from .exits import NEGATIVE, USAGE, Failure

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

KEY: Final = "SERVICE:REGION:ZONE:NAME"
"""How a group is named on the command line."""


def operates(command: F) -> F:
    """The options --operator and --reason, which the audit log keeps."""
    with_operator = click.option(
        "--operator",
        envvar="ARTEMIS_OPERATOR",
        default=_login,
        metavar="NAME",
        help="Who does this, for the audit log; you unless given. Also ARTEMIS_OPERATOR.",
    )
    with_reason = click.option("--reason", metavar="TEXT", help="Why, for the audit log.")
    return with_operator(with_reason(command))


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


class _Envelope(msgspec.Struct):
    data: msgspec.Raw = msgspec.Raw(b"null")
    status: msgspec.Raw = msgspec.Raw(b"null")


class _Status(msgspec.Struct, rename="camel"):
    status: str = "success"
    error_code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Rest:
    """The REST management API of whichever node answers."""

    http: Http

    async def get(self, path: str, **arguments: str | int | Sequence[str] | None) -> Any:
        """The data of an answer; arguments that are None are left out."""
        return _data(await self.http.get(path_of(path, arguments)))

    async def send(self, method: str, path: str, body: object = None, **arguments: str | None) -> Any:
        """Carry out a write."""
        return _data(await self.http.send(method, path_of(path, arguments), body))

    async def ask(self, path: str) -> Any:
        """The answer to a question of the discovery API. Raises Refused."""
        return msgspec.json.decode(await self.http.get(path))

    async def answer(self, path: str, body: object) -> Any:
        """The answer of a path whose failures are told by `status` or `responseStatus`. Raises Refused."""
        answer = await self.http.post(path, body)
        status = msgspec.json.decode(msgspec.json.decode(answer, type=_Envelope).status, type=_Status | None)
        if status is not None and status.status == "fail":
            raise Refused(status.error_code, status.message)
        return msgspec.json.decode(answer)

    async def region(self) -> str:
        """The region of the node."""
        return str(msgspec.json.decode(await self.http.get("/health"))["regionId"])


def _data(body: bytes) -> Any:
    return msgspec.json.decode(msgspec.json.decode(body, type=_Envelope).data)


def path_of(path: str, arguments: Mapping[str, str | int | Sequence[str] | None]) -> str:
    """A path with a query. An argument that is a list is repeated, one that is None is left out."""
    query = urlencode({name: value for name, value in arguments.items() if value is not None}, doseq=True)
    return f"{path}?{query}" if query else path


def part(text: str) -> str:
    """A name as a part of a path. Dots are escaped when they would lead to another path."""
    return text.replace(".", "%2E") if text in (".", "..") else quote(text, safe="")


def ask_rest(urls: Sequence[str], work: Callable[[Rest], Awaitable[T]]) -> T:
    """Run `work` with the REST API of these nodes. What is not found ends the command with 1."""

    async def with_http(http: Http) -> T:
        try:
            return await work(Rest(http))
        except Refused as refusal:
            if refusal.status != 404:
                raise
            raise Failure(NEGATIVE, refusal.message) from None

    return ask_http(urls, with_http)


def checked_key(text: str) -> str:
    """What names a group: its key, in which names may have colons of their own, or its id."""
    parts = text.split(":")
    if not text.strip().isdecimal() and (len(parts) < 4 or not all(part.strip() for part in parts)):
        raise Failure(USAGE, f"{text!r} is not the key of a group, which looks like {KEY}")
    return text


def parts_of(text: str) -> tuple[str, str, str, str]:
    """The parts of the key of a new group."""
    parts = checked_key(text).split(":")
    if len(parts) != 4:
        raise Failure(USAGE, f"{text!r} can be read in several ways: `artemis apply` makes groups with colons in names")
    return parts[0], parts[1], parts[2], parts[3]


def pairs_of(texts: Sequence[str]) -> dict[str, str]:
    """NAME=VALUE as a dictionary."""
    pairs = [text.partition("=") for text in texts]
    for (name, separator, value), text in zip(pairs, texts, strict=True):
        if not (name.strip() and separator and value.strip()):
            raise Failure(USAGE, f"{text!r} does not look like NAME=VALUE")
    return {name.strip(): value.strip() for name, _, value in pairs}


def lists_when_bare(context: click.Context) -> bool:
    """Whether a group of commands was called without one, and has to list. Its options are for that only."""
    if context.invoked_subcommand is None:
        return True
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if source is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{parameter.opts[0]} belongs behind `{context.invoked_subcommand}`")
    return False
