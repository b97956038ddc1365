"""Pub/sub events of one Redis, over one connection.

A loss is noticed at most `silence` seconds after the last reply. Messages may be missing after a
loss, and whenever Redis confirms a channel. The owner then reads the log. Handlers of messages
must not wait.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from typing import Protocol

from redis import exceptions

from .connection import MIN_PAUSE, Callback, Command, Dial, Reconnecting, RedisConnection

log = logging.getLogger(__name__)

SILENCE = 10.0
"""Maximum seconds without a reply before the connection counts as lost."""

RESPONSE_TIMEOUT = 2.0
"""Seconds without a reply after which pending reads give up."""

PING_INTERVAL = 0.5
"""Seconds between pings; at most a quarter of the allowed silence."""

MAX_CHANNELS = 500
"""Channels in one subscribe command."""


class Events(Protocol):
    def on_message(self, channel: str, payload: bytes) -> None:
        """Handle a message."""

    def on_subscribed(self, channel: str) -> None:
        """Note that a channel is subscribed, again or for the first time."""

    def on_restart(self) -> None:
        """Note that a master was restarted or replaced."""

    def on_moved(self) -> None:
        """Note that slots have moved to another master."""


class Listener(Reconnecting):
    def __init__(
        self, dial: Dial, on_problem: Callback, events: Events, *, is_sharded: bool, silence: float
    ) -> None:
        """`is_sharded` uses SSUBSCRIBE; `silence` limits the seconds without a reply."""
        super().__init__(dial, on_problem)
        self._events = events
        self._silence = min(silence, SILENCE)
        self._verb = "S" if is_sharded else ""
        self._channels: set[str] = set()
        self._outgoing: deque[Command] = deque()
        self._has_outgoing = asyncio.Event()
        self.last_reply_at = 0.0
        self._run = ""

    @property
    def silence_ends_at(self) -> float:
        return self.last_reply_at + RESPONSE_TIMEOUT

    @property
    def is_responsive(self) -> bool:
        """Whether Redis is connected and replied recently."""
        return self.is_connected and asyncio.get_running_loop().time() < self.silence_ends_at

    def start(self, link: RedisConnection | None = None) -> None:
        self.last_reply_at = asyncio.get_running_loop().time()
        super().start(link)

    def subscribe(self, channel: str) -> None:
        """Subscribe to a channel; messages arrive after the next `on_subscribed`."""
        self._channels.add(channel)
        self._send(f"{self._verb}SUBSCRIBE", channel)

    def unsubscribe(self, channel: str) -> None:
        if channel in self._channels:
            self._channels.discard(channel)
            self._send(f"{self._verb}UNSUBSCRIBE", channel)

    def _send(self, *command: str) -> None:
        if self.is_connected:
            self._outgoing.append(command)
            self._has_outgoing.set()

    async def _use(self, link: RedisConnection) -> None:
        if self._run not in ("", link.run):
            self._events.on_restart()
        self._run = link.run
        self.last_reply_at = asyncio.get_running_loop().time()
        self._outgoing = deque(_subscriptions(f"{self._verb}SUBSCRIBE", self._channels))
        self._has_outgoing.set()
        group = [asyncio.ensure_future(self._read(link)), asyncio.ensure_future(self._write(link))]
        try:
            await asyncio.wait(group, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.is_connected = False
            for task in group:
                task.cancel()
            await asyncio.wait(group)
        for task in group:
            error = None if task.cancelled() else task.exception()
            if error is not None and not isinstance(error, exceptions.RedisError | OSError):
                log.error("unexpected event from Redis", exc_info=error)
        self._on_problem()
        await asyncio.sleep(MIN_PAUSE)

    async def _read(self, link: RedisConnection) -> None:
        loop = asyncio.get_running_loop()
        while True:
            reply = await link.receive()
            self.last_reply_at = loop.time()
            match reply:
                case [b"message" | b"smessage", channel, payload]:
                    self._events.on_message(channel.decode(), payload)
                case [b"subscribe" | b"ssubscribe", channel, _]:
                    self._events.on_subscribed(channel.decode())
                case [b"sunsubscribe", channel, _] if channel.decode() in self._channels:
                    return  # the slot moved to another master

    async def _write(self, link: RedisConnection) -> None:
        loop = asyncio.get_running_loop()
        pause = min(PING_INTERVAL, self._silence / 4)
        next_ping = loop.time() + pause
        while loop.time() < self.last_reply_at + self._silence:
            commands = list(self._outgoing)
            self._outgoing.clear()
            self._has_outgoing.clear()
            if loop.time() >= next_ping:
                next_ping = loop.time() + pause
                commands.append(("PING",))
            if commands:
                async with asyncio.timeout(self._silence):
                    await link.send(commands)
            try:
                async with asyncio.timeout_at(min(next_ping, self.last_reply_at + self._silence)):
                    await self._has_outgoing.wait()
            except TimeoutError:
                await asyncio.sleep(0)  # first handle replies that arrived while the loop was busy


def _subscriptions(verb: str, channels: Iterable[str]) -> Iterable[Command]:
    """Yield the commands; a sharded command has one channel, since all must share a slot."""
    ordered = sorted(channels)
    size = MAX_CHANNELS if verb == "SUBSCRIBE" else 1
    for first in range(0, len(ordered), size):
        yield (verb, *ordered[first : first + size])
