"""Requests sent without waiting for answers: what they may cost a node."""

import trio.testing

from artemis.transport.requests import Reply, Request, Route

from .serving import connected, message, serving

ANSWER_BYTES = 8_000_000


async def test_large_answers_are_not_prepared_before_the_one_before_has_left() -> None:
    asked = 0

    def large(request: Request) -> Reply:
        nonlocal asked
        asked += 1
        return Reply(200, b"x" * ANSWER_BYTES)

    routes = [Route("GET", "/large", large, "large", hot=True)]
    async with serving(routes=routes) as server, connected(server) as client:
        await client.send(message("GET", "/large") * 20)
        await client.until(b"\r\n\r\n")
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert asked == 1
        await client.exactly(ANSWER_BYTES)
        for _ in range(19):
            answer = await client.answer()
            assert (answer.status, len(answer.body)) == (200, ANSWER_BYTES)
        assert asked == 20
