"""`chatify-stream rooms` with a server that sends control characters."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from chatify_stream.messages.chatify.rooms.v1 import (
    HistoryRequest,
    HistoryResponse,
    ListRoomsRequest,
    ListRoomsResponse,
    Message,
    Position,
    PresenceRequest,
    PresenceResponse,
    RoomInfo,
    RoomsBase,
)

from ...server.talking import serving
from .rooms_servers import on_terminal, rooms_soon

ORDERS = "\x1b]0;owned\x07\x9b2J\r\n\u202e"
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


class Hostile(RoomsBase):
    """A server whose every text orders terminals about."""

    async def list_rooms(self, message: ListRoomsRequest) -> ListRoomsResponse:
        room = RoomInfo(name=ORDERS, newest=Position(epoch=ORDERS, offset=1))
        return ListRoomsResponse(rooms=[room])

    async def history(self, message: HistoryRequest) -> HistoryResponse:
        first = Message(
            offset=1, user=ORDERS, text=ORDERS, id=ORDERS, sent_at_ms=int(NOON.timestamp() * 1000)
        )
        second = Message(offset=2, user="Ada", text="no such time", sent_at_ms=2**63 - 1)
        return HistoryResponse(
            messages=[second, first] if message.backwards else [first, second],
            newest=Position(epoch=ORDERS, offset=2),
            oldest_offset=1,
        )

    async def presence(self, message: PresenceRequest) -> PresenceResponse:
        return PresenceResponse(users=[ORDERS], count=1)


class TestHostileServer:
    @pytest.mark.parametrize(
        "args",
        [
            ["list"],
            ["list", "--json"],
            ["history", "a"],
            ["history", "a", "--json"],
            ["history", "a", "--backwards"],
            ["presence", "a"],
        ],
        ids=" ".join,
    )
    async def test_not_obeyed(self, args: list[str]) -> None:
        """Nothing that a server sends is obeyed by a terminal, nor breaks a line in two."""
        async with serving(services=[Hostile()]) as server:
            seen = await asyncio.to_thread(on_terminal, server, *args)
            done = await rooms_soon(server, *args)
        assert (done.status, done.stderr) == (0, "")
        for written in (seen, done.stdout):
            assert "owned" in written
            assert all(line.replace("\t", "").isprintable() for line in written.split("\n"))
        head = 0 if "--json" in args or "presence" in args else 1
        number = 2 if "history" in args else 1
        assert seen.count("\n") == number + head
        assert done.stdout.count("\n") == number

    async def test_times(self) -> None:
        """Times are local on a terminal and UTC elsewhere; an impossible time is a number."""
        async with serving(services=[Hostile()]) as server:
            seen = await asyncio.to_thread(on_terminal, server, "history", "a")
            done = await rooms_soon(server, "history", "a")
        _, first, second = seen.splitlines()
        assert "     1  2026-01-02 07:00:00  " in first
        assert "     2  9223372036854775807  " in second
        times = [line.split("\t")[1] for line in done.stdout.splitlines()]
        assert times == ["2026-01-02T12:00:00.000Z", "9223372036854775807"]
