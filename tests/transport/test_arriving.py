"""What clients that stop in the middle of a request may cost: a bound on all unfinished bodies together."""

from dataclasses import replace

import pytest

from artemis.transport.arriving import Arriving

from .serving import ROOMY, connected, eventually, message, serving

KIB = 1024
LIMITS = replace(ROOMY, arriving_bytes=300 * KIB, body_bytes=200 * KIB)
HEAD = b"POST /echo HTTP/1.1\r\nHost: registry\r\nContent-Type: application/json\r\n%b\r\n\r\n"
HALVES = {
    "a length": HEAD % b"Content-Length: 204800" + b" " * 100 * KIB,
    "chunks": HEAD % b"Transfer-Encoding: chunked" + b"32000\r\n" + b" " * 100 * KIB,
}


class Sender:
    """A connection in the middle of a body."""

    given_up = False

    def give_up(self) -> None:
        self.given_up = True


def test_who_began_first_is_given_up_when_there_is_too_much() -> None:
    arriving, (first, second, third) = Arriving(100), (Sender(), Sender(), Sender())
    for sender, size in ((first, 10), (second, 40), (first, 50), (third, 10)):
        arriving.hold(sender, size)
    assert (arriving.bytes, arriving.given_up) == (100, 0)
    arriving.hold(third, 11)
    assert (first.given_up, second.given_up, third.given_up) == (True, False, False)
    assert (arriving.bytes, arriving.given_up) == (51, 1)
    for sender in (first, second, third):
        arriving.release(sender)
    assert arriving.bytes == 0


def test_one_that_is_larger_than_all_may_be_is_given_up_itself() -> None:
    arriving, sender = Arriving(100), Sender()
    arriving.hold(sender, 101)
    assert (sender.given_up, arriving.bytes) == (True, 0)


@pytest.mark.parametrize("half", HALVES)
async def test_half_sent_bodies_have_a_bound_together(fast_lane: bool, half: str) -> None:
    async with serving(fast_lane=fast_lane, limits=LIMITS) as server:

        def held() -> int:
            return server.statistics().arriving_bytes

        async with connected(server) as first, connected(server) as second, connected(server) as third:
            await first.send(HALVES[half])
            await eventually(lambda: held() == 100 * KIB)
            await second.send(HALVES[half])
            await eventually(lambda: held() == 200 * KIB)
            await third.send(HALVES[half] + b" ")
            answer = await first.answer()
            assert (answer.status, answer.json["status"], answer.header("connection")) == (408, 408, "close")
            await eventually(lambda: held() == 200 * KIB + 1)
            assert server.statistics().given_up == 1
            async with connected(server) as other:
                await other.send(message("POST", "/echo", b"[1]"))
                assert (await other.answer()).status == 200
        await eventually(lambda: not server.statistics().connections)
        assert held() == 0
