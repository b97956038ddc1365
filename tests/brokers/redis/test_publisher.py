"""Tests of brokers/redis/publishing.py."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from chatify_stream.brokers.redis import publisher as publishing
from chatify_stream.brokers.redis.errors import LostError
from chatify_stream.brokers.redis.publisher import Publisher, Waiting
from chatify_stream.errors import BrokerError
from chatify_stream.rooms import Outcome

from .opened import draft


class Redis:
    """Takes what is published, when it is let."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(publishing, "HOLD_RETRY_DELAY", 0)
        self.calls: list[list[str]] = []
        self.answers: list[Any] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.publisher = Publisher(self.send, "r", 5)

    async def send(self, room: str, batch: list[Waiting]) -> list[Any]:
        drafts = [draft for waiting in batch for draft in waiting.drafts]
        self.calls.append([each.text for each in drafts])
        await self.gate.wait()
        if self.answers and (answer := self.answers.pop(0)) is not None:
            if isinstance(answer, Exception):
                raise answer
            return [answer]
        reply: list[Any] = [b"e", b"1"]
        for offset, each in enumerate(drafts, 1):
            what = b"duplicate" if len(self.calls) > 1 else b"published"
            reply += [what, offset, str(each.sent_at_ms).encode()]
        return reply


async def test_what_waits_goes_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is published in one turn is one call; what comes while it is made is the next one."""
    redis = Redis(monkeypatch)
    redis.gate.clear()
    publish = redis.publisher.publish
    first = [asyncio.ensure_future(publish("lobby", [draft(n)])) for n in "ab"]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    then = [asyncio.ensure_future(publish("lobby", [draft(n)])) for n in "cd"]
    other = asyncio.ensure_future(publish("attic", [draft("x")]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert redis.calls == [["a", "b"], ["x"]]
    redis.gate.set()
    await asyncio.gather(*first, *then, other)
    assert redis.calls == [["a", "b"], ["x"], ["c", "d"]]


async def test_what_is_cut_to_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call has no more than its largest number; one publish is never parted."""
    monkeypatch.setattr(publishing, "MAX_CALL", 3)
    redis = Redis(monkeypatch)
    sizes = [2, 2, 5, 1, 1]
    await asyncio.gather(
        *(redis.publisher.publish("lobby", [draft(n)] * size) for n, size in enumerate(sizes))
    )
    assert [len(call) for call in redis.calls] == [2, 2, 5, 2]


async def test_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than may wait are refused at once."""
    monkeypatch.setattr(publishing, "MAX_QUEUE", 2)
    redis = Redis(monkeypatch)
    redis.gate.clear()
    waiting = [asyncio.ensure_future(redis.publisher.publish("a", [draft(n)])) for n in "ab"]
    await asyncio.sleep(0)
    with pytest.raises(BrokerError, match="2 messages are waiting"):
        await redis.publisher.publish("a", [draft("c")])
    redis.gate.set()
    await asyncio.gather(*waiting)
    await redis.publisher.publish("a", [draft("c")])


async def test_an_answer_that_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has ids is published again, and told as if once; what has none is refused."""
    redis = Redis(monkeypatch)
    redis.answers = [LostError("it was lost")]
    drafts = [[draft("a", "1")], [draft("b")], [draft("c", "2"), draft("c", "2")]]
    a, b, c = await asyncio.gather(
        *(redis.publisher.publish("lobby", each) for each in drafts), return_exceptions=True
    )
    assert redis.calls == [["a", "b", "c", "c"], ["a", "c", "c"]]
    assert [receipt.outcome for receipt in a] == [Outcome.PUBLISHED]
    assert isinstance(b, BrokerError)
    assert "it was lost" in str(b)
    assert c[0].outcome is Outcome.PUBLISHED


async def test_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """A room that is held is asked again, until it is let go."""
    redis = Redis(monkeypatch)
    redis.answers = [b"HELD", b"HELD", None]
    await redis.publisher.publish("lobby", [draft("a", "1")])
    assert redis.calls == [["a"]] * 3
