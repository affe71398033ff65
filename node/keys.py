"""The keys of the configuration, read off the dataclasses: name, type, limits, texts for people."""

import types
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from .config import Config

ENVIRONMENT_PREFIX = "ARTEMIS_"

SECRET_KEYS = frozenset({"cluster.secret", "cluster.secrets"})
"""Shown as *** wherever the configuration is shown."""


@dataclass(frozen=True, slots=True)
class Key:
    """One setting: what it is called in each source, and what it may be."""

    name: str
    annotation: Any
    default: object
    description: str

    @property
    def section(self) -> str:
        return self.name.partition(".")[0]

    @property
    def field(self) -> str:
        return self.name.partition(".")[2]

    @property
    def environment(self) -> str:
        """The environment variable of this key."""
        return ENVIRONMENT_PREFIX + self.name.replace(".", "_").upper()

    @property
    def secret(self) -> bool:
        return self.name in SECRET_KEYS

    @property
    def kind(self) -> Any:
        """The bare type: what remains of the annotation without its limits."""
        return get_args(self.annotation)[0]

    @property
    def allowed(self) -> str:
        """What the value may be, in words."""
        metas = [meta for meta in get_args(self.annotation)[1:] if isinstance(meta, msgspec.Meta)]
        return _describe(self.kind, metas)

    def value_in(self, config: Config) -> object:
        """The value of this key in `config`."""
        return getattr(getattr(config, self.section), self.field)


def all_keys() -> Mapping[str, Key]:
    """Every key by its dotted name, in the order of the file."""
    return types.MappingProxyType(_keys())


def show(key: Key, value: object) -> str:
    """The value as one short text for people; a secret is never shown."""
    if key.secret and value:
        return "***"
    match value:
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:.15g}"
        case str():
            return value or '""'
        case tuple():
            return "[" + ", ".join(str(item) for item in _iterate(value)) + "]"
        case dict():
            entries = (f"{name}: {show(key, item)}" for name, item in value.items())
            return "{" + ", ".join(entries) + "}"
        case _:
            return str(value)


def shown_values(config: Config) -> dict[str, str]:
    """Every effective value with its source, secrets left out: what the status endpoint and `artemis config` show."""
    return {
        key.name: f"{show(key, key.value_in(config))} ({config.sources.get(key.name, 'default')})"
        for key in all_keys().values()
    }


@cache
def _keys() -> dict[str, Key]:
    return {key.name: key for key in _walk()}


def _walk() -> Iterator[Key]:
    for section in fields(Config):
        if section.name == "sources":
            continue
        assert section.default_factory is not MISSING
        section_class = type(section.default_factory())
        hints = get_type_hints(section_class, include_extras=True)
        defaults = section_class()
        for item in fields(section_class):
            annotation = hints[item.name]
            metas = [meta for meta in get_args(annotation)[1:] if isinstance(meta, msgspec.Meta)]
            description = next(meta.description for meta in metas if meta.description)
            assert description is not None
            yield Key(f"{section.name}.{item.name}", annotation, getattr(defaults, item.name), description)


def _describe(kind: Any, metas: list[msgspec.Meta]) -> str:
    origin = get_origin(kind)
    if origin is Literal:
        return "one of " + ", ".join(get_args(kind))
    if origin is tuple:
        return "a list of " + _plural(get_args(kind)[0])
    if origin is dict:
        return "names, each with " + _describe_inner(get_args(kind)[1])
    if kind is bool:
        return "true or false"
    if kind is str:
        return _describe_text(metas)
    noun = "a whole number" if kind is int else "a number"
    low = next((meta.ge for meta in metas if meta.ge is not None), None)
    high = next((meta.le for meta in metas if meta.le is not None), None)
    return f"{noun} from {low:,} to {high:,}".replace(",", " ") if low is not None and high is not None else noun


def _describe_text(metas: list[msgspec.Meta]) -> str:
    if any(meta.pattern for meta in metas):
        return "a name of letters, digits, dots, dashes and underscores, at most 64 of them"
    if any(meta.min_length for meta in metas):
        return "a text that is not empty"
    return "a text"


def _describe_inner(annotation: Any) -> str:
    if get_origin(annotation) is Annotated:
        kind, *metas = get_args(annotation)
        return _describe(kind, [meta for meta in metas if isinstance(meta, msgspec.Meta)])
    return _describe(annotation, [])


def _plural(kind: Any) -> str:
    return "texts" if kind is str else f"{kind.__name__}s"


def _iterate(value: tuple[object, ...]) -> tuple[object, ...]:
    return value
