"""The broker: rooms in Redis, shared by any number of servers."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from secrets import token_urlsafe
from typing import Any

from ...config.broker_url import parse_redis_url
from ...errors import BrokerError
from ...rooms import (
    Draft,
    LogPage,
    Presence,
    Publication,
    Receipt,
    Retention,
    RetentionRule,
    retention_of,
)
from ...rooms.position import Position, new_epoch
from ..base import Answers, RoomPage, Subscriber
from . import scripts
from .feed import UNKNOWN, Feed, LogChanges, LogPosition
from .listener import Listener
from .maintenance import Maintenance
from .pipeline import Ask
from .publisher import Publisher, Waiting, arguments_of
from .room_list import RoomList
from .shards import Shards
from .survey import Surveys

LEASE_MS = 60_000
"""Milliseconds that a node's users remain present after its last report."""

PAGE = 500
"""Messages read at a time."""

MAX_KNOWN = 10_000
"""Rooms whose log position is remembered, besides subscribed rooms."""


class RedisBroker:
    """A `Broker` that many servers share; see the guide "Use Redis" for its requirements."""

    def __init__(
        self,
        url: str,
        retention: Retention | None = None,
        rules: Sequence[RetentionRule] = (),
        *,
        clock: Callable[[], float] | None = None,
        lease_ms: int = LEASE_MS,
    ) -> None:
        """Create a closed broker.

        `parse_redis_url` describes `url`. `retention` applies to rooms that match none of `rules`.
        The age of messages and ids follows the clock of Redis, unless `clock` replaces it with Unix
        time in seconds. Presence ends `lease_ms` milliseconds after the last report of a server.
        """
        location = parse_redis_url(url)
        self._url = str(location)
        self._timeout = location.timeout
        self._retention_of = partial(
            retention_of, default=retention or Retention(), rules=tuple(rules)
        )
        self._clock = clock
        self._lease_ms = lease_ms
        self._node = token_urlsafe(9)
        is_cluster = location.kind == "cluster"
        self._keys = scripts.Keys(location.prefix, location.db, is_cluster=is_cluster)
        self._shards = Shards(location, self)
        self._publisher = Publisher(self._send, self._url, location.timeout)
        self._surveys = Surveys(self._keys, self._node, self._shards)
        self._room_list = RoomList(self._keys, self._shards, self._describe)
        self._maintenance = Maintenance(
            self._check_room, self._rooms_to_check, self._room_list.sweep
        )
        self._presence = Presence()
        self._unsynced: set[tuple[str, str]] = set()
        """Rooms and users that changed on this node, until Redis has confirmed that."""
        self._feeds: dict[str, Feed] = {}
        self._listened: dict[str, Listener] = {}
        """The listener of each feed's channel, by room."""
        self._known: OrderedDict[str, LogPosition] = OrderedDict()
        self._subscriber: Subscriber | None = None
        self._is_closed = False

    @property
    def is_available(self) -> bool:
        """Whether all Redis masters are connected, for commands and for events."""
        return self._subscriber is not None and all(shard.is_connected for shard in self._shards)

    async def open(self, subscriber: Subscriber) -> None:
        await self._shards.open()
        await self._open_surveys(subscriber)
        if self._is_closed:
            await self._shards.close()
            raise BrokerError(self._url, "closed while it was being opened")
        self._subscriber = subscriber
        self._maintenance.start()

    async def close(self) -> None:
        self._is_closed = True
        was_open, self._subscriber = self._subscriber is not None, None
        await self._publisher.close()
        await self._surveys.close()
        for room in list(self._feeds):
            self._drop(room)
        await self._maintenance.close()
        if was_open and any(shard.is_connected for shard in self._shards):
            with suppress(TimeoutError):
                async with asyncio.timeout(2.0):
                    await asyncio.gather(*map(self._leave_room, self._presence.rooms()))
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
        epoch, offset, oldest, found = await self._read(
            scripts.READ, room, after, last, limit, int(newest), self._age_ms(room)
        )
        publications = [_entry(each)[0] for each in (reversed(found) if newest else found)]
        return LogPage(Position(epoch.decode(), offset), oldest, publications)

    async def subscribe(self, room: str) -> None:
        feed = self._feeds[room] = Feed(room, self._open_subscriber(), self._look, self._users)
        self._listen(room)
        try:
            await self._begin_feed(room, feed)
        finally:
            if not feed.has_begun and self._feeds.get(room) is feed:
                self._drop(room)

    async def _begin_feed(self, room: str, feed: Feed) -> None:
        """Start the feed; give up at the deadline or when Redis stops responding."""
        loop, deadline = asyncio.get_running_loop(), self._shards.deadline()
        while (end := min(deadline, self._listened[room].silence_ends_at)) > loop.time():
            with suppress(TimeoutError):
                async with asyncio.timeout_at(end):
                    return await feed.begin()
        raise feed.problem or BrokerError(self._url, "no answer in time")

    async def unsubscribe(self, room: str) -> None:
        if room in self._feeds:
            self._drop(room)

    async def enter(self, room: str, user: str, session_id: str) -> None:
        self._open_subscriber()
        if self._presence.enter(room, user, session_id):
            self._unsynced.add((room, user))
        if (room, user) in self._unsynced:
            await self._sync_user(room, user)

    async def leave(self, room: str, user: str, session_id: str) -> None:
        if self._presence.leave(room, user, session_id):
            self._unsynced.add((room, user))
            if self._subscriber is not None:
                await self._sync_user(room, user)

    async def users(self, room: str) -> list[str]:
        self._open_subscriber()
        _, _, users = await self._users(room)
        return sorted(users)

    async def rooms(self, *, prefix: str = "", after: str = "", limit: int) -> RoomPage:
        self._open_subscriber()
        return await self._room_list.page(prefix, after, limit)

    async def survey(self, command: bytes) -> Answers:
        self._open_subscriber()
        return await self._surveys.survey(command)

    # Commands to Redis.

    def _call(self, script: scripts.Script, room: str, *arguments: str | int) -> Ask:
        keys = self._keys.of_room(room)
        clock_ms = "" if self._clock is None else int(self._clock() * 1000)
        begin = (new_epoch(), clock_ms, keys.channel, self._shards.publish_verb)
        return Ask(keys.slot, arguments, script=script, keys=keys.four, begin=begin)

    async def _read(self, script: scripts.Script, room: str, *arguments: str | int) -> Any:
        return await self._shards.read(self._call(script, room, *arguments))

    def _age_ms(self, room: str) -> int:
        return int(self._retention_of(room).age * 1000)

    async def _send(self, room: str, batch: list[Waiting]) -> list[Any]:
        """Call the script, and remember the new position of the room's log."""
        nonce, known = token_urlsafe(6), self._known.get(room, UNKNOWN)
        own_keys, retention = self._keys.of_room(room), self._retention_of(room)
        keys, arguments = arguments_of(own_keys, batch, nonce, known, retention)
        call = self._call(scripts.PUBLISH, room, *arguments)
        size = sum(waiting.size for waiting in batch)
        call = call._replace(keys=keys, may_repeat=False, size=size)
        reply: list[Any] = await self._shards.write(call, batch[0].deadline)
        if reply[0] == scripts.HELD:
            return reply
        outcomes = zip(reply[2::3], reply[3::3], strict=True)
        offsets = [offset for outcome, offset in outcomes if outcome == b"published"]
        if offsets:
            self._remember(room, LogPosition(reply[0].decode(), offsets[-1], nonce))
        if not reply[1]:
            with suppress(BrokerError):  # the next message will list the room
                await self._room_list.add(room)
        return reply

    async def _describe(self, room: str) -> tuple[Position, int, int]:
        epoch, offset, *counts = await self._read(scripts.ABOUT, room, self._age_ms(room))
        return Position(epoch.decode(), offset), *counts

    async def _users(self, room: str) -> tuple[str, int, set[str]]:
        epoch, changes, users = await self._read(scripts.USERS, room)
        return epoch.decode(), changes, {user.decode() for user in users}

    async def _look(self, room: str, known: LogPosition | None, limit: int = PAGE) -> LogChanges:
        """Return the messages after a position, and renew the lease of this node's users."""
        node = self._node if self._presence.count(room) else ""
        arguments = (limit, node, self._lease_ms, self._age_ms(room))
        reply = await self._read(scripts.LOOK, room, *(known or UNKNOWN), *arguments)
        new_epoch, newest, new_nonce, oldest, changes, is_alive, found = reply
        if not is_alive:
            self._unsynced |= {(room, user) for user in self._presence.users(room)}
        position = LogPosition(new_epoch.decode(), newest, new_nonce.decode())
        self._remember(room, position)
        return LogChanges(position, oldest, changes, [_entry(each) for each in found])

    async def _leave_room(self, room: str) -> None:
        with suppress(BrokerError):
            await self._shards.write(self._call(scripts.QUIT, room, self._node))

    async def _sync_user(self, room: str, user: str) -> None:
        is_there = self._presence.has(room, user)
        arguments = (self._node, self._lease_ms, user, int(is_there))
        _, is_listed = await self._shards.write(self._call(scripts.JOIN, room, *arguments))
        if is_there is self._presence.has(room, user):
            self._unsynced.discard((room, user))
        if is_there and not is_listed:
            await self._room_list.add(room)

    def _remember(self, room: str, known: LogPosition) -> None:
        """Remember the position of a room's log unless a newer one is known."""
        before = self._known.get(room)
        if before is None or before.epoch != known.epoch or before.offset <= known.offset:
            self._known[room] = known
            self._known.move_to_end(room)
            if len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)

    # Events from Redis.

    async def _open_surveys(self, subscriber: Subscriber) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await self._surveys.open(subscriber.on_survey)
        except BaseException as error:
            await self._shards.close()
            if not isinstance(error, TimeoutError):
                raise
            reason = "pub/sub does not answer in time; allow the user to access the channels that "
            raise BrokerError(self._url, f"{reason}begin with the prefix") from error

    def _listen(self, room: str) -> None:
        keys = self._keys.of_room(room)
        listener = self._shards.of(keys.slot).listener
        self._listened[room] = listener
        listener.subscribe(keys.channel)

    def _drop(self, room: str) -> None:
        self._feeds.pop(room).close(BrokerError(self._url, "not open"))
        self._listened.pop(room).unsubscribe(self._keys.of_room(room).channel)

    def on_message(self, channel: str, payload: bytes) -> None:
        if self._surveys.has_channel(channel):
            self._surveys.on_message(channel, payload)
        elif (feed := self._feeds.get(self._keys.room_of_channel(channel))) is not None:
            feed.receive(payload)

    def on_subscribed(self, channel: str) -> None:
        if self._surveys.has_channel(channel):
            self._surveys.on_subscribed(channel)
        elif (feed := self._feeds.get(self._keys.room_of_channel(channel))) is not None:
            feed.look()

    def on_moved(self) -> None:
        for room, listener in list(self._listened.items()):
            keys = self._keys.of_room(room)
            if self._shards.of(keys.slot).listener is not listener:
                listener.unsubscribe(keys.channel)
                self._listen(room)
        self._surveys.listen()
        self.on_restart()

    def on_restart(self) -> None:
        """Check all known rooms, because a restarted Redis may have lost messages."""
        self._maintenance.check_now(list(self._known))

    # Regular checks.

    def _rooms_to_check(self) -> set[str]:
        return {*self._feeds, *self._presence.rooms(), *(room for room, _ in self._unsynced)}

    async def _check_room(self, room: str) -> None:
        feed, known = self._feeds.get(room), self._known.get(room)
        if feed is None or feed.known != known:
            await self._look(room, known, limit=0)
        if feed is not None and feed.has_begun:
            feed.look()
        for user in [user for where, user in self._unsynced if where == room]:
            await self._sync_user(room, user)

    def _open_subscriber(self) -> Subscriber:
        if self._subscriber is None:
            raise BrokerError(self._url, "not open")
        return self._subscriber


def _entry(entry: Any) -> tuple[Publication, str]:
    """Return a message of the stream and the nonce of the call that published it."""
    name, fields = entry
    offset = int(name.partition(b"-")[0])
    return Publication(offset, *json.loads(fields[1])), fields[5].decode()
