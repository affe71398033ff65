"""Configurations as TOML, as people keep them under version control."""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from artemis.store.management.configuration import Configuration

from .exits import USAGE, Failure

HEAD = """\
# Groups, rules and canaries of an Artemis registry: written by `artemis export`, read by `artemis apply`.
# Of several active rules of a service the last one decides. What is left out has its default.
"""


def read_document(name: str, text: bytes) -> Configuration:
    """The configuration in a TOML file; what is wrong with it, and where, ends the command."""
    try:
        document = tomllib.loads(text.decode())
    except UnicodeDecodeError:
        raise Failure(USAGE, f"{name}: not valid UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise Failure(USAGE, f"{name}: not valid TOML: {error}") from None
    try:
        return msgspec.convert(document, Configuration)
    except msgspec.ValidationError as error:
        text_of, _, path = str(error).partition(" - at `$")
        where = path.rstrip("`").removeprefix(".")
        raise Failure(USAGE, f"{name}: {where or 'the file'}: {text_of}") from None


def read_file(file: Path, stdin: bytes | None) -> Configuration:
    """The configuration in a file, or in what was piped in."""
    if stdin is not None:
        return read_document("standard input", stdin)
    try:
        return read_document(str(file), file.read_bytes())
    except OSError as error:
        raise Failure(USAGE, f"{file}: {error.strerror}") from None


def write_document(configuration: Configuration) -> str:
    """The TOML file that reads as this configuration."""
    return HEAD + "".join(_lines(msgspec.to_builtins(configuration)))


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    if services := document.get("services"):
        yield f"\nservices = {_value(services)}\n"
    for name in ("groups", "rules", "canaries"):
        for table in document.get(name, []):
            yield f"\n[[{name}]]\n"
            yield from _pairs(table)
            for nested in table.get("groups", []):
                yield f"\n[[{name}.groups]]\n"
                yield from _pairs(nested)


def _pairs(table: Mapping[str, Any]) -> Iterator[str]:
    for key, value in table.items():
        if key != "groups":
            yield f"{key} = {_value(value)}\n"


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case str():
            return _text(value)
        case list():
            return f"[{', '.join(map(_value, value))}]"
        case dict():
            return f"{{ {', '.join(f'{_text(key)} = {_value(item)}' for key, item in value.items())} }}"
        case _:
            raise TypeError(f"no configuration has a {type(value).__name__} in it")


def _text(text: str) -> str:
    """A basic string: as in JSON, but that DEL must be escaped too."""
    return msgspec.json.encode(text).decode().replace("\x7f", "\\u007f")
