"""Tests of server/reply_handler.py."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from random import Random

import pytest

from chatify_stream import CallError, ChatClient, Limits, Status

from ..support.waiting import until
from .talking import client, serving


class Replies:
    """A reply function that answers as each text says, and records the texts."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.tasks: set[bool] = set()

    def __call__(self, name: str) -> str | Awaitable[str]:
        self.asked.append(name)
        kind = name[0]
        if kind == "!":
            raise RuntimeError("on purpose")
        if kind == "~":
            return self._later(name)
        if kind == "#":
            return 5  # type: ignore[return-value]
        return f"<{name}>"

    async def _later(self, name: str) -> str:
        await asyncio.sleep(0)
        return f"<{name}>"


async def talk(chat: ChatClient, bursts: list[list[str]]) -> list[str]:
    """Send bursts of texts, each after the replies to the previous burst."""
    answers: list[str] = []
    for burst in bursts:
        async with asyncio.TaskGroup() as group:
            for text in burst:
                group.create_task(chat.send(text))
        for _ in burst:
            reply = await chat.receive()
            if reply is None:
                return answers
            answers.append(reply.message)
    await chat.half_close()
    assert await chat.receive() is None
    return answers


@pytest.mark.parametrize("seed", range(30))
async def test_any_mixture(seed: int) -> None:
    """Immediate and awaited replies come in order, and `reply` is called once per request."""
    chance = Random(seed)
    bursts = [
        [
            chance.choice("==~") + str(chance.randrange(100))
            for _ in range(chance.choice((1, 1, 3, 200)))
        ]
        for _ in range(10)
    ]
    replies = Replies()
    async with serving(reply=replies) as server, client(server) as chat:
        answers = await talk(chat, bursts)
    expected = [text for burst in bursts for text in burst]
    assert replies.asked == expected
    assert answers == [f"<{text}>" for text in expected]


@pytest.mark.parametrize("wrong", ["!", "#"])
@pytest.mark.parametrize("before", [[], ["=1"], ["=1", "~2", "=3"]])
async def test_a_reply_that_fails(wrong: str, before: list[str]) -> None:
    """After an error `reply` is not called again; earlier replies arrive, then INTERNAL."""
    replies = Replies()
    async with serving(reply=replies) as server:
        chat = client(server)
        with pytest.raises(CallError) as caught:
            async with chat:
                assert await talk_once(chat, "=first") == "<=first>"
                for text in [*before, wrong, "=late"]:
                    asyncio.ensure_future(chat.send(text)).add_done_callback(forget)
                for text in before:
                    reply = await chat.receive()
                    assert reply is not None
                    assert reply.message == f"<{text}>"
                await chat.receive()
    assert caught.value.status is Status.INTERNAL
    assert replies.asked == ["=first", *before, wrong]


async def test_a_message_that_is_none() -> None:
    """Requests before a malformed message are answered, then the call ends INTERNAL."""
    replies = Replies()
    async with serving(reply=replies) as server:
        chat = client(server)
        with pytest.raises(CallError, match="not a valid ChatReq") as caught:
            async with chat:
                assert await talk_once(chat, "=first") == "<=first>"
                stream = chat._stream  # type: ignore[attr-defined]
                good, bad = b"\x00\x00\x00\x00\x04\x0a\x02=1", b"\x00\x00\x00\x00\x02\x0a\x05"
                await stream._stream.send_data(good + bad)
                reply = await chat.receive()
                assert reply is not None
                assert reply.message == "<=1>"
                await chat.receive()
    assert caught.value.status is Status.INTERNAL
    assert replies.asked == ["=first", "=1"]


async def test_a_message_that_is_too_large() -> None:
    """A StatusError raised while the handler waits ends the call with its status."""
    async with serving(limits=Limits(max_message_size=100)) as server:
        for _ in range(20):
            chat = client(server)
            with pytest.raises(CallError, match="at most 100 are allowed") as caught:
                async with chat:
                    assert await talk_once(chat, "first") == "Hello first"
                    await chat.send("x" * 101)
                    await chat.receive()
            assert caught.value.status is Status.RESOURCE_EXHAUSTED


async def test_no_task_is_woken() -> None:
    """A request that arrives while the handler waits is answered within the same read."""
    in_task: list[bool] = []

    def reply(name: str) -> str:
        in_task.append(asyncio.current_task() is not None)
        return name

    async with serving(reply=reply) as server, client(server) as chat:
        for text in ("1", "2", "3"):
            assert await talk_once(chat, text) == text
    assert in_task[1:] == [False, False]


async def test_a_client_that_does_not_read() -> None:
    """All requests of a slow reader are answered in order."""
    count, text = 3000, "x" * 3000
    async with serving() as server, client(server) as chat:
        assert await talk_once(chat, "first") == "Hello first"

        async def send() -> None:
            for number in range(count):
                await chat.send(f"{number} {text}")

        sending = asyncio.create_task(send())
        await until(lambda: server.statistics().messages_received > 1000)
        for number in range(count):
            reply = await chat.receive()
            assert reply is not None
            assert reply.message == f"Hello {number} {text}"
        await sending


@pytest.mark.parametrize("size", [0, 15, 1000, 20_000])
async def test_a_flood(size: int) -> None:
    """Requests that arrive faster than they are answered are answered once each, in order."""
    count, text = 200_000 // (size + 50), "x" * size
    async with serving() as server, client(server) as chat:

        async def send() -> None:
            for number in range(count):
                await chat.send(f"{number} {text}")
            await chat.half_close()

        sending = asyncio.create_task(send())
        expected = 0
        async for reply in chat:
            assert reply.message == f"Hello {expected} {text}"
            expected += 1
        await sending
    assert expected == count


async def talk_once(chat: ChatClient, text: str) -> str:
    await chat.send(text)
    reply = await chat.receive()
    assert reply is not None
    return reply.message


def forget(task: asyncio.Future[None]) -> None:
    """A message that the ended call did not take."""
    if not task.cancelled():
        task.exception()
