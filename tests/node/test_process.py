"""The process around a node: the announcement, and one clear line when it cannot run."""

import errno

import pytest

from artemis.actors.supervisor import ActorFailed
from artemis.node import process
from artemis.node.config import Config
from artemis.node.logging import JsonFormatter
from artemis.node.metrics import artemis_version
from artemis.node.process import NodeFailed, announce, run_node
from artemis.node.sources import make_config
from artemis.store.sqlite import DatabaseProblem


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(errno.EADDRINUSE, "in use"), "cannot listen on 127.0.0.1:80: the port is in use; choose another"),
        (OSError(errno.EADDRNOTAVAIL, "not available"), "this machine does not have that address"),
        (PermissionError(errno.EACCES, "denied"), "ports below 1024 need more rights"),
        (PermissionError(errno.EACCES, "denied", "artemis-data"), "denied: 'artemis-data'"),
        (DatabaseProblem("artemis.db", "is damaged", "Restore a backup"), "artemis.db: is damaged. Restore a backup"),
        (ActorFailed("writer"), "actor writer keeps failing"),
        (ExceptionGroup("", [ExceptionGroup("", [ActorFailed("writer")])]), "actor writer keeps failing"),
    ],
)
def test_what_keeps_a_node_from_running_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, text: str
) -> None:
    serve_by(monkeypatch, error)
    with pytest.raises(NodeFailed) as caught:
        run_node(make_config({"node.port": 80}))
    assert text in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    serve_by(monkeypatch, ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        run_node(make_config())


def test_machines_are_told_by_an_event_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    config = make_config({"logging.format": "json", "node.zone": "z1"})
    with caplog.at_level("INFO"):
        announce(config, "http://127.0.0.1:4711")
    (record,) = caplog.records
    line = JsonFormatter().format(record)
    assert '"url": "http://127.0.0.1:4711"' in line
    assert '"zone": "z1"' in line


def serve_by(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    async def serve(config: Config, *, announce: object = None) -> None:
        raise error

    monkeypatch.setattr(process, "serve", serve)


def test_people_are_told_that_nothing_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    announce(make_config({"data.directory": ":memory:"}), "http://127.0.0.1:1")
    assert capsys.readouterr().out == (
        f"artemis {artemis_version()} listens on http://127.0.0.1:1\n"
        "region default, zone default, storage memory only\n"
    )
