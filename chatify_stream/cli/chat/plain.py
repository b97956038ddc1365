"""Chat between pipes: send the lines of standard input, print messages as lines."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing

import click

from ...client import Connected, Event, Gap, Joined, Left, Message, Reconnecting, RoomClient
from ...errors import RefusedError, UsageError
from ..exit_codes import CALL_FAILED, CommandError
from ..output import safe, safe_field, safe_json
from ..stdin import stdin_lines
from .lines import gap_text
from .visit import Visit

MAX_UNACKNOWLEDGED = 256

log = logging.getLogger(__name__)


def tabbed_line(event: Event) -> str | None:
    """Return offset, time, user and text of a message as a line; None for other events."""
    if not isinstance(event, Message):
        return None
    time = event.sent_at.isoformat(timespec="milliseconds")
    fields = event.position.offset, time.replace("+00:00", "Z"), event.sender, event.text
    return "\t".join(safe_field(str(field)) for field in fields)


def json_line(event: Event) -> str:
    """Return any event as a line of JSON."""
    entry: dict[str, object] = {"event": type(event).__name__.lower()}
    match event:
        case Message():
            entry |= event.position._asdict()
            entry |= {"sent_at_ms": round(event.sent_at.timestamp() * 1000), "user": event.sender}
            entry |= {"text": event.text, "id": event.id}
        case Joined() | Left():
            entry["user"] = event.user
        case Connected():
            entry |= {**event.position._asdict(), "recovered": event.recovered}
        case Reconnecting():
            entry |= {"attempt": event.attempt, "delay": round(event.delay, 3)}
            entry["error"] = str(event.error)
        case Gap():
            entry |= {"expected": str(event.expected), "newest": str(event.newest)}
    return safe_json(entry)


async def chat_by_line(visit: Visit, line: Callable[[Event], str | None], *, listen: bool) -> None:
    """Chat until all of standard input is sent and printed; with `listen`, until the chat ends."""
    async with visit:
        printing = asyncio.create_task(_print_all(visit, line))
        sending = asyncio.create_task(_send_lines(visit.chat, listen))
        try:
            await asyncio.wait({printing, sending}, return_when=asyncio.FIRST_COMPLETED)
            if not printing.done():
                sending.result()
            await printing
            if not sending.done():
                raise CommandError(
                    "the server ended the chat before all messages were sent", CALL_FAILED
                )
            rejected = sending.result()
        finally:
            for task in (printing, sending):
                task.cancel()
            await asyncio.gather(printing, sending, return_exceptions=True)
    if rejected:
        count = "1 message was" if rejected == 1 else f"{rejected} messages were"
        raise CommandError(f"{count} rejected", CALL_FAILED)


async def _send_lines(chat: RoomClient, listen: bool) -> int:
    """Send all lines, wait for the answers, and return the number of rejected messages."""
    free_places = asyncio.Semaphore(MAX_UNACKNOWLEDGED)
    rejected = 0

    async def send(text: str, number: int) -> None:
        nonlocal rejected
        try:
            await chat.send(text)
        except RefusedError as error:
            rejected += 1
            log.error("standard input, line %d: rejected: %s", number, safe(error.reason))
        except UsageError as error:
            raise CommandError(f"standard input, line {number}: {error}") from error
        finally:
            free_places.release()

    try:
        async with asyncio.TaskGroup() as sending:
            number = 0
            async for text in stdin_lines():
                number += 1
                await free_places.acquire()
                sending.create_task(send(text, number))
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
    if not listen:
        await chat.half_close()
    return rejected


async def _print_all(visit: Visit, line: Callable[[Event], str | None]) -> None:
    async with aclosing(visit.batches()) as batches:
        async for batch in batches:
            lines = [text for event in batch if (text := line(event)) is not None]
            if lines:
                click.echo("\n".join(lines))  # also flushes
            visit.save_position(batch)
            for event in batch:
                if isinstance(event, Reconnecting):
                    log.info("reconnecting in %.1f s: %s", event.delay, safe(str(event.error)))
                elif isinstance(event, Gap):
                    log.warning("%s", gap_text(event))
