"""`artemis serve` as a process: starting, refusing to start, and stopping."""

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ..pace import PATIENCE_S
from .running import running_node


def serve(*flags: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "artemis.node", "serve", *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def test_it_says_where_it_listens_with_region_zone_and_storage(tmp_path: Path) -> None:
    with running_node("--region", "lab", "--zone", "z1", storage=str(tmp_path / "data")) as node:
        line = next(node.lines())
    assert line == f"region lab, zone z1, storage {tmp_path / 'data'}\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_in_order_with_exit_code_0(number: signal.Signals) -> None:
    with running_node() as node:
        node.process.send_signal(number)
        assert node.process.wait(PATIENCE_S) == 0
        assert list(node.lines())[-1].rstrip().endswith("stopped")


def test_a_second_signal_does_not_wait_for_open_requests() -> None:
    with running_node("--set", f"node.shutdown_deadline_s={2 * PATIENCE_S}") as node:
        address = urlsplit(node.url)
        with socket.create_connection((address.hostname, address.port)) as open_request:
            head = "POST /api/registry/register.json HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            open_request.sendall(f"{head}Content-Length: 10\r\n\r\n{{".encode())
            node.process.send_signal(signal.SIGTERM)
            for line in node.lines():
                if "stopping" in line:
                    break
            node.process.send_signal(signal.SIGTERM)
            assert node.process.wait(PATIENCE_S) in (-signal.SIGTERM, 128 + signal.SIGTERM)


def test_a_port_in_use_is_one_clear_line_and_exit_code_5() -> None:
    with running_node() as node:
        port = urlsplit(node.url).port
        result = serve("--port", str(port), "--data", ":memory:")
    assert result.returncode == 5
    assert result.stderr == (
        f"artemis: cannot listen on 127.0.0.1:{port}: the port is in use; choose another one with --port\n"
    )


def test_a_data_directory_that_cannot_be_used_is_one_clear_line_and_exit_code_5(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a directory", encoding="utf-8")
    result = serve("--port", "0", "--data", str(file))
    assert result.returncode == 5
    assert "Traceback" not in result.stderr
    assert str(file) in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_two_nodes_do_not_share_a_data_directory(tmp_path: Path) -> None:
    with running_node(storage=str(tmp_path)):
        result = serve("--port", "0", "--data", str(tmp_path))
    assert result.returncode == 5
    assert str(tmp_path) in result.stderr


def test_the_log_is_json_when_machines_read_it() -> None:
    command = [sys.executable, "-m", "artemis.node", "serve", "--port", "0", "--data", ":memory:"]
    with subprocess.Popen([*command, "--log-format", "json"], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        events = [json.loads(process.stderr.readline())]
        while events[-1]["message"] != "listening":
            events.append(json.loads(process.stderr.readline()))
        process.terminate()
        events += [json.loads(line) for line in process.stderr]
        assert process.wait(PATIENCE_S) == 0
    (listening,) = [event for event in events if event["message"] == "listening"]
    assert listening["storage"] == "memory only"
    assert events[-1]["message"] == "stopped"
