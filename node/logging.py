"""The log on standard error: one event, one line, for people or for machines, and never a secret.

Everything logs through the standard library: `logger.info("peer %s is up", peer, extra={"peer": peer})`. What is
passed as `extra` are the facts of the event; they become fields of the JSON form and key=value in the console form.
"""

import json
import logging
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Final, TextIO

from artemis.actors.quoting import cut, printable, quoted

from .config import LoggingSection

_STANDARD_ATTRIBUTES: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

_QUIET_LOGGERS: Final = ("hypercorn", "quart", "httpx", "httpcore", "trio-websocket", "wsproto")
"""Libraries whose routine events are not ours to tell; their warnings are."""

REDACTED: Final = "***"
TEXT_MAX: Final = 4096
"""Characters of a message, of a fact, and of a line of a traceback. More are cut, wherever they come from."""


def set_up_logging(settings: LoggingSection, *, secrets: Iterable[str] = (), stream: TextIO | None = None) -> None:
    """Send the log of this process to `stream` (standard error unless given). May be called again."""
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    formatter_class = JsonFormatter if settings.format == "json" else ConsoleFormatter
    handler.setFormatter(formatter_class([secret for secret in secrets if secret]))
    level = getattr(logging, settings.level.upper())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name in _QUIET_LOGGERS:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    logging.captureWarnings(capture=True)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, the facts, and the traceback of an exception."""

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        super().__init__()
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        event: dict[str, object] = {
            "time": _utc(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _cut(record.getMessage()),
            **{name: _cut(value) for name, value in facts_of(record).items()},
        }
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return _redact(printable(json.dumps(event, ensure_ascii=False, default=str)), self._secrets)


class ConsoleFormatter(logging.Formatter):
    """Time, level, event, facts. Only a traceback takes further lines, and they are indented."""

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        super().__init__()
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        facts = "".join(f"  {name}={_plain(value)}" for name, value in facts_of(record).items())
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        text = f"{clock}.{int(record.msecs):03d} {record.levelname.lower():<8} {_plain(record.getMessage())}{facts}"
        if record.exc_info:
            trace = self.formatException(record.exc_info).split("\n")
            text += "".join(f"\n    {quoted(line, TEXT_MAX)}" for line in trace)
        return _redact(text, self._secrets)


def facts_of(record: logging.LogRecord) -> dict[str, object]:
    """What the caller passed as `extra`."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD_ATTRIBUTES}


def _utc(record: logging.LogRecord) -> str:
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{seconds}.{int(record.msecs):03d}Z"


def _plain(value: object) -> str:
    """The text on one line: what a client sent must not be able to forge a line of the log, nor to fill it."""
    return quoted(value, TEXT_MAX)


def _cut(value: object) -> object:
    return cut(value, TEXT_MAX) if isinstance(value, str) else value


def _redact(text: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, REDACTED)
    return text
