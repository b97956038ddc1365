"""What becomes of rooms when Redis ends, hangs, loses what it had, or comes back as it was."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import Iterator

import pytest

from chatify_stream.brokers.redis import RedisBroker, feed, listener
from chatify_stream.brokers.redis import maintenance as upkeep
from chatify_stream.brokers.redis import publisher as publishing
from chatify_stream.errors import BrokerError
from chatify_stream.rooms import Outcome, Retention

from .opened import TIMEOUT, draft, drafts, opened, texts_of
from .servers import RedisServer, in_thread, redis_server

ALWAYS = ("--appendonly", "yes", "--appendfsync", "always", "--save", "")


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def durable() -> Iterator[RedisServer]:
    with redis_server(*ALWAYS) as server:
        yield server


@pytest.fixture(autouse=True)
def _short_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "HOLD_MS", 300)


async def test_killed_and_started_again(durable: RedisServer) -> None:
    """What was acknowledged is there; what has an id is published once, across the restarts."""
    acknowledged: dict[str, int] = {}
    async with opened(durable.url) as (broker, recorder):
        await broker.subscribe("lobby")
        ends = asyncio.Event()

        async def talk(user: str) -> None:
            number = 0
            while not ends.is_set():
                number += 1
                message_id = f"{user}-{number}"
                [receipt] = await broker.publish("lobby", [draft(message_id, message_id, user)])
                assert receipt.outcome is Outcome.PUBLISHED
                acknowledged[message_id] = receipt.position.offset

        async with asyncio.TaskGroup() as group:
            for number in range(10):
                group.create_task(talk(f"user-{number}"))
            for _ in range(3):
                before = len(acknowledged)
                while len(acknowledged) < before + 100:
                    await asyncio.sleep(0)
                await in_thread(durable.restart)
            before = len(acknowledged)
            while len(acknowledged) < before + 100:
                await asyncio.sleep(0)
            ends.set()
        page = await broker.read("lobby", limit=100_000)
        offsets = {publication.id: publication.offset for publication in page.publications}
        assert acknowledged == offsets
        assert len(page.publications) == page.newest.offset
        await recorder.until(
            lambda: len(recorder.delivered["lobby"]) == page.newest.offset, TIMEOUT
        )
        assert len(recorder.begun["lobby"]) == 1


async def test_without_an_id(redis: RedisServer) -> None:
    """A message without an id is refused when nobody knows whether it is in the log."""
    async with opened(redis.url) as (broker, _):
        await broker.publish("lobby", [draft("first")])
        redis.signal(signal.SIGSTOP)
        call = asyncio.ensure_future(broker.publish("lobby", [draft("second")]))
        other = asyncio.ensure_future(broker.publish("lobby", [draft("third", "3")]))
        await asyncio.sleep(0.05)  # so that it is in the connection
        await in_thread(redis.restart)
        with pytest.raises(BrokerError, match="the connection was lost"):
            await call
        [receipt] = await other
        assert receipt.outcome is Outcome.PUBLISHED


async def test_paused(redis: RedisServer) -> None:
    """While Redis hangs, publishing fails in bounded time, and afterwards all goes on."""
    async with opened(f"{redis.url}?timeout=1") as (broker, recorder):
        await broker.subscribe("lobby")
        redis.signal(signal.SIGSTOP)
        try:
            async with asyncio.timeout(TIMEOUT):
                with pytest.raises(BrokerError, match=r"in time|was lost"):
                    await broker.publish("lobby", [draft("unknown", "1")])
                with pytest.raises(BrokerError):
                    await broker.subscribe("attic")
        finally:
            redis.signal(signal.SIGCONT)
        await until_published(broker, "lobby", "later")
        page = await broker.read("lobby", limit=10)
        assert [p.text for p in page.publications].count("unknown") <= 1
        await recorder.until(lambda: texts_of(recorder, "lobby")[-1:] == ["later"], TIMEOUT)
        assert texts_of(recorder, "lobby") == [p.text for p in page.publications]
        await broker.subscribe("attic")


async def test_silent(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis that is not heard of is not waited for by who could ask another server.

    What is published waits for as long as the URL says all the same, and is published once.
    """
    monkeypatch.setattr(listener, "RESPONSE_TIMEOUT", 0.5)
    monkeypatch.setattr(listener, "PING_INTERVAL", 0.1)
    async with opened(f"{redis.url}?timeout={TIMEOUT:g}") as (broker, recorder):
        await broker.subscribe("lobby")
        redis.signal(signal.SIGSTOP)
        try:
            publishing = asyncio.ensure_future(broker.publish("lobby", [draft("hi", "1")]))
            async with asyncio.timeout(TIMEOUT / 2):
                with pytest.raises(BrokerError, match="no answer in time"):
                    await broker.read("lobby", limit=1)
                with pytest.raises(BrokerError, match="no answer in time"):
                    await broker.subscribe("attic")
            assert not broker.is_available
            assert not publishing.done()
        finally:
            redis.signal(signal.SIGCONT)
        [receipt] = await publishing
        assert receipt.outcome is Outcome.PUBLISHED
        while not broker.is_available:
            await asyncio.sleep(0.01)
        await broker.subscribe("attic")
        await recorder.until(lambda: texts_of(recorder, "lobby") == ["hi"], TIMEOUT)


