"""The promises of rooms over real connections, under random events.

Users join, send, read slowly or not at all, leave in every way and resume. The broker is slow,
fails and loses its log. An operator disconnects users. In every case each session receives the
messages of the log once and in order, and nothing remains at the end.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from chatify_stream import CallError, Channel, ChatRsp, ChatServer, ClosedError, UsageError
from chatify_stream.brokers import Broker, Subscriber
from chatify_stream.brokers.sqlite import SQLiteBroker
from chatify_stream.rooms import Publication, Retention
from chatify_stream.rooms.position import Position

from .membership import Membership, channel_to, entering, node_of, room_server
from .moody_broker import MoodyBroker
from .raw_member import raw_member

ROOM = "lobby"
USERS = ("ada", "bob", "eve")
SESSIONS = 12
KEPT = 50


class Truth:
    """A broker that records the events it has sent."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.log: dict[Position, Publication] = {}

    async def open(self, subscriber: Subscriber) -> None:
        await self.broker.open(Notes(subscriber, self.log))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.broker, name)


class Notes:
    """Records the events of a subscriber."""

    def __init__(self, subscriber: Subscriber, log: dict[Position, Publication]) -> None:
        self._subscriber = subscriber
        self._log = log
        self._epoch = ""
        self.presence_changed = subscriber.presence_changed

    def begins_at(self, room: str, position: Position) -> None:
        self._epoch = position.epoch
        self._subscriber.begins_at(room, position)

    def published(self, room: str, publications: Sequence[Publication]) -> None:
        for publication in publications:
            at = Position(self._epoch, publication.offset)
            assert at not in self._log
            self._log[at] = publication
        self._subscriber.published(room, publications)


class Listener:
    """The messages of one session, checked against the log."""

    def __init__(self, truth: Truth, position: Position, latest: int) -> None:
        """The session begins at `position` or later, but not after the offset `latest`."""
        self._truth = truth
        self.position = position
        self._latest = latest

    def hear(self, message: ChatRsp) -> None:
        if not message.offset:
            return
        at = Position(self.position.epoch, message.offset)
        said = self._truth.log[at]
        assert (message.sender, message.message, message.id) == (said.user, said.text, said.id)
        if message.offset <= self.position.offset:
            assert message.id  # a copy of what its user had sent before
            return
        assert self.position.offset < message.offset <= max(self.position.offset, self._latest) + 1
        self.position, self._latest = at, message.offset

    def end(self, trailers: Mapping[str, str | bytes]) -> None:
        """Check that the server's resume position is that of the last message."""
        if (text := trailers.get("chat-resume")) is not None:
            position = Position.parse(str(text))
            assert position.epoch == self.position.epoch
            assert self.position.offset <= position.offset <= self._latest


