"""The reference of the configuration as Markdown, made from the declarations of the keys."""

from collections.abc import Iterator
from dataclasses import fields

from .config import Config
from .keys import Key, all_keys, show


def configuration_reference() -> str:
    """One section for each table of the file, one row for each key."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    for section in fields(Config):
        keys = [key for key in all_keys().values() if key.section == section.name]
        if not keys:
            continue
        yield f"### [{section.name}]"
        yield ""
        yield _text_of(section.name)
        yield ""
        yield "| key | default | allowed | |"
        yield "|---|---|---|---|"
        for key in keys:
            yield f"| `{key.field}` | {_default(key)} | {key.allowed} | {key.description} |"
        yield ""


def _text_of(section: str) -> str:
    text = type(getattr(Config(), section)).__doc__
    assert text is not None, section
    return text.strip()


def _default(key: Key) -> str:
    shown = show(key, key.default)
    return f"`{shown}`"