async def until_published(broker: RedisBroker, room: str, text: str) -> None:
    async with asyncio.timeout(TIMEOUT):
        while True:
            try:
                await broker.publish(room, [draft(text, text)])
            except BrokerError:
                continue
            return


async def test_flushed(redis: RedisServer) -> None:
    """Everything is gone: the rooms begin anew, in other epochs, and go on."""
    async with opened(redis.url) as (broker, recorder):
        await broker.subscribe("lobby")
        await broker.publish("lobby", drafts("abc"))
        await recorder.until(lambda: recorder.offsets("lobby") == [1, 2, 3], TIMEOUT)
        redis.ask("FLUSHALL")
        [receipt] = await broker.publish("lobby", [draft("d")])
        assert receipt.position.offset == 1
        await recorder.until(lambda: len(recorder.begun["lobby"]) == 2, TIMEOUT)
        first, second = recorder.begun["lobby"]
        assert first.epoch != second.epoch == receipt.position.epoch
        assert texts_of(recorder, "lobby") in (["a", "b", "c"], ["a", "b", "c", "d"])


async def test_flushed_while_nobody_speaks(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is noticed without a message, and who is there is known again."""
    monkeypatch.setattr(upkeep, "ROUND", 0.1)
    async with opened(redis.url) as (broker, recorder):
        await broker.subscribe("lobby")
        await broker.enter("lobby", "ada", "session 1")
        await broker.publish("lobby", drafts("abc"))
        redis.ask("FLUSHALL")
        await recorder.until(lambda: len(recorder.begun["lobby"]) == 2, TIMEOUT)
        async with asyncio.timeout(TIMEOUT):
            while await broker.users("lobby") != ["ada"]:
                await asyncio.sleep(0.01)
            while not (await broker.rooms(limit=10)).rooms:
                await asyncio.sleep(0.01)


class TestOlderCopy:
    """Redis comes back with the files that it had a while ago."""

    def go_back(self, server: RedisServer) -> None:
        server.kill()
        shutil.rmtree(server.folder / "appendonlydir")
        shutil.copytree(server.folder / "copy", server.folder / "appendonlydir")
        server.start()

    def copy(self, server: RedisServer) -> None:
        shutil.copytree(server.folder / "appendonlydir", server.folder / "copy")

    async def test_is_told(self, durable: RedisServer) -> None:
        """Whoever had more than the copy has is told of another epoch before anything else."""
        async with opened(durable.url) as (broker, recorder):
            await broker.subscribe("lobby")
            await broker.publish("lobby", drafts("ab"))
            self.copy(durable)
            await broker.publish("lobby", drafts("cd"))
            await recorder.until(lambda: recorder.offsets("lobby") == [1, 2, 3, 4], TIMEOUT)
            await in_thread(self.go_back, durable)
            [receipt] = await broker.publish("lobby", [draft("e", "e")])
            await recorder.until(lambda: len(recorder.begun["lobby"]) >= 2, TIMEOUT)
            first, *_, last = recorder.begun["lobby"]
            assert first.epoch != last.epoch == receipt.position.epoch
            page = await broker.read("lobby", limit=10)
            assert [p.text for p in page.publications] == ["a", "b", "e"]
            assert last.epoch == page.newest.epoch
            assert texts_of(recorder, "lobby") in (list("abcd"), list("abcde"))

    async def test_that_has_grown_before_it_was_looked_at(
        self, durable: RedisServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A copy that others have carried on past our offset is found out by its nonces."""
        monkeypatch.setattr(publishing, "HOLD_MS", 0)
        async with opened(durable.url) as (broker, recorder):
            await broker.subscribe("lobby")
            await broker.publish("lobby", drafts("ab"))
            self.copy(durable)
            await broker.publish("lobby", drafts("cd"))
            await recorder.until(lambda: recorder.offsets("lobby") == [1, 2, 3, 4], TIMEOUT)
            durable.kill()
            looked = asyncio.Event()
            real_look = feed.Feed.look

            def look_later(self: feed.Feed) -> None:
                if looked.is_set():
                    real_look(self)

            monkeypatch.setattr(feed.Feed, "look", look_later)
            monkeypatch.setattr(broker._maintenance, "check_now", lambda rooms: None)
            await in_thread(self.go_back, durable)
            async with opened(durable.url) as (other, _):
                await until_published(other, "lobby", "x")
                for text in "yz":
                    await other.publish("lobby", drafts(text))
                looked.set()
                broker._feeds["lobby"].look()
                await recorder.until(lambda: len(recorder.begun["lobby"]) == 2, TIMEOUT)
                page = await other.read("lobby", limit=10)
        first, second = recorder.begun["lobby"]
        assert second == page.newest
        assert first.epoch != second.epoch
        assert texts_of(recorder, "lobby") == ["a", "b", "c", "d"]

    async def test_of_which_another_server_knows_nothing(
        self, durable: RedisServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """After a restart nobody publishes in a room before those who know it have looked."""
        monkeypatch.setattr(publishing, "HOLD_MS", 60_000)
        async with opened(durable.url) as (broker, _):
            [first, _] = await broker.publish("lobby", drafts("ab"))
            self.copy(durable)
            await broker.publish("lobby", drafts("cd"))
            await in_thread(self.go_back, durable)
            async with opened(f"{durable.url}?timeout=50") as (other, _):
                [receipt] = await other.publish("lobby", [draft("e")])
        assert receipt.position.epoch != first.position.epoch
        assert receipt.position.offset == 3


async def test_pubsub_is_cut(redis: RedisServer) -> None:
    """What was published while the connection was being made anew is read from the log."""
    async with opened(redis.url) as (broker, recorder):
        await broker.subscribe("lobby")
        for n in range(20):
            await broker.publish("lobby", drafts([n]))
            if n % 5 == 0:
                redis.ask("CLIENT", "KILL", "TYPE", "pubsub")
        await recorder.until(lambda: len(recorder.delivered["lobby"]) == 20, TIMEOUT)
        assert len(recorder.begun["lobby"]) == 1


async def test_pubsub_is_cut_at_its_limit() -> None:
    """A subscriber that Redis cuts off because too much waits for it misses nothing."""
    limit = ("--client-output-buffer-limit", "pubsub 100kb 0 0")
    with redis_server("--save", "", *limit) as server:
        async with opened(server.url) as (broker, recorder):
            await broker.subscribe("lobby")
            for n in range(5):
                await broker.publish("lobby", drafts([str(n) * 60_000] * 20))
            await recorder.until(lambda: len(recorder.delivered["lobby"]) == 100, TIMEOUT)
            assert len(recorder.begun["lobby"]) == 1


async def test_a_notice_is_lost(shared_redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that is not told, on a connection that lives, comes with the next look."""
    monkeypatch.setattr(upkeep, "ROUND", 0.1)
    async with opened(f"{shared_redis.url}?prefix=lost") as (broker, recorder):
        await broker.subscribe("lobby")
        monkeypatch.setattr(feed.Feed, "receive", lambda self, payload: None)
        await broker.publish("lobby", drafts("a"))
        await recorder.until(lambda: recorder.offsets("lobby") == [1], TIMEOUT)


async def test_what_is_missing_is_not_kept(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The room begins anew rather than with a hole."""
    async with opened(redis.url, retention=Retention(count=2)) as (broker, recorder):
        await broker.subscribe("lobby")
        with monkeypatch.context() as patched:
            patched.setattr(feed.Feed, "receive", lambda self, payload: None)
            receipts = await broker.publish("lobby", drafts("abcde"))
            await asyncio.sleep(0.05)
        broker._feeds["lobby"].look()
        await recorder.until(lambda: len(recorder.begun["lobby"]) == 2, TIMEOUT)
        assert recorder.begun["lobby"][-1] == receipts[-1].position
        assert recorder.delivered["lobby"] == []