class User:
    """A user that joins and leaves."""

    def __init__(self, name: str, truth: Truth, seed: float) -> None:
        self.name = name
        self.heard = 0
        self._truth = truth
        self._chance = random.Random(seed)
        self._last: Position | None = None
        self._sent = 0

    async def live(self, server: ChatServer, channel: Channel) -> None:
        for _ in range(SESSIONS):
            if self._chance.random() < 0.3:
                await self._read_slowly(server)
            else:
                await self._talk(channel)

    def _metadata(self) -> dict[str, str]:
        metadata = {"user": self.name}
        begins = self._chance.choice(["resume", "resume", "resume", "history", "live"])
        if begins == "resume" and self._last is not None:
            metadata["resume"] = str(self._last)
        elif begins == "history":
            metadata["history"] = str(self._chance.choice([1, 10, 1000]))
        if self._chance.random() < 0.5:
            metadata["events"] = "presence,users"
        return metadata

    def _listener(self, asked: dict[str, str], headers: dict[str, str]) -> Listener:
        """Check where the session begins, and which messages it has missed."""
        newest = Position(headers["chat-epoch"], int(headers["chat-offset"]))
        if headers["chat-recovered"] == "true":
            resumed = Position.parse(asked["resume"])
            assert resumed.epoch == newest.epoch
            return Listener(self._truth, resumed, resumed.offset)
        # What is kept may have become less since.
        oldest = max(newest.offset - min(int(asked.get("history", "0")), KEPT), 0)
        return Listener(self._truth, newest._replace(offset=oldest), newest.offset)

    async def _talk(self, channel: Channel) -> None:
        """Run a session that always reads, and sends messages."""
        asked = self._metadata()
        keys = [("chat-room", ROOM), *((f"chat-{key}", text) for key, text in asked.items())]
        async with entering(channel, keys) as member:
            try:
                await member.stream.recv_initial_metadata()
                listener = self._listener(asked, member.headers)
                reading = asyncio.create_task(self._read(member, listener))
                with suppress(CallError, UsageError):  # the server may have ended it
                    await self._say_something(member)
                    if self._chance.random() < 0.4:
                        await member.half_close()
                        await reading
                reading.cancel()
                await asyncio.wait([reading])
                if not reading.cancelled():
                    reading.result()
            except CallError:
                pass  # it was not let in

    async def _read(self, member: Membership, listener: Listener) -> None:
        try:
            async for message in member.stream:
                listener.hear(message)
                self.heard += 1
            await member.stream.recv_trailing_metadata()
            trailers = dict(member.stream.trailing_metadata or {})
        except CallError as error:
            trailers = dict(error.metadata)
        except ClosedError:
            trailers = {}  # it was the test that ended it
        finally:
            self._last = listener.position
        listener.end(trailers)

    async def _say_something(self, member: Membership) -> None:
        for _ in range(self._chance.randrange(12)):
            await self._wait()
            self._sent += 1
            number = self._sent if self._chance.random() < 0.8 else self._chance.randint(1, 5)
            text = f"{number} {'x' * (number * 37 % 3000)}"
            times = self._chance.choice([1, 1, 1, 5])
            await member.say(*[text] * times, id=str(number) if times > 1 else "")
        await self._wait()

    async def _read_slowly(self, server: ChatServer) -> None:
        """Run a session that returns its window late or never."""
        asked = self._metadata()
        async with raw_member(server, window=self._chance.choice([65_535, 4000]), **asked) as slow:
            if slow.is_ended:
                return
            listener = self._listener(asked, slow.headers[0])
            patience = self._chance.randrange(20)
            heard = 0
            for _ in range(patience):
                before = slow.bytes_received
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.002):
                        await slow.read()
                for message in slow.messages[heard:]:
                    listener.hear(message)
                heard = len(slow.messages)
                if slow.is_ended or slow.reset is not None or slow.is_closed:
                    break
                if slow.bytes_received > before and self._chance.random() < 0.7:
                    slow.grant(slow.bytes_received - before)
            self.heard += heard
            if slow.is_ended:
                listener.end(slow.trailers)
            self._last = listener.position

    async def _wait(self) -> None:
        for _ in range(self._chance.choice([0, 0, 1, 5, 30])):
            await asyncio.sleep(0)


async def disturb(server: ChatServer, broker: Broker, chance: random.Random) -> None:
    """Cause other events in the server."""
    while True:
        for _ in range(chance.randrange(200)):
            await asyncio.sleep(0)
        match chance.randrange(4):
            case 0:
                server.rooms.disconnect(chance.choice(USERS), reconnect=chance.random() < 0.5)
            case 1 if isinstance(broker, MoodyBroker):
                broker.failing = {chance.choice(["publish", "read", "subscribe", "enter", "users"])}
                for _ in range(chance.randrange(20)):
                    await asyncio.sleep(0)
                broker.failing = set()
            case 2 if isinstance(broker, MoodyBroker) and chance.random() < 0.3:
                if ROOM in broker.memory._logs:
                    broker.lose_the_log(ROOM)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["moody", "sqlite"])
async def test_everything_at_once(kind: str, seed: int, tmp_path: Path) -> None:
    """Every session receives the log without gaps, in order, from its first position on."""
    chance = random.Random(seed)
    if kind == "moody":
        broker: Broker = MoodyBroker(Retention(count=KEPT), chance=chance)
    else:
        broker = SQLiteBroker(str(tmp_path / "chat.db"), Retention(count=KEPT))
    truth = Truth(broker)
    async with room_server(broker=truth, max_outbox=8000) as server:
        disturbing = asyncio.create_task(disturb(server, broker, chance))
        users = [User(name, truth, chance.random()) for name in USERS * 3]
        async with channel_to(server) as channel, asyncio.timeout(60):
            await asyncio.gather(*(user.live(server, channel) for user in users))
        disturbing.cancel()
        await asyncio.wait([disturbing])
        if isinstance(broker, MoodyBroker):
            broker.failing = set()
        ids = [(at.epoch, said.user, said.id) for at, said in truth.log.items() if said.id]
        assert len(set(ids)) == len(ids)
        assert any(user.heard for user in users)
    assert node_of(server).statistics().sessions_opened >= len(users)
