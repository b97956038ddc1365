"""Clients that talk in a room whatever happens to its server, and record what they see."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

from chatify_stream import ChatClient, Gap, Message

from .checker import Delivery, Record

__all__ = ["END", "Talker"]

END = "the end"
"""The last message of each room."""

AT_ONCE = 8
"""Messages that a client sends before the first of them is acknowledged."""


class Talker:
    """One client: sends its share of messages, and takes what its room says."""

    def __init__(
        self, target: str, record: Record, messages: int, seed: int, on_ack: Callable[[], None]
    ) -> None:
        self._target = target
        self._chance = Random(seed)
        self._messages = messages
        self._on_ack = on_ack
        self.record = record

    async def run(self) -> None:
        """Talks, and listens until it has the last message of its room."""
        record = self.record
        async with ChatClient(self._target, room=record.room, user=record.user) as chat:
            sending = asyncio.create_task(self._send_all(chat))
            try:
                async for event in chat:
                    if isinstance(event, Message):
                        epoch, offset = event.position
                        delivery = Delivery(epoch, offset, event.sender, event.id, event.text)
                        record.delivered.append(delivery)
                        if event.text == END:
                            break
                    elif isinstance(event, Gap):
                        record.gaps.append(str(event))
            finally:
                sending.cancel()
                await asyncio.wait([sending])
            if not sending.cancelled():
                sending.result()

    async def _send_all(self, chat: ChatClient) -> None:
        numbers = iter(range(self._messages))

        async def send_some() -> None:
            for number in numbers:
                text = f"{self.record.user} says {number} " + "x" * self._chance.randrange(100)
                message_id = f"{self.record.user}-{number}"
                position = await chat.send(text, id=message_id)
                self.record.acknowledged[message_id] = (text, *position)
                self._on_ack()

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(send_some())
