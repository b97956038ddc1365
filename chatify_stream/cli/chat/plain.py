"""A chat between pipes: lines of standard input are messages, messages are lines of output."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import aclosing

import click

from ...client import Connected, Event, Gap, Joined, Left, Message, Reconnecting, RoomClient
from ...errors import RefusedError, UsageError
from ..exit_codes import CALL_FAILED, CommandError
from ..output import safe, safe_field, safe_json
from ..stdin import stdin_lines
from .lines import gap_text
from .visit import Visit

__all__ = ["chat_by_line", "json_line", "tabbed_line"]

MOST_UNACKNOWLEDGED = 256

log = logging.getLogger(__name__)


def tabbed_line(event: Event) -> str | None:
    """Offset, time, user and text of a message; None for what is no message."""
    if not isinstance(event, Message):
        return None
    time = event.sent_at.isoformat(timespec="milliseconds")
    fields = event.position.offset, time.replace("+00:00", "Z"), event.sender, event.text
    return "\t".join(safe_field(str(field)) for field in fields)


def json_line(event: Event) -> str:
    """Any event, as JSON."""
    return safe_json(dict(_entry(event)))


def _entry(event: Event) -> Iterator[tuple[str, object]]:
    yield "event", type(event).__name__.lower()
    match event:
        case Message():
            yield "epoch", event.position.epoch
            yield "offset", event.position.offset
            yield "sent_at_ms", round(event.sent_at.timestamp() * 1000)
            yield "user", event.sender
            yield "text", event.text
            yield "id", event.id
        case Joined() | Left():
            yield "user", event.user
        case Connected():
            yield "epoch", event.position.epoch
            yield "offset", event.position.offset
            yield "recovered", event.recovered
        case Reconnecting():
            yield "attempt", event.attempt
            yield "delay", round(event.delay, 3)
            yield "error", str(event.error)
        case Gap():
            yield "expected", str(event.expected)
            yield "newest", str(event.newest)


async def chat_by_line(visit: Visit, line: Callable[[Event], str | None], *, listens: bool) -> None:
    """Until all of standard input is sent and is back, or with `listens` until the chat ends."""
    async with visit:
        printing = asyncio.create_task(_print_all(visit, line))
        sending = asyncio.create_task(_send_lines(visit.chat, listens))
        try:
            await asyncio.wait({printing, sending}, return_when=asyncio.FIRST_COMPLETED)
            if not printing.done():
                sending.result()
            await printing
            if not sending.done():
                raise CommandError("the server ended the chat before all was sent", CALL_FAILED)
            refused = sending.result()
        finally:
            for task in (printing, sending):
                task.cancel()
            await asyncio.gather(printing, sending, return_exceptions=True)
    if refused:
        what = "1 message was" if refused == 1 else f"{refused} messages were"
        raise CommandError(f"{what} refused", CALL_FAILED)


async def _send_lines(chat: RoomClient, listens: bool) -> int:
    """Sends them, and returns how many were refused once all are answered."""
    places = asyncio.Semaphore(MOST_UNACKNOWLEDGED)
    refused = 0

    async def send(text: str, number: int) -> None:
        nonlocal refused
        try:
            await chat.send(text)
        except RefusedError as error:
            refused += 1
            log.error("line %d of standard input is refused: %s", number, safe(error.reason))
        except UsageError as error:
            raise CommandError(f"line {number} of standard input: {error}") from error
        finally:
            places.release()

    try:
        async with asyncio.TaskGroup() as sending:
            number = 0
            async for text in stdin_lines():
                number += 1
                await places.acquire()
                sending.create_task(send(text, number))
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
    if not listens:
        await chat.half_close()
    return refused


async def _print_all(visit: Visit, line: Callable[[Event], str | None]) -> None:
    async with aclosing(visit.batches()) as batches:
        async for batch in batches:
            lines = [text for event in batch if (text := line(event)) is not None]
            if lines:
                click.echo("\n".join(lines))  # which flushes
            visit.remember(batch)
            for event in batch:
                _log(event)


def _log(event: Event) -> None:
    match event:
        case Reconnecting():
            log.info("reconnecting in %.1f s: %s", event.delay, safe(str(event.error)))
        case Gap():
            log.warning("%s", gap_text(event))
