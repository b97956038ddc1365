"""Room clients lose nothing while connections break and servers stop.

Most tests run our server behind a relay that breaks connections at any byte.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from chatify_stream import (
    Channel,
    ChatServer,
    Limits,
    Position,
    RefusedError,
    Retention,
    RoomMessage,
    RoomOptions,
    UnavailableError,
)
from chatify_stream.client import Connected, Gap, Message, Reconnecting, RoomClient

from ..ports import free_port
from ..support.waiting import until
from .relay import cutting, relaying
from .scripted_room import QUICKLY

pytestmark = pytest.mark.usefixtures("leaves_nothing")

TIMEOUT = 60.0


def client(target: str | Channel, user: str = "ada", **options: object) -> RoomClient:
    options = {"room": "lobby", "user": user, "backoff": QUICKLY, **options}
    return RoomClient(target, **options)


@asynccontextmanager
async def serving(port: int = 0, **options: object) -> AsyncIterator[ChatServer]:
    async with ChatServer(rooms=RoomOptions(**options)) as server:
        await server.start("127.0.0.1", port)
        yield server


@asynccontextmanager
async def together(target: str, users: Sequence[str]) -> AsyncIterator[list[RoomClient]]:
    """Enter clients, all of which are in the room before anybody sends."""
    async with asyncio.timeout(TIMEOUT), AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(client(target, user, wait_for_ready=True))
            for user in users
        ]


async def log_of(server: ChatServer) -> list[tuple[int, str, str]]:
    page = await server.rooms.history("lobby", limit=10_000)
    return [(each.offset, each.user, each.text) for each in page.publications]


async def listen(chat: RoomClient, last: str) -> list[tuple[int, str, str]]:
    """Return the messages that the client receives until the text `last`."""
    heard: list[tuple[int, str, str]] = []
    async for event in chat:
        assert not isinstance(event, Gap)
        if isinstance(event, Message):
            if event.text == last:
                return heard
            assert event.is_own is (event.sender == chat.user)
            heard.append((event.position.offset, event.sender, event.text))
    raise AssertionError("the chat has ended")


async def speak(chat: RoomClient, count: int, chance: random.Random) -> dict[str, Position]:
    """Send messages, one by one and at once. Return the position of each text."""
    positions: dict[str, Position] = {}

    async def say(number: int) -> None:
        text = f"{chat.user} {number} " + "x" * chance.choice([0, 0, 0, 10, 300, 5000])
        positions[text] = await chat.send(text)

    await asyncio.gather(*map(say, range(count // 2)))
    for number in range(count // 2, count):
        await say(number)
    return positions


class TestCuts:
    @pytest.mark.parametrize("seed", range(4))
    async def test_at_random(self, seed: int) -> None:
        """Each message is published, received and acknowledged once while connections break."""
        chance = random.Random(seed)
        users = [f"user {number}" for number in range(4)]
        async with serving() as server, relaying(server.port) as relay:
            relay.budget = cutting(chance, 600, 60_000)
            async with together(relay.target, users) as chats:
                listening = [asyncio.create_task(listen(chat, "the end")) for chat in chats]
                sent = await asyncio.gather(*(speak(chat, 200, chance) for chat in chats))
                log = await log_of(server)
                await server.rooms.publish("lobby", "the server", "the end")
                for heard in await asyncio.gather(*listening):
                    assert heard == log
            assert relay.cuts > 20
        assert len(log) == 4 * 200
        for user, positions in zip(users, sent, strict=True):
            assert len(positions) == 200
            for text, position in positions.items():
                assert log[position.offset - 1] == (position.offset, user, text)

    @pytest.mark.parametrize("seed", range(3))
    async def test_with_cancelled_sends_and_receives(self, seed: int) -> None:
        """The same holds when the program cancels sends and receives at any moment."""
        chance = random.Random(seed)
        loop = asyncio.get_running_loop()

        async def listen_restlessly(chat: RoomClient) -> list[str]:
            heard: list[str] = []
            while True:
                receiving = asyncio.create_task(chat.receive())
                patience = loop.call_later(chance.random() / 100, receiving.cancel)
                await asyncio.wait([receiving])
                patience.cancel()
                event = None if receiving.cancelled() else receiving.result()
                if isinstance(event, Message):
                    if event.text == "the end":
                        return heard
                    heard.append(event.text)
                assert not isinstance(event, Gap)

        async with serving() as server, relaying(server.port) as relay:
            relay.budget = cutting(chance, 600, 40_000)
            async with together(relay.target, ["ada", "grace"]) as (ada, grace):
                listening = [asyncio.create_task(listen_restlessly(each)) for each in (ada, grace)]
                sends = {}
                for number in range(3000):
                    text = str(number)
                    sends[text] = asyncio.create_task(chance.choice([ada, grace]).send(text))
                    if chance.random() < 0.3:
                        loop.call_later(chance.random() / 20, sends[text].cancel)
                    if chance.random() < 0.1:
                        await asyncio.sleep(0)
                await asyncio.wait(sends.values())
                log = [text for _, _, text in await log_of(server)]
                await server.rooms.publish("lobby", "the server", "the end")
                assert await asyncio.gather(*listening) == [log, log]
            assert relay.cuts > 5
        assert len(log) == len(set(log))
        for text, send in sends.items():
            if not send.cancelled():
                assert log[send.result().offset - 1] == text

    async def test_with_refusals(self) -> None:
        """A rejection reaches the right `send` while connections break."""
        chance = random.Random(5)

        async def on_message(message: RoomMessage) -> None:
            if message.text.endswith("7"):
                raise RefusedError(f"not {message.text}")

        async with serving(on_message=on_message) as server, relaying(server.port) as relay:
            relay.budget = cutting(chance, 600, 20_000)
            async with together(relay.target, ["ada"]) as (chat,):
                texts = [str(number) for number in range(200)]
                results = await asyncio.gather(*map(chat.send, texts), return_exceptions=True)
            log = {text: offset for offset, _, text in await log_of(server)}
        for text, result in zip(texts, results, strict=True):
            if text.endswith("7"):
                assert isinstance(result, RefusedError)
                assert result.reason == f"not {text}"
            else:
                assert result.offset == log.pop(text)
        assert log == {}

    async def test_leaving(self) -> None:
        """Leaving waits for all acknowledgements while connections break."""
        chance = random.Random(6)
        async with serving() as server, relaying(server.port) as relay:
            relay.budget = cutting(chance, 600, 30_000)
            chat = client(relay.target, wait_for_ready=True, close_timeout=TIMEOUT)
            async with chat:
                sends = [asyncio.create_task(chat.send(str(number))) for number in range(2000)]
                await asyncio.sleep(0)
            positions = [(await send).offset for send in sends]
            assert sorted(positions) == list(range(1, 2001))
            assert relay.cuts > 3

    async def test_a_network_that_goes_silent(self) -> None:
        """A silent connection that is not closed is detected as dead."""
        limits = Limits(
            first_call_timeout=None, keepalive_time=0.1, keepalive_timeout=0.1, write_timeout=None
        )
        async with serving() as server, relaying(server.port) as relay:
            async with Channel(target=relay.target, limits=limits) as channel:
                async with client(channel) as chat:
                    await chat.send("one")
                    relay.freeze()
                    await server.rooms.publish("lobby", "grace", "two")
                    assert (await chat.send("three")).offset == 3
                    texts = []
                    while len(texts) < 3:
                        event = await chat.receive()
                        if isinstance(event, Message):
                            texts.append(event.text)
                    assert texts == ["one", "two", "three"]


class TestServers:
    async def test_killed_and_restarted(self, tmp_path: Path) -> None:
        """Nothing is lost when a server with a log is killed and restarted."""
        chance = random.Random(7)
        broker = f"sqlite:///{tmp_path / 'chat.db'}"
        port = free_port()
        users = ["ada", "grace", "世界"]
        async with relaying(port) as relay, AsyncExitStack() as stack:
            server = await stack.enter_async_context(serving(port, broker=broker))
            chats = await stack.enter_async_context(together(relay.target, users))
            listening = [asyncio.create_task(listen(chat, "the end")) for chat in chats]
            speaking = asyncio.gather(*(speak(chat, 300, chance) for chat in chats))
            for _ in range(5):
                before = server.rooms.statistics().deliveries
                await until(
                    lambda: server.rooms.statistics().deliveries > before + 200,  # noqa: B023
                    "something is said",
                )
                relay.cut()
                await server.close()
                server = await stack.enter_async_context(serving(port, broker=broker))
            sent = await speaking
            log = await log_of(server)
            await server.rooms.publish("lobby", "the server", "the end")
            for heard in await asyncio.gather(*listening):
                assert heard == log
            assert len(log) == 3 * 300
            for user, positions in zip(users, sent, strict=True):
                for text, position in positions.items():
                    assert log[position.offset - 1] == (position.offset, user, text)
            await stack.aclose()

    async def test_a_server_that_shuts_down(self, tmp_path: Path) -> None:
        """Clients of a draining server reconnect to the next server."""
        broker = f"sqlite:///{tmp_path / 'chat.db'}"
        port = free_port()
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(serving(port, broker=broker))
            chat = await stack.enter_async_context(client(f"127.0.0.1:{port}"))
            await chat.send("one")
            await server.drain(0.05)
            sending = asyncio.create_task(chat.send("two"))
            server = await stack.enter_async_context(serving(port, broker=broker))
            assert (await sending).offset == 2
            received = [await chat.receive() for _ in range(3)]
            lost = received[2]
            assert isinstance(lost, Reconnecting)
            assert "shutting down" in str(lost.error)
            await stack.aclose()

    async def test_a_log_that_is_lost(self) -> None:
        """A log lost with its server is a gap, and the new messages follow."""
        port = free_port()
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(serving(port))
            chat = await stack.enter_async_context(client(f"127.0.0.1:{port}"))
            old = await chat.send("one")
            await server.close()
            server = await stack.enter_async_context(serving(port))
            other = await stack.enter_async_context(client(f"127.0.0.1:{port}", "grace"))
            await other.send("two")
            new = await chat.send("three")
            assert new.epoch != old.epoch
            gaps, texts = [], []
            while len(texts) < 3:
                event = await chat.receive()
                if isinstance(event, Gap):
                    gaps.append(event)
                elif isinstance(event, Message):
                    texts.append(event.text)
            assert texts == ["one", "two", "three"]
            assert gaps == [Gap(Position(old.epoch, 2), Position(new.epoch, 0))]
            await stack.aclose()

    async def test_away_for_too_long(self) -> None:
        """Messages dropped during a disconnect are a gap, and the kept messages follow."""
        async with (
            serving(retention=Retention(count=10)) as server,
            relaying(server.port) as relay,
            client(relay.target) as chat,
        ):
            await chat.send("0")
            relay.pause()
            relay.cut()
            for number in range(1, 31):
                await server.rooms.publish("lobby", "grace", str(number))
            relay.resume()
            received = []
            while not isinstance(event := await chat.receive(), Message) or event.text != "30":
                received.append(event)
            received.append(event)
            epoch = received[0].position.epoch
            kinds = [type(each) for each in received if not isinstance(each, Reconnecting)]
            assert kinds == [Connected, Message, Connected, Gap] + [Message] * 10
            (gap,) = (each for each in received if isinstance(each, Gap))
            assert gap == Gap(Position(epoch, 2), Position(epoch, 21))

    async def test_nobody_comes_back(self) -> None:
        """Leaving while the server is away raises for an unacknowledged message."""
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(serving())
            target = f"127.0.0.1:{server.port}"
            async with client(target, close_timeout=0.05) as chat:
                await server.close()
                sending = asyncio.create_task(chat.send("one"))
                await asyncio.sleep(0)
            (result,) = await asyncio.gather(sending, return_exceptions=True)
            assert str(result) == "the client is closed"
            with pytest.raises(UnavailableError):
                async with client(target):
                    raise AssertionError("let in")
            await stack.aclose()
