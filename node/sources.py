"""Where a configuration comes from: defaults, a TOML file, the environment, flags; the later ones win.

Nothing is ignored. An unknown key and a value out of range are errors that name the key, the value, where
it was found, and what is allowed; all of them are reported at once.
"""

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_origin

import msgspec

from .checks import check
from .config import Config
from .keys import ENVIRONMENT_PREFIX, Key, all_keys, show

OTHER_VARIABLES: Final = frozenset({"ARTEMIS_CONFIG", "ARTEMIS_URL", "ARTEMIS_OPERATOR"})
"""Environment variables of the command line that are no settings of a node."""


class ConfigError(Exception):
    """The configuration cannot be used. Each problem is a line that a person can act on."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class _Found:
    """A raw value, before its type is known, and where it was."""

    value: object
    source: str
    from_text: bool


def load(
    *,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
    flag_names: Mapping[str, str] | None = None,
) -> Config:
    """Build the configuration from a file, the environment (of this process unless given), and flags by dotted key.

    `flag_names` says how the flag of a key is spelled, for texts. Raises ConfigError with everything that is wrong.
    """
    problems: list[str] = []
    found = dict(_file_values(file, problems))
    found.update(_environment_values(os.environ if environment is None else environment, problems))
    found.update(_flag_values(flags or {}, flag_names or {}, problems))
    values = _convert(found, problems)
    _read_secret_file(values, found, problems)
    if problems:
        raise ConfigError(problems)
    config = _build(values, {name: raw.source for name, raw in found.items()})
    problems = [
        f"{problem.key} = {show(all_keys()[problem.key], all_keys()[problem.key].value_in(config))}"
        f" ({config.sources.get(problem.key, 'default')}): {problem.text}"
        for problem in check(config)
    ]
    if problems:
        raise ConfigError(problems)
    return config


def make_config(values: Mapping[str, object] | None = None) -> Config:
    """A configuration of defaults and `values` by dotted key, for tests and for nodes started by code."""
    return load(environment={}, flags=values)


def _file_values(file: Path | None, problems: list[str]) -> Iterator[tuple[str, _Found]]:
    if file is None:
        return
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        problems.append(f"{file}: cannot be read: {error.strerror}")
        return
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(f"{file}: is not TOML: {error}")
        return
    source = f"file {file}"
    sections = {key.section for key in all_keys().values()}
    for section, table in document.items():
        if section not in sections:
            problems.append(_unknown(section, source, known=sections, noun="section"))
        elif not isinstance(table, dict):
            problems.append(f"{section} ({source}): is a section; write [{section}] and its keys below")
        else:
            for field, value in table.items():
                name = f"{section}.{field}"
                if name in all_keys():
                    yield name, _Found(value, source, from_text=False)
                else:
                    problems.append(_unknown(name, source))


def _environment_values(environment: Mapping[str, str], problems: list[str]) -> Iterator[tuple[str, _Found]]:
    by_variable = {key.environment: key for key in all_keys().values()}
    for variable, value in sorted(environment.items()):
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable in OTHER_VARIABLES:
            continue
        key = by_variable.get(variable)
        if key is None:
            problems.append(_unknown(variable, "environment", known=by_variable.keys() | OTHER_VARIABLES))
        else:
            yield key.name, _Found(value, f"environment {variable}", from_text=True)


def _flag_values(
    flags: Mapping[str, object], flag_names: Mapping[str, str], problems: list[str]
) -> Iterator[tuple[str, _Found]]:
    for name, value in flags.items():
        source = f"flag {flag_names.get(name, '--set')}"
        if name in all_keys():
            yield name, _Found(value, source, from_text=isinstance(value, str))
        else:
            problems.append(_unknown(name, source))


def _unknown(name: str, source: str, *, known: Any = None, noun: str = "key") -> str:
    """The complaint about a name that nobody reads, with the closest one that somebody does."""
    names = sorted(all_keys() if known is None else known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    if not close and known is None:
        field = name.rpartition(".")[2]
        close = [known_name for known_name in names if known_name.endswith(f".{field}")][:1]
    hint = f"; did you mean {close[0]}?" if close else f"; known are {', '.join(names)}" if known else ""
    return f"{name} ({source}): unknown {noun}{hint}"


def _convert(found: Mapping[str, _Found], problems: list[str]) -> dict[str, object]:
    values: dict[str, object] = {}
    for name, raw in found.items():
        key = all_keys()[name]
        try:
            value = _from_text(key, str(raw.value)) if raw.from_text else raw.value
            values[name] = msgspec.convert(value, key.annotation, strict=not raw.from_text)
        except (msgspec.ValidationError, ValueError):
            shown = "***" if key.secret else repr(raw.value)
            problems.append(f"{name} = {shown} ({raw.source}): not allowed; it must be {key.allowed}")
    return values


def _from_text(key: Key, text: str) -> object:
    """The raw value behind one text of the environment or a flag: lists and maps are written on one line."""
    origin = get_origin(key.kind)
    if origin is tuple:
        return _split(text, ",")
    if origin is not dict:
        return text.strip()
    if key.name == "cluster.nodes":
        zones = (part.partition(":") for part in _split(text, ";"))
        return {zone.strip(): _split(urls, ",") for zone, _, urls in zones}
    entries: dict[str, str] = {}
    for part in _split(text, ","):
        name, separator, value = part.rpartition("=" if "=" in part else ":")
        if not separator:
            raise ValueError(part)
        entries[name.strip()] = value.strip()
    return entries


def _split(text: str, separator: str) -> list[str]:
    return [part.strip() for part in text.split(separator) if part.strip()]


def _read_secret_file(values: dict[str, object], found: dict[str, _Found], problems: list[str]) -> None:
    path = values.get("cluster.secret_file")
    if not path:
        return
    source = found["cluster.secret_file"].source
    for other in ("cluster.secret", "cluster.secrets"):
        if values.get(other):
            problems.append(f"cluster.secret_file ({source}): {other} is set too; give one of them")
            return
    try:
        lines = Path(str(path)).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        problems.append(f"cluster.secret_file = {path!r} ({source}): cannot be read: {error}")
        return
    values["cluster.secrets"] = tuple(line.strip() for line in lines if line.strip())
    found["cluster.secrets"] = _Found("", f"file {path}", from_text=True)


def _build(values: Mapping[str, object], sources: Mapping[str, str]) -> Config:
    by_section: dict[str, dict[str, object]] = {}
    for name, value in values.items():
        section, _, field = name.partition(".")
        by_section.setdefault(section, {})[field] = value
    defaults = Config()
    sections: dict[str, Any] = {
        section: type(getattr(defaults, section))(**fields) for section, fields in by_section.items()
    }
    return Config(sources=dict(sources), **sections)
