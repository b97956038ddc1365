"""Helpers for the tests of reconnecting sessions."""

from __future__ import annotations

import pytest

from chatify_stream import (
    CancelledCallError,
    Channel,
)
from chatify_stream.client import (
    Event,
    Message,
    RoomClient,
)
from chatify_stream.client.event_queue import MAX_EVENTS

from .scripted_room import (
    QUICKLY,
    RoomCall,
    Script,
)

__all__ = ["FULL", "client", "events", "fails", "gone", "idle", "offsets", "publish"]

FULL = MAX_EVENTS - 1
"""Number of messages that fill the queue, after the event `Connected`."""


def client(target: str | Channel, **options: object) -> RoomClient:
    return RoomClient(target, **{"room": "lobby", "user": "ada", "backoff": QUICKLY, **options})


async def gone(call: RoomCall) -> None:
    """Wait until the client cancels the call."""
    with pytest.raises(CancelledCallError):
        await call.session.receive()


async def idle(call: RoomCall) -> None:
    """Let the client in, and wait for its half-close."""
    await call.greet()
    await call.half_closed()


def fails(error: Exception) -> Script:
    async def script(call: RoomCall) -> None:
        raise error

    return script


async def events(chat: RoomClient, count: int) -> list[Event | None]:
    return [await chat.receive() for _ in range(count)]


def offsets(received: list[Event | None]) -> list[int]:
    return [event.position.offset for event in received if isinstance(event, Message)]


async def publish(call: RoomCall, first: int, last: int) -> None:
    for offset in range(first, last + 1):
        await call.publish(offset)
