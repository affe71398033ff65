"""The load generator, against a server in a thread that counts what it was asked."""

import os
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from artemis.cluster.bench.http import Address, BenchFailed, Connection, answer_length, prepare
from artemis.cluster.bench.load import closed_loop, open_loop
from artemis.cluster.bench.wrk import closed_loop as wrk_loop
from artemis.cluster.bench.wrk import find_wrk, interleaved, read_result

BODY = b'{"responseStatus":{"status":"success"}}'
REQUEST = prepare("POST", "/x", {"a": 1})


def answer(body: bytes = BODY, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


@dataclass
class Server:
    """Answers every request with the pieces that `reply` makes, one send each."""

    reply: Callable[[int], list[bytes]]
    requests: int = 0
    address: Address = ("127.0.0.1", 0)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self.converse, args=(connection,), daemon=True).start()

    def converse(self, connection: socket.socket) -> None:
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                while data := connection.recv(65536):
                    assert data.startswith(b"POST /x HTTP/1.1\r\n"), "one whole request at a time"
                    with self.lock:
                        self.requests += 1
                        number = self.requests
                    for piece in self.reply(number):
                        connection.sendall(piece)
            except OSError:
                return


@contextmanager
def open_server(reply: Callable[[int], list[bytes]]) -> Generator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(reply, address=listener.getsockname()[:2])
        thread = threading.Thread(target=server.serve, args=(listener,), daemon=True)
        thread.start()
        yield server
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def test_a_closed_loop_counts_every_answer_once() -> None:
    with open_server(lambda number: [answer()]) as server:
        result = closed_loop(server.address, [[REQUEST]] * 3, duration_s=0.1, warmup_s=0.0)
        assert 0 < result.requests <= server.requests
        assert server.requests - result.requests <= 3
        assert result.latency_ms(50) > 0


def test_an_open_loop_asks_at_its_rate() -> None:
    with open_server(lambda number: [answer()]) as server:
        result = open_loop(server.address, [[REQUEST]] * 3, rate=500, duration_s=0.2, warmup_s=0.0)
        assert 99 <= result.requests <= 101
        assert server.requests == result.requests


def test_an_open_loop_counts_the_time_that_requests_waited_for_a_stalled_server() -> None:
    """One connection, one stall of 50 ms: the requests that became due meanwhile are late too."""
    stalled = threading.Event()

    def reply(number: int) -> list[bytes]:
        if number == 10:
            stalled.wait(0.05)
        return [answer()]

    with open_server(reply) as server:
        result = open_loop(server.address, [[REQUEST]], rate=200, duration_s=0.2, warmup_s=0.0)
    slow = [latency for latency in result.latencies_s if latency > 0.015]
    assert len(slow) >= 6, "nine became due while one was stalled"
    assert result.late >= 6


@pytest.mark.parametrize("cut", [1, 20, 60, 80, 100])
def test_an_answer_in_pieces_is_one_answer(cut: int) -> None:
    whole = answer()
    with open_server(lambda number: [whole[:cut], whole[cut:]]) as server:
        result = closed_loop(server.address, [[REQUEST]], duration_s=0.05, warmup_s=0.0)
        assert result.requests > 0


def test_a_large_answer_is_framed_by_its_length() -> None:
    whole = answer(BODY + bytes(1_000_000))
    with open_server(lambda number: [whole]) as server:
        assert closed_loop(server.address, [[REQUEST]], duration_s=0.05, warmup_s=0.0).requests > 0


@pytest.mark.parametrize(
    "wrong",
    [
        answer(b'{"responseStatus":{"status":"fail"}}'),
        answer(status=b"503 Service Unavailable"),
        answer() + b"?",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"",
    ],
    ids=["fail", "503", "too much", "no length", "nothing"],
)
def test_a_wrong_answer_ends_the_measurement(wrong: bytes) -> None:
    """A bench that counts failures as requests is worse than none."""

    def reply(number: int) -> list[bytes]:
        if not wrong:
            raise OSError
        return [wrong]

    with open_server(reply) as server, pytest.raises(BenchFailed):
        closed_loop(server.address, [[REQUEST]], duration_s=1.0)


def test_a_single_exchange_returns_the_answer() -> None:
    with open_server(lambda number: [answer()]) as server, Connection(server.address) as connection:
        assert connection.expect("POST", "/x", {})["responseStatus"] == {"status": "success"}


def test_a_single_exchange_must_succeed_when_it_is_expected_to() -> None:
    failure = answer(b'{"responseStatus":{"status":"partial_fail"}}')
    with (
        open_server(lambda number: [failure]) as server,
        Connection(server.address) as connection,
        pytest.raises(BenchFailed, match="partial_fail"),
    ):
        connection.expect("POST", "/x", {})


def test_the_length_is_found_in_any_case_and_place() -> None:
    assert answer_length(b"HTTP/1.1 200 OK\r\nCONTENT-LENGTH: 12\r\nA: b") == 12
    assert answer_length(b"HTTP/1.1 200 OK\r\na: b\r\ncontent-length:7") == 7


WRK_SAYS = 'Running 1s test\nRESULT {"requests":50,"duration_us":500000,"failures":0,"p50_us":300,"p99_us":2000}\n'


def test_what_wrk_found_is_read_like_what_we_find() -> None:
    result = read_result(WRK_SAYS)
    assert (result.requests_per_s, result.latency_ms(50), result.latency_ms(99)) == (100.0, 0.3, 2.0)


@pytest.mark.parametrize("output", ["", "unable to connect", WRK_SAYS.replace('"failures":0', '"failures":1')])
def test_a_run_of_wrk_that_failed_is_no_measurement(output: str) -> None:
    with pytest.raises(BenchFailed):
        read_result(output)


def test_requests_of_several_scripts_take_turns() -> None:
    assert interleaved([[b"a1", b"a2"], [b"b"]]) == [b"a1", b"b", b"a2", b"b"]


@pytest.mark.skipif(find_wrk() is None, reason="wrk is not installed")
def test_wrk_sends_the_prepared_requests() -> None:
    program = find_wrk()
    assert program is not None
    with open_server(lambda number: [answer()]) as server:
        core = min(os.sched_getaffinity(0))
        result = wrk_loop(program, server.address, [[REQUEST]] * 2, duration_s=1, core=core)
        assert 0 < result.requests < server.requests
