"""`chatify-stream rooms`: what operators do with the rooms of a server."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from ...rooms.position import MAX_OFFSET, Position
from ..exit_codes import CALL_FAILED, CommandError, reporting_errors
from ..logs.setup import configure_logging
from ..options import LOG, load_settings, settings_options
from ..output import Row, aligned, safe, safe_json, tab_separated
from ..rooms_api import RoomEntry, RoomsCalls, Said, calling_rooms, silence
from ..stdin import stdin_lines

__all__ = ["rooms"]

Run = Callable[[RoomsCalls], Awaitable[None]]

_OFFSET = re.compile(r"[0-9]{1,19}", re.ASCII)


def _read_after(_context: click.Context, _option: click.Parameter, text: str | None) -> Position:
    if text is None:
        return Position("", 0)
    try:
        return Position.parse(text) if "/" in text else Position("", _offset(text))
    except ValueError:
        raise CommandError(
            f"--after: {text!r} is not allowed: it has to be an offset, or EPOCH/OFFSET"
        ) from None


def _read_before(_context: click.Context, _option: click.Parameter, text: str | None) -> int:
    try:
        return 0 if text is None else _offset(text, least=1)
    except ValueError:
        raise CommandError(
            f"--before: {text!r} is not allowed: it has to be an offset, from 1"
        ) from None


def _offset(text: str, least: int = 0) -> int:
    if not _OFFSET.fullmatch(text) or not least <= int(text) <= MAX_OFFSET:
        raise ValueError
    return int(text)


_limit_option = click.option(
    "--limit", type=click.IntRange(min=1), help="At most so many; all when it is not given."
)
_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")


@click.group()
def rooms() -> None:
    """List, read and moderate the rooms of a server.

    The server has to serve them to operators: chatify-stream serve --rooms-service.

    Exit status: 0 it is done; 2 wrong flags, configuration or text; 3 the --timeout of a call
    passed; 4 the server cannot be reached, or the connection was lost; 5 the server answered with
    an error, or does not serve rooms to operators; 130 interrupted.
    """


@rooms.command("list")
@click.option("--prefix", default="", metavar="TEXT", help="Only rooms whose names begin so.")
@_limit_option
@_json_option
@settings_options("client", *LOG)
@reporting_errors
def list_rooms(
    prefix: str, limit: int | None, as_json: bool, config_file: Path | None, **flags: Any
) -> None:
    """Print the rooms that have messages or users.

    For each: its name, how many users are in it, and the offset of its newest message. Into a file
    or pipe they go with tabs between them.
    """

    async def run(calls: RoomsCalls) -> None:
        output = _Output(as_json, ("NAME", "USERS", "OFFSET"), _room_row)
        async for page in calls.rooms(prefix, limit):
            output.write(page)

    _run(config_file, flags, run)


@rooms.command()
@click.argument("room")
@_limit_option
@click.option(
    "--after",
    metavar="OFFSET|EPOCH/OFFSET",
    callback=_read_after,
    help="Only what follows this message; with EPOCH, all of it or an error.",
)
@click.option(
    "--before",
    metavar="OFFSET",
    callback=_read_before,
    help="Only what comes before this message; goes with --backwards.",
)
@click.option("--backwards", is_flag=True, help="The newest first.")
@_json_option
@settings_options("client", *LOG)
@reporting_errors
def history(
    room: str,
    limit: int | None,
    after: Position,
    before: int,
    backwards: bool,
    as_json: bool,
    config_file: Path | None,
    **flags: Any,
) -> None:
    """Print the messages that ROOM still has, the oldest first.

    For each: its offset, time, user and text. Into a file or pipe they go with tabs between them,
    the time in UTC, and what would break the line as \\t, \\n and so on.
    """
    if before and not backwards:
        raise CommandError("--before goes with --backwards; without that there is --after")
    if after != ("", 0) and backwards:
        raise CommandError("--after does not go with --backwards; with that there is --before")

    async def run(calls: RoomsCalls) -> None:
        output = _Output(as_json, ("OFFSET", "TIME", "USER", "TEXT"), _message_row)
        pages = calls.history(room, after, limit)
        if backwards:
            pages = calls.history_backwards(room, before, limit)
        async for page in pages:
            output.write(page)

    _run(config_file, flags, run)


@rooms.command()
@click.argument("room")
@click.option("--count", is_flag=True, help="Print only how many there are.")
@settings_options("client", *LOG)
@reporting_errors
def presence(room: str, count: bool, config_file: Path | None, **flags: Any) -> None:
    """Print the users who are in ROOM."""

    async def run(calls: RoomsCalls) -> None:
        if count:
            click.echo(await calls.user_count(room))
        else:
            for user in await calls.users(room):
                click.echo(safe(user))

    _run(config_file, flags, run)


@rooms.command()
@click.argument("room")
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@click.option("--user", required=True, metavar="NAME", help="Who says it.")
@click.option("--id", "message_id", default="", help="Publish the TEXT once under this id.")
@settings_options("client", *LOG)
@reporting_errors
def publish(
    room: str,
    texts: tuple[str, ...],
    user: str,
    message_id: str,
    config_file: Path | None,
    **flags: Any,
) -> None:
    """Publish each TEXT in ROOM, and print its position.

    Without TEXT, publishes the lines of standard input. Put -- before a TEXT that starts with a
    dash. What the user published in the room with the same --id, within five minutes, is not
    published again: "duplicate" stands behind its position.
    """
    if message_id and len(texts) != 1:
        raise CommandError("--id is for one TEXT: each message needs an id of its own")

    async def run(calls: RoomsCalls) -> None:
        async for text in _each(texts) if texts else stdin_lines():
            position, is_duplicate = await calls.publish(room, user, text, message_id)
            click.echo(safe(str(position)) + ("\tduplicate" if is_duplicate else ""))

    _run(config_file, flags, run)


@rooms.command()
@click.argument("user")
@click.option("--room", default="", help="Only the sessions in this room.")
@click.option("--reason", default="", metavar="TEXT", help="What the user is told.")
@click.option("--reconnect", is_flag=True, help="Tell the client that it may come back.")
@settings_options("client", *LOG)
@reporting_errors
def disconnect(
    user: str, room: str, reason: str, reconnect: bool, config_file: Path | None, **flags: Any
) -> None:
    """End the sessions of USER on all servers, and print how many there were.

    Exit status 5, too, when some server has not answered; those that have did it.
    """

    async def run(calls: RoomsCalls) -> None:
        number, silent = await calls.disconnect(user, room, reason, reconnect)
        click.echo(f"{number} session{'' if number == 1 else 's'} ended")
        if silent:
            raise CommandError(silence(silent), CALL_FAILED)

    _run(config_file, flags, run)


def _run(config_file: Path | None, flags: dict[str, Any], run: Run) -> None:
    settings = load_settings(config_file, flags).settings
    configure_logging(settings.log)

    async def connected() -> None:
        async with calling_rooms(settings.client) as calls:
            await run(calls)

    asyncio.run(connected())


async def _each(texts: Sequence[str]) -> AsyncIterator[str]:
    for text in texts:
        yield text


class _Output:
    """Prints entries page by page: a table on a terminal, else a line of fields or JSON each."""

    def __init__(self, as_json: bool, head: Sequence[str], row: Callable[[Any, bool], Row]) -> None:
        """`row` makes the row of an entry, for people (True) or programs."""
        self._as_json = as_json
        self._for_people = sys.stdout.isatty()
        self._head: Sequence[str] | None = head
        self._row = row

    def write(self, page: Sequence[RoomEntry] | Sequence[Said]) -> None:
        if self._as_json:
            lines = [safe_json(entry._asdict()) for entry in page]
        else:
            rows = [self._row(entry, self._for_people) for entry in page]
            lines = aligned(rows, self._head) if self._for_people else tab_separated(rows)
            self._head = None
        if lines:
            click.echo("\n".join(lines))


def _room_row(entry: RoomEntry, _for_people: bool) -> Row:
    return entry.name, entry.users, entry.offset


def _message_row(entry: Said, for_people: bool) -> Row:
    return entry.offset, _time(entry.sent_at_ms, for_people), entry.user, entry.text


def _time(ms: int, for_people: bool) -> str:
    try:
        time = datetime.fromtimestamp(ms / 1000, UTC)
        if for_people:
            return time.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):  # that is no time on this machine
        return str(ms)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
