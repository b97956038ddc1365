"""What one Redis tells by itself: its pub/sub, over one connection.

Rules: a loss is noticed, at the latest, `silence` seconds after the last word. After it, and
whenever Redis confirms a channel, what was told may have a hole: whoever listens looks into the log
then. Nothing is waited for while a message is dealt with.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterable

from redis import exceptions

from .connection import Command, Link
from .errors import UnusableError
from .pipeline import FIRST_PAUSE, LONGEST_PAUSE

__all__ = ["Listener"]

log = logging.getLogger(__name__)

SILENCE = 10.0
"""Seconds without a word after which a connection is lost, at the most."""

PATIENCE = 2.0
"""Seconds without a word after which nobody waits for an answer that others could give."""

PING_INTERVAL = 0.5
"""Seconds, or a quarter of the silence that is too long."""

TOGETHER = 500
"""Channels that are subscribed to by one command."""


class Listener:
    """The channels of one Redis."""

    def __init__(
        self,
        dial: Callable[[], Awaitable[Link]],
        on_message: Callable[[str, bytes], object],
        on_subscribed: Callable[[str], object],
        on_run: Callable[[], object],
        on_trouble: Callable[[], object],
        *,
        is_sharded: bool,
        silence: float = SILENCE,
    ) -> None:
        """`on_subscribed` is told of a channel each time that it is subscribed to; `on_run` when
        Redis has been started anew, or is another one; `on_trouble` when it is away, or does not
        have a channel any more. `is_sharded`: by SSUBSCRIBE. `silence`: seconds without a word."""
        self._dial = dial
        self._silence = min(silence, SILENCE)
        self._on_message = on_message
        self._on_subscribed = on_subscribed
        self._on_run = on_run
        self._on_trouble = on_trouble
        self._verb = "S" if is_sharded else ""
        self._channels: set[str] = set()
        self._outgoing: deque[Command] = deque()
        self._has_outgoing = asyncio.Event()
        self.heard_at = 0.0
        """When there was the last word of this Redis, by the time of the loop."""
        self._run = ""
        self._task: asyncio.Task[None] | None = None
        self.is_connected = False

    @property
    def patience_ends_at(self) -> float:
        return self.heard_at + PATIENCE

    @property
    def is_heard(self) -> bool:
        """It is connected, and not silent for long."""
        now = asyncio.get_running_loop().time()
        return self.is_connected and now < self.patience_ends_at

    def start(self) -> None:
        self.heard_at = asyncio.get_running_loop().time()
        self._task = asyncio.get_running_loop().create_task(self._serve())

    def subscribe(self, channel: str) -> None:
        """From the next `on_subscribed` on, what is told there is told."""
        self._channels.add(channel)
        self._send(f"{self._verb}SUBSCRIBE", channel)

    def unsubscribe(self, channel: str) -> None:
        """Ends that, soon."""
        if channel in self._channels:
            self._channels.discard(channel)
            self._send(f"{self._verb}UNSUBSCRIBE", channel)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _send(self, *command: str) -> None:
        if self.is_connected:
            self._outgoing.append(command)
            self._has_outgoing.set()

    async def _serve(self) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                link = await self._dial()
            except UnusableError:
                pass
            else:
                pause = FIRST_PAUSE
                try:
                    await self._listen(link)
                finally:
                    self.is_connected = False
                    await link.close()
            self._on_trouble()
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _listen(self, link: Link) -> None:
        """Until the connection is lost."""
        self.is_connected = True
        if self._run != link.about.run:
            if self._run:
                self._on_run()
            self._run = link.about.run
        self.heard_at = asyncio.get_running_loop().time()
        self._outgoing = deque(_subscriptions(f"{self._verb}SUBSCRIBE", self._channels))
        self._has_outgoing.set()
        group = [asyncio.ensure_future(self._read(link)), asyncio.ensure_future(self._write(link))]
        try:
            await asyncio.wait(group, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in group:
                task.cancel()
            await asyncio.wait(group)
        for task in group:
            error = None if task.cancelled() else task.exception()
            if error is not None and not isinstance(error, exceptions.RedisError | OSError):
                log.error("what Redis tells was not understood", exc_info=error)

    async def _read(self, link: Link) -> None:
        loop = asyncio.get_running_loop()
        while True:
            reply = await link.receive()
            self.heard_at = loop.time()
            match reply:
                case [b"message" | b"smessage", channel, payload]:
                    self._on_message(channel.decode(), payload)
                case [b"subscribe" | b"ssubscribe", channel, _]:
                    self._on_subscribed(channel.decode())
                case [b"sunsubscribe", channel, _] if channel.decode() in self._channels:
                    return  # the slot has moved

    async def _write(self, link: Link) -> None:
        loop = asyncio.get_running_loop()
        pause = min(PING_INTERVAL, self._silence / 4)
        next_ping = loop.time() + pause
        while loop.time() < self.heard_at + self._silence:
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
                async with asyncio.timeout_at(min(next_ping, self.heard_at + self._silence)):
                    await self._has_outgoing.wait()
            except TimeoutError:
                await asyncio.sleep(0)  # what has come while the loop was busy is heard first


def _subscriptions(verb: str, channels: Iterable[str]) -> Iterable[Command]:
    """A sharded channel alone, since those of one command are of one slot."""
    ordered = sorted(channels)
    size = TOGETHER if verb == "SUBSCRIBE" else 1
    for first in range(0, len(ordered), size):
        yield (verb, *ordered[first : first + size])
