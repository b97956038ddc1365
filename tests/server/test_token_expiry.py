"""Tokens that expire under members who send."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from chatify_stream import (
    Channel,
    ChatServer,
    Connected,
    Gap,
    JwtAuthenticator,
    Message,
    Reconnecting,
    RoomClient,
)

from ..auth.tokens import secret_path, signed
from .rooms.membership import channel_to, node_of

MEMBERS = 200
ROOMS = 40
LASTS = 2.0
"""Seconds that the first token of each member is valid."""
PATIENCE = 60


class Member:
    """Sends until its first token has expired and it has reconnected, and reads its room."""

    def __init__(self, channel: Channel, number: int) -> None:
        self.room = f"room {number % ROOMS}"
        self.user = f"user {number}"
        self.tokens = 0
        self.sent: list[str] = []
        self.heard: list[tuple[int, str]] = []
        self.errors: list[str] = []
        self.is_back = asyncio.Event()
        self.has_sent = asyncio.Event()
        self.has_all = asyncio.Event()
        self.newest: int | None = None
        self.chat = RoomClient(
            channel,
            room=self.room,
            token=self.token,
            history=100_000,
            connect_timeout=PATIENCE,
            close_timeout=PATIENCE,
        )

    def token(self) -> str:
        self.tokens += 1
        lasts = LASTS if self.tokens == 1 else 3600
        return signed({"sub": self.user, "exp": time.time() + lasts})

    async def send(self) -> None:
        while not self.is_back.is_set():
            await self._send_one()
        await self._send_one()
        self.has_sent.set()

    async def _send_one(self) -> None:
        text = f"{self.user}: {len(self.sent)}"
        await self.chat.send(text)
        self.sent.append(text)

    async def read(self) -> None:
        async for event in self.chat:
            match event:
                case Message():
                    self.heard.append((event.position.offset, event.text))
                case Gap():
                    self.errors.append(f"gap: {event}")
                case Connected() if self.tokens > 1:
                    self.is_back.set()
                case Reconnecting():
                    self.errors.append(str(event.error))
            if self.newest is not None and self.heard and self.heard[-1][0] >= self.newest:
                break


async def test_nothing_is_lost(tmp_path: Path) -> None:
    """200 members send while their tokens expire; all reconnect, and no message is lost."""
    auth = JwtAuthenticator(secret_file=secret_path(tmp_path), leeway=0)
    async with ChatServer(auth=auth) as server:
        await server.start("127.0.0.1", 0)
        async with channel_to(server) as channel, asyncio.timeout(PATIENCE):
            members = [Member(channel, number) for number in range(MEMBERS)]
            await asyncio.gather(*(each.chat.__aenter__() for each in members))
            reading = [asyncio.create_task(each.read()) for each in members]
            await asyncio.gather(*(each.send() for each in members))
            for each in members:
                each.newest = (await server.rooms.history(each.room)).newest.offset
            for room in range(ROOMS):  # who has all already needs one more to see that
                await server.rooms.publish(f"room {room}", "the test", "the end")
            await asyncio.gather(*reading)
            await asyncio.gather(*(each.chat.cancel() for each in members))
        ended = node_of(server).sessions_ended
    assert ended["expired"] > 0, ended
    assert all(each.tokens > 1 for each in members)
    assert {error for each in members for error in each.errors} <= {
        "UNAUTHENTICATED: the token or client certificate has expired; reconnect with a new one",
        "UNAUTHENTICATED: token rejected: expired; request a new token",
    }
    for each in members:
        offsets = [offset for offset, _ in each.heard]
        assert offsets == list(range(1, offsets[-1] + 1))
        said = {text for other in members if other.room == each.room for text in other.sent}
        assert said <= {text for _, text in each.heard}
        assert len({text for _, text in each.heard}) == len(offsets)
