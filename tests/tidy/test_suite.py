"""What `tests/conftest.py` promises of every test, seen from outside: a small suite, run by pytest in a process."""

import signal
import subprocess
import sys
from pathlib import Path

from ..pace import PATIENCE_S

ROOT = Path(__file__).parents[2]

LEAVING_SOCKETS = """
import socket
import trio

async def test_fails_with_a_listener():
    left = await trio.open_tcp_listeners(0, host="127.0.0.1")
    assert not left

def test_is_next():
    pass

def test_fails_with_a_socket_in_a_cycle():
    left = [socket.socket()]
    left.append(left)
    assert not left

def test_is_last():
    pass
"""

INTERRUPTED = """
import subprocess
import sys

PROGRAM = "import signal, sys; sys.exit(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"

def test_a_program_can_be_interrupted():
    assert subprocess.run([sys.executable, "-c", PROGRAM]).returncode == 0
"""


def outcomes(tests: str, directory: Path, *, in_the_background: bool = False) -> list[str]:
    """What pytest says of each test, with the settings and the conftest of this suite."""
    file = directory / "test_it.py"
    file.write_text(tests, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-c", str(ROOT / "pyproject.toml")]
    ran = subprocess.run(
        [*command, "-rA", "--tb=no", "-q", "-p", "no:cacheprovider", str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        preexec_fn=(lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) if in_the_background else None,
    )
    told = [line.split(" - ")[0].split("::") for line in ran.stdout.splitlines() if "::" in line]
    return sorted(f"{line[0].split()[0]} {line[-1]}" for line in told)


def test_what_a_failing_test_leaves_open_is_told_of_that_test(tmp_path: Path) -> None:
    assert outcomes(LEAVING_SOCKETS, tmp_path) == [
        "ERROR test_fails_with_a_listener",
        "ERROR test_fails_with_a_socket_in_a_cycle",
        "FAILED test_fails_with_a_listener",
        "FAILED test_fails_with_a_socket_in_a_cycle",
        "PASSED test_is_last",
        "PASSED test_is_next",
    ]


def test_a_suite_in_the_background_starts_programs_that_can_be_interrupted(tmp_path: Path) -> None:
    assert outcomes(INTERRUPTED, tmp_path, in_the_background=True) == ["PASSED test_a_program_can_be_interrupted"]
