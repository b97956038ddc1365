"""Clients that talk in a room whatever happens to its servers, and record what they see."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import NamedTuple

from chatify_stream import (
    CallError,
    ChatifyError,
    Connected,
    Gap,
    Message,
    Reconnecting,
    RoomClient,
)

from .checker import Break, Delivery, Record

__all__ = ["END", "Absence", "Talker"]

END = "the end"
"""The last message of each room."""

AT_ONCE = 8
"""Messages that a client sends before the first of them is acknowledged."""


class Absence(NamedTuple):
    """Between two sessions of a client."""

    began: float
    """By the monotonic clock."""
    ended: float
    was_told: bool
    """The server has ended the session, and said so; otherwise it was cut off."""


class Talker:
    """One client: sends its share of messages, and takes what its room says."""

    def __init__(
        self,
        target: str,
        record: Record,
        messages: int,
        seed: int,
        on_progress: Callable[[], None],
        seconds: float = 0.0,
    ) -> None:
        """The messages are spread over so many `seconds`. `on_progress` is called when a message
        was acknowledged or refused, and when the client has come in."""
        self._target = target
        self._chance = Random(seed)
        self._messages = messages
        self._pause = seconds * AT_ONCE / max(messages, 1)
        self._on_progress = on_progress
        self._quiet = asyncio.Event()
        self._sending: asyncio.Task[None] | None = None
        self.record = record
        self.absences: list[Absence] = []

    @property
    def is_in(self) -> bool:
        return self._sending is not None

    @property
    def has_said_all(self) -> bool:
        return self._sending is not None and self._sending.done()

    def be_quiet(self) -> None:
        """Begins no further message."""
        self._quiet.set()

    async def run(self) -> None:
        """Talks, and listens until it has the last message of its room."""
        record = self.record
        async with RoomClient(
            self._target, room=record.room, user=record.user, wait_for_ready=True
        ) as chat:
            sending = self._sending = asyncio.create_task(self._send_all(chat))
            sending.add_done_callback(lambda _: self._on_progress())
            self._on_progress()
            try:
                await self._listen(chat)
            finally:
                sending.cancel()
                await asyncio.wait([sending])
            if not sending.cancelled():
                sending.result()

    async def _listen(self, chat: RoomClient) -> None:
        record = self.record
        lost: tuple[float, bool] | None = None
        async for event in chat:
            match event:
                case Message():
                    epoch, offset = event.position
                    delivery = Delivery(epoch, offset, event.sender, event.id, event.text)
                    record.delivered.append(delivery)
                    if event.text == END:
                        break
                case Gap():
                    expected, newest = tuple(event.expected), tuple(event.newest)
                    record.breaks.append(Break(len(record.delivered), expected, newest))
                    self._on_progress()
                case Reconnecting() if lost is None:
                    error = event.error
                    was_told = isinstance(error, CallError) and "chat-reconnect" in error.metadata
                    lost = time.monotonic(), was_told
                case Connected() if lost is not None:
                    began, was_told = lost
                    self.absences.append(Absence(began, time.monotonic(), was_told))
                    lost = None

    async def _send_all(self, chat: RoomClient) -> None:
        numbers = iter(range(self._messages))

        async def send_some() -> None:
            pause = (
                self._pause * self._chance.random()
            )  # at first, so that they do not speak at once
            for number in numbers:
                if pause and await self._is_quiet_within(pause):
                    return
                pause = self._pause * self._chance.uniform(0.5, 1.5)
                text = f"{self.record.user} says {number} " + "x" * self._chance.randrange(100)
                message_id = f"{self.record.user}-{number}"
                try:
                    position = await chat.send(text, id=message_id)
                except ChatifyError as error:
                    self.record.failed.append(f"{message_id}: {error}")
                else:
                    self.record.acknowledged[message_id] = (text, *position)
                self._on_progress()

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(send_some())

    async def _is_quiet_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._quiet.wait()
        return self._quiet.is_set()
