"""The broker: rooms in Redis, for any number of servers."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from secrets import token_urlsafe
from typing import Any

from ...config.broker_url import parse_redis_url
from ...errors import BrokerError
from ...rooms import Draft, LogPage, Receipt, Retention, RetentionRule, retention_of
from ...rooms.position import Position, new_epoch
from ..base import Answers, RoomPage, Subscriber
from . import scripts
from .errors import LostError
from .feed import Feed, Known, Look, publication_of
from .keys import Keys
from .local_presence import Residents
from .maintenance import Upkeep
from .pipeline import Call, Plain
from .publisher import Publisher, Publishing, arguments_of
from .room_list import Listing
from .scripts import Script
from .shards import Shards
from .survey import Surveys

__all__ = ["RedisBroker"]

LEASE_MS = 60_000
"""For how long the users of a node are there after the last word of it."""

PAGE = 500
"""Messages that are looked for at a time."""

MOST_KNOWN = 10_000
"""Rooms whose positions are remembered, beside those that are subscribed to."""


class RedisBroker:
    """A `Broker` whose rooms many servers share; see docs/rooms.md for what Redis has to be."""

    def __init__(
        self,
        url: str,
        retention: Retention | None = None,
        rules: Sequence[RetentionRule] = (),
        *,
        clock: Callable[[], float] | None = None,
        lease_ms: int = LEASE_MS,
    ) -> None:
        """`url` is one that `parse_redis_url` takes. `rules` are for rooms of certain names.

        `clock` gives seconds since 1970 in place of the clock of Redis, which knows the age of
        messages and ids. Presence ends `lease_ms` after the last word of a server.
        """
        location = parse_redis_url(url)
        self._name = str(location)
        self._timeout = location.timeout
        self._retention = retention or Retention()
        self._rules = tuple(rules)
        self._clock = clock
        self._lease_ms = lease_ms
        self._node = token_urlsafe(9)
        is_cluster = location.kind == "cluster"
        self._keys = Keys(location.prefix, location.db, is_cluster=is_cluster)
        self._shards = Shards(
            location,
            self._refusal,
            self._on_message,
            self._on_subscribed,
            self._on_run,
            self._on_moved,
        )
        self._publisher = Publisher(
            self._send, self._settle_publishing, self._refusal, self._timeout
        )
        self._surveys = Surveys(self._keys, self._node, self._shards.write, self._refusal)
        self._listing = Listing(self._keys, self._read_plain, self._about)
        self._upkeep = Upkeep(self._look_after, self._rooms_to_look_after, self._listing.sweep)
        self._residents = Residents()
        self._feeds: dict[str, Feed] = {}
        self._listened: dict[str, Any] = {}
        """The listener of each feed's channel."""
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._subscriber: Subscriber | None = None
        self._is_closed = False

    @property
    def is_available(self) -> bool:
        """Redis can be asked, all of it, and tells what happens."""
        return self._subscriber is not None and all(shard.is_connected for shard in self._shards)

    async def open(self, subscriber: Subscriber) -> None:
        await self._shards.open()
        await self._open_surveys(subscriber)
        if self._is_closed:
            await self._shards.close()
            raise self._refusal("it was closed while it was being opened")
        self._subscriber = subscriber
        self._upkeep.start()

    async def close(self) -> None:
        self._is_closed = True
        was_open, self._subscriber = self._subscriber is not None, None
        await self._publisher.close()
        await self._surveys.close()
        for room in list(self._feeds):
            self._drop(room)
        await self._upkeep.close()
        if was_open and any(shard.is_connected for shard in self._shards):
            with suppress(TimeoutError):
                async with asyncio.timeout(2.0):
                    await asyncio.gather(*map(self._quit, self._residents.rooms()))
        await self._shards.close()

    async def publish(self, room: str, drafts: Sequence[Draft]) -> list[Receipt]:
        self._open_subscriber()
        return await self._publisher.publish(room, drafts)

    async def read(
        self,
        room: str,
        *,
        after: int = 0,
        before: int | None = None,
        limit: int,
        newest: bool = False,
    ) -> LogPage:
        self._open_subscriber()
        last = "" if before is None else before
        arguments = (after, last, limit, int(newest), self._age_ms(room))
        epoch, offset, oldest, found = await self._read(scripts.READ, room, *arguments)
        publications = [_entry(each)[0] for each in (reversed(found) if newest else found)]
        return LogPage(Position(epoch.decode(), offset), oldest, publications)

    async def subscribe(self, room: str) -> None:
        subscriber = self._open_subscriber()
        feed = self._feeds[room] = Feed(room, subscriber, self._look, self._users)
        self._listen(room)
        try:
            await self._begin_feed(room, feed)
        finally:
            if not feed.has_begun and self._feeds.get(room) is feed:
                self._drop(room)

    async def _begin_feed(self, room: str, feed: Feed) -> None:
        """Waits for it, as long as Redis is heard of."""
        loop, deadline = asyncio.get_running_loop(), self._deadline()
        while (end := min(deadline, self._listened[room].patience_ends_at)) > loop.time():
            with suppress(TimeoutError):
                async with asyncio.timeout_at(end):
                    return await feed.begin()
        raise feed.trouble or self._refusal("it does not answer in time")

    async def unsubscribe(self, room: str) -> None:
        if room in self._feeds:
            self._drop(room)

    async def enter(self, room: str, user: str, session_id: str) -> None:
        self._open_subscriber()
        if self._residents.enter(room, user, session_id):
            await self._settle_user(room, user)

    async def leave(self, room: str, user: str, session_id: str) -> None:
        if self._residents.leave(room, user, session_id) and self._subscriber is not None:
            await self._settle_user(room, user)

    async def users(self, room: str) -> list[str]:
        self._open_subscriber()
        _, _, users = await self._users(room)
        return sorted(users)

    async def rooms(self, *, prefix: str = "", after: str = "", limit: int) -> RoomPage:
        self._open_subscriber()
        return await self._listing.page(prefix, after, limit)

    async def survey(self, command: bytes) -> Answers:
        self._open_subscriber()
        return await self._surveys.survey(command, self._deadline())

    # What is asked of Redis.

    def _call(self, script: Script, room: str, *arguments: str | int) -> Call:
        keys = self._keys.of_room(room)
        return Call(script, keys.slot, keys.four, self._begin(keys.channel), arguments)

    def _begin(self, channel: str) -> tuple[str | int, ...]:
        clock_ms = "" if self._clock is None else int(self._clock() * 1000)
        verb = "SPUBLISH" if self._shards.is_sharded else "PUBLISH"
        return new_epoch(), clock_ms, channel, verb

    async def _write(self, script: Script, room: str, *arguments: str | int) -> Any:
        return await self._shards.write(self._call(script, room, *arguments), self._deadline())

    async def _read(self, script: Script, room: str, *arguments: str | int) -> Any:
        return await self._shards.read(self._call(script, room, *arguments), self._deadline())

    async def _read_plain(self, slot: int, *words: str | int) -> Any:
        return await self._shards.read(Plain(slot, words), self._deadline())

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._timeout

    def _age_ms(self, room: str) -> int:
        return int(self._retention_of(room).age * 1000)

    def _retention_of(self, room: str) -> Retention:
        return retention_of(room, self._retention, self._rules)

    async def _send(self, publishing: Publishing) -> list[Any]:
        keys = self._keys.of_room(publishing.room)
        all_keys, arguments = arguments_of(
            keys,
            publishing,
            self._known.get(publishing.room),
            self._retention_of(publishing.room),
        )
        call = Call(
            scripts.PUBLISH,
            keys.slot,
            all_keys,
            self._begin(keys.channel),
            arguments,
            may_repeat=False,
            size=sum(map(len, publishing.messages)),
        )
        reply: list[Any] = await self._shards.write(call, publishing.deadline)
        return reply

    async def _settle_publishing(self, publishing: Publishing, reply: list[Any]) -> str:
        epoch: str = reply[0].decode()
        offsets = [
            o for what, o in zip(reply[2::3], reply[3::3], strict=True) if what == b"published"
        ]
        if offsets:
            self._know(publishing.room, Known(epoch, offsets[-1], publishing.nonce))
        if not reply[1]:
            with suppress(BrokerError, LostError):  # it is listed when something is said next
                await self._listing.add(publishing.room)
        return epoch

    async def _about(self, room: str) -> tuple[Position, int, int]:
        """The position of a room, its messages and its users."""
        epoch, offset, *counts = await self._read(scripts.ABOUT, room, self._age_ms(room))
        return Position(epoch.decode(), offset), *counts

    async def _users(self, room: str) -> tuple[str, int, set[str]]:
        epoch, changes, users = await self._read(scripts.USERS, room)
        return epoch.decode(), changes, {user.decode() for user in users}

    async def _look(self, room: str, known: Known | None, limit: int = PAGE) -> Look:
        """What is behind a position; who is here is made known again on the way."""
        epoch, offset, nonce = known or ("", 0, "")
        node = self._node if self._residents.has_users(room) else ""
        arguments = (epoch, offset, nonce, limit, node, self._lease_ms, self._age_ms(room))
        reply = await self._read(scripts.LOOK, room, *arguments)
        new_epoch, newest, new_nonce, oldest, changes, is_alive, found = reply
        if not is_alive:
            self._residents.unsettle(room)
        position = Known(new_epoch.decode(), newest, new_nonce.decode())
        self._know(room, position)
        return Look(position, oldest, changes, [_entry(each) for each in found])

    async def _quit(self, room: str) -> None:
        with suppress(BrokerError, LostError):
            await self._write(scripts.QUIT, room, self._node)

    async def _settle_user(self, room: str, user: str) -> None:
        """Has Redis know whether the user is on this node."""
        is_there = self._residents.is_there(room, user)
        reply = await self._write(
            scripts.JOIN, room, self._node, self._lease_ms, user, int(is_there)
        )
        if is_there is self._residents.is_there(room, user):
            self._residents.unsettled.discard((room, user))
        if is_there and not reply[1]:
            await self._listing.add(room)

    def _know(self, room: str, known: Known) -> None:
        """Remembers where a room is; what is newer counts."""
        before = self._known.get(room)
        if before is None or before.epoch != known.epoch or before.offset <= known.offset:
            self._known[room] = known
            self._known.move_to_end(room)
            if len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)

    # What Redis tells.

    async def _open_surveys(self, subscriber: Subscriber) -> None:
        listener = self._shards.of(self._surveys.slot).listener
        try:
            async with asyncio.timeout(self._timeout):
                await self._surveys.open(
                    subscriber.on_survey, listener, is_sharded=self._shards.is_sharded
                )
        except BaseException as error:
            await self._shards.close()
            if isinstance(error, TimeoutError):
                raise self._refusal(
                    "its pub/sub does not answer in time; may the user use the channels that "
                    "begin with the prefix?"
                ) from error
            raise

    def _listen(self, room: str) -> None:
        keys = self._keys.of_room(room)
        listener = self._shards.of(keys.slot).listener
        self._listened[room] = listener
        listener.subscribe(keys.channel)

    def _drop(self, room: str) -> None:
        self._feeds.pop(room).close(self._refusal("it is not open"))
        self._listened.pop(room).unsubscribe(self._keys.of_room(room).channel)

    def _on_message(self, channel: str, payload: bytes) -> None:
        if self._surveys.has_channel(channel):
            self._surveys.on_message(channel, payload)
        elif (feed := self._feeds.get(self._keys.room_of_channel(channel))) is not None:
            feed.receive(payload)

    def _on_subscribed(self, channel: str) -> None:
        if self._surveys.has_channel(channel):
            self._surveys.on_subscribed(channel)
        elif (feed := self._feeds.get(self._keys.room_of_channel(channel))) is not None:
            feed.look()

    def _on_moved(self) -> None:
        for room, listener in list(self._listened.items()):
            keys = self._keys.of_room(room)
            if self._shards.of(keys.slot).listener is not listener:
                listener.unsubscribe(keys.channel)
                self._listen(room)
        self._surveys.listen(self._shards.of(self._surveys.slot).listener)
        self._on_run()

    def _on_run(self) -> None:
        """Redis may have lost something: it is asked about all rooms of which anything is known."""
        self._upkeep.hurry(list(self._known))

    # What is looked after from time to time.

    def _rooms_to_look_after(self) -> set[str]:
        unsettled = {room for room, _ in self._residents.unsettled}
        return {*self._feeds, *self._residents.rooms(), *unsettled}

    async def _look_after(self, room: str) -> None:
        feed, known = self._feeds.get(room), self._known.get(room)
        if feed is None or feed.known != known:
            await self._look(room, known, limit=0)
        if feed is not None and feed.has_begun:
            feed.look()
        for user in [user for where, user in self._residents.unsettled if where == room]:
            await self._settle_user(room, user)

    def _refusal(self, reason: str) -> BrokerError:
        return BrokerError(self._name, reason)

    def _open_subscriber(self) -> Subscriber:
        if self._subscriber is None:
            raise self._refusal("it is not open")
        return self._subscriber


def _entry(entry: Any) -> tuple[Any, str]:
    """A message of the stream, and the nonce of its call."""
    name, fields = entry
    offset = int(name.partition(b"-")[0])
    return publication_of(offset, json.loads(fields[1])), fields[5].decode()
