"""The log: one event a line, facts included, secrets excluded."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from artemis.actors.quoting import quoted
from artemis.node.config import LoggingSection
from artemis.node.logging import ConsoleFormatter, JsonFormatter, set_up_logging

SECRET = "0123456789abcdef"


@pytest.fixture(autouse=True)
def root_logger_is_restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(capture=False)


def record(message: str, *arguments: object, **facts: object) -> logging.LogRecord:
    return logging.getLogger("artemis.test").makeRecord(
        "artemis.test", logging.WARNING, __file__, 1, message, arguments, None, extra=facts
    )


def failed_record() -> logging.LogRecord:
    with pytest.raises(KeyError) as caught:
        dict[str, int]()["missing"]
    exc_info = (caught.type, caught.value, caught.tb)
    return logging.getLogger("artemis.test").makeRecord(
        "artemis.test", logging.ERROR, __file__, 1, "sweeper crashed", (), exc_info
    )


def test_an_event_is_one_json_object_with_its_facts() -> None:
    event = json.loads(JsonFormatter().format(record("peer %s is up", "b", peer="b", lag_ms=3)))
    assert event["message"] == "peer b is up"
    assert (event["level"], event["logger"]) == ("warning", "artemis.test")
    assert (event["peer"], event["lag_ms"]) == ("b", 3)
    assert event["time"].endswith("Z")


def test_a_traceback_stays_within_its_json_line() -> None:
    line = JsonFormatter().format(failed_record())
    assert "\n" not in line
    assert "KeyError: 'missing'" in json.loads(line)["exception"]


def test_a_traceback_on_the_console_is_indented_below_its_event() -> None:
    first, *others = ConsoleFormatter().format(failed_record()).splitlines()
    assert "sweeper crashed" in first
    assert all(line.startswith("    ") for line in others)


def test_facts_follow_the_event_on_the_console() -> None:
    assert ConsoleFormatter().format(record("peer is up", peer="b")).endswith("warning  peer is up  peer=b")


@pytest.mark.parametrize("formatter_class", [JsonFormatter, ConsoleFormatter])
def test_what_a_client_sent_cannot_forge_a_line(formatter_class: type[logging.Formatter]) -> None:
    line = formatter_class().format(record("unknown service %s", "a\n12:00:00.000 error    node is down\x1b[31m"))
    assert "\n" not in line
    assert "\x1b" not in line


HOSTILE = {
    "a line": "a\n12:00:00.000 error    node is down",
    "a line of another kind": "a\x0b\x0c\x1c\x85b\u2028c\u2029d",
    "an escape": "\x1b[31m\x1b]0;title\x07",
    "an escape of C1": "\x9b31m \x90 \x9d0;title\x9c",
    "bidi": "\u202eevil\u202c \u2066x\u2069 \u200f \u061c",
    "invisible": "a\u200bb\ufeffc\U000e0041d\xadx",
    "half a character": "\ud800",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("formatter_class", [JsonFormatter, ConsoleFormatter])
def test_whatever_strangers_say_is_printable_and_on_one_line(
    formatter_class: type[logging.Formatter], text: str
) -> None:
    """In the message, in the facts, and in a traceback."""
    error = ValueError(text)
    event = record("peer %s", text, peer=text)
    event.exc_info = (ValueError, error, None)
    lines = formatter_class().format(event).split("\n")
    assert all(line.isprintable() for line in lines)
    if formatter_class is JsonFormatter:
        (line,) = lines
        assert json.loads(line)["message"] == f"peer {text}"
        assert json.loads(line)["peer"] == text
    else:
        assert all(line.startswith("    ") for line in lines[1:])


@pytest.mark.parametrize("formatter_class", [JsonFormatter, ConsoleFormatter])
def test_whatever_strangers_say_is_cut(formatter_class: type[logging.Formatter]) -> None:
    line = formatter_class().format(record("peer %s", "x" * 1_000_000, peer="y" * 1_000_000))
    assert len(line) < 10_000
    assert "(1000000 characters)" in line


def test_a_foreign_text_is_quoted_short_and_printable() -> None:
    assert quoted("10.1.1.1") == "10.1.1.1"
    assert quoted("a\nb\x9b\u202e") == "a\\nb\\u009b\\u202e"
    assert quoted("x" * 1000, 3) == "xxx... (1000 characters)"
    assert quoted(ValueError("\x1b")) == "\\u001b"
    assert quoted("Größe 日本") == "Größe 日本"


@pytest.mark.parametrize("format_name", ["json", "console"])
def test_a_secret_is_never_written(format_name: str) -> None:
    stream = io.StringIO()
    settings = LoggingSection(format="json") if format_name == "json" else LoggingSection()
    set_up_logging(settings, secrets=[SECRET, ""], stream=stream)
    logging.getLogger("artemis.test").warning("hello %s", SECRET, extra={"frame": {"secret": SECRET}})
    assert SECRET not in stream.getvalue()
    assert stream.getvalue().count("***") == 2


def test_the_level_is_the_configured_one_and_libraries_are_quiet() -> None:
    stream = io.StringIO()
    set_up_logging(LoggingSection(level="info"), stream=stream)
    logging.getLogger("artemis.test").debug("hidden")
    logging.getLogger("artemis.test").info("shown")
    logging.getLogger("hypercorn.error").info("hidden")
    logging.getLogger("hypercorn.error").warning("shown too")
    lines = stream.getvalue().splitlines()
    assert [line.split(maxsplit=2)[2].strip() for line in lines] == ["shown", "shown too"]
