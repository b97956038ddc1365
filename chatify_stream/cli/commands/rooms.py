"""`chatify-stream rooms`: list, read and moderate the rooms of a server."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from ...messages.chatify.rooms import v1
from ...rooms.position import MAX_OFFSET, Position
from ..exit_codes import CommandError
from ..output import Row, aligned, safe, safe_json, tab_separated
from ..rooms_api import MessageEntry, RoomEntry, RoomsClient, check_missing, with_rooms
from ..stdin import iterate, stdin_lines

_OFFSET = re.compile(r"[0-9]{1,19}", re.ASCII)


def _read_after(_context: click.Context, _option: click.Parameter, text: str | None) -> Position:
    if text is None:
        return Position("", 0)
    try:
        return Position.parse(text) if "/" in text else Position("", _offset(text))
    except ValueError:
        raise CommandError(
            f"--after: {text!r} is not allowed; use an offset, or EPOCH/OFFSET"
        ) from None


def _read_before(_context: click.Context, _option: click.Parameter, text: str | None) -> int:
    try:
        return 0 if text is None else _offset(text, minimum=1)
    except ValueError:
        raise CommandError(f"--before: {text!r} is not allowed; use an offset from 1") from None


def _offset(text: str, minimum: int = 0) -> int:
    if not _OFFSET.fullmatch(text) or not minimum <= int(text) <= MAX_OFFSET:
        raise ValueError
    return int(text)


_limit_option = click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="Maximum number of entries.  [default: all]",
)
_json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object per line."
)


@click.group()
def rooms() -> None:
    """List, read and moderate the rooms of a server.

    Requires a server started with --rooms-service.

    Exit status: 0 success; 2 wrong flags, configuration or text; 3 the --timeout of a call passed;
    4 the server cannot be reached, or the connection was lost; 5 the server answered with an error,
    or its Rooms service is not enabled; 130 interrupted.
    """


@rooms.command("list")
@click.option(
    "--prefix", default="", metavar="TEXT", help="Only rooms whose names start with TEXT."
)
@_limit_option
@_json_option
@with_rooms
async def list_rooms(calls: RoomsClient, prefix: str, limit: int | None, as_json: bool) -> None:
    """List the rooms that have messages or users.

    For each room: its name, the number of users in it, and the offset of its newest message. Output
    to a file or pipe is separated by tabs.
    """
    head = ("NAME", "USERS", "OFFSET")
    output = _Output(as_json, head, lambda room, _: (room.name, room.users, room.offset))
    async for page in calls.rooms(prefix, limit):
        output.write(page)


@rooms.command()
@click.argument("room")
@_limit_option
@click.option(
    "--after",
    metavar="OFFSET|EPOCH/OFFSET",
    callback=_read_after,
    help="Only messages after this one. With EPOCH, report an error if any of them is missing.",
)
@click.option(
    "--before",
    metavar="OFFSET",
    callback=_read_before,
    help="Only messages before this one. Requires --backwards.",
)
@click.option("--backwards", is_flag=True, help="Newest messages first.")
@_json_option
@with_rooms
async def history(
    calls: RoomsClient,
    room: str,
    limit: int | None,
    after: Position,
    before: int,
    backwards: bool,
    as_json: bool,
) -> None:
    """Print the stored messages of ROOM, oldest first.

    For each message: its offset, time, user and text. Output to a file or pipe is separated by
    tabs, with the time in UTC and tabs and line ends escaped as \\t, \\n and \\r.
    """
    if before and not backwards:
        raise CommandError("--before: requires --backwards; add it, or use --after")
    if after != ("", 0) and backwards:
        raise CommandError("--after: cannot be combined with --backwards; use --before")
    output = _Output(as_json, ("OFFSET", "TIME", "USER", "TEXT"), _message_row)
    pages = calls.history_after(room, after, limit)
    if backwards:
        pages = calls.history_before(room, before, limit)
    async for page in pages:
        output.write(page)


@rooms.command()
@click.argument("room")
@click.option("--count", is_flag=True, help="Print only the number of users.")
@with_rooms
async def presence(calls: RoomsClient, room: str, count: bool) -> None:
    """Print the users in ROOM."""
    answer = await calls.presence(v1.PresenceRequest(room=room, count_only=count))
    if count:
        click.echo(answer.count)
    else:
        for user in answer.users:
            click.echo(safe(user))


@rooms.command()
@click.argument("room")
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@click.option("--user", required=True, metavar="NAME", help="Sender of the message.")
@click.option(
    "--id",
    "message_id",
    default="",
    help="ID of the message, so that a repeated command publishes it once.",
)
@with_rooms
async def publish(
    calls: RoomsClient, room: str, texts: tuple[str, ...], user: str, message_id: str
) -> None:
    """Publish each TEXT in ROOM, and print its position.

    Without TEXT, publish the lines of standard input. Put -- before a TEXT that starts with a dash.
    If the user published a message with the same --id in the room within the last five minutes, the
    message is not published again: its position is printed, followed by "duplicate".
    """
    if message_id and len(texts) != 1:
        raise CommandError("--id: requires exactly one TEXT; each message needs its own ID")
    async for text in iterate(texts) if texts else stdin_lines():
        position, is_duplicate = await calls.publish_text(room, user, text, message_id)
        click.echo(safe(str(position)) + ("\tduplicate" if is_duplicate else ""))


@rooms.command()
@click.argument("user")
@click.option("--room", default="", help="Only the sessions in this room.")
@click.option("--reason", default="", metavar="TEXT", help="Reason sent to the user.")
@click.option("--reconnect", is_flag=True, help="Allow the client to reconnect.")
@with_rooms
async def disconnect(
    calls: RoomsClient, user: str, room: str, reason: str, reconnect: bool
) -> None:
    """End the sessions of USER on all servers.

    Prints the number of sessions. The exit status is also 5 if a server did not answer; the other
    servers ended the sessions.
    """
    request = v1.DisconnectRequest(user=user, room=room, reason=reason, reconnect=reconnect)
    answer = await calls.disconnect(request)
    click.echo(f"{answer.sessions} session{'' if answer.sessions == 1 else 's'} ended")
    check_missing(answer.silent)


class _Output:
    """Print entries page by page: a table on a terminal, else lines of fields or JSON."""

    def __init__(self, as_json: bool, head: Sequence[str], row: Callable[[Any, bool], Row]) -> None:
        """`row` returns the row of an entry, for people if its second argument is true."""
        self._as_json = as_json
        self._for_people = sys.stdout.isatty()
        self._head: Sequence[str] | None = head
        self._row = row

    def write(self, page: Sequence[RoomEntry] | Sequence[MessageEntry]) -> None:
        if self._as_json:
            lines = [safe_json(entry._asdict()) for entry in page]
        else:
            rows = [self._row(entry, self._for_people) for entry in page]
            lines = aligned(rows, self._head) if self._for_people else tab_separated(rows)
            self._head = None
        if lines:
            click.echo("\n".join(lines))


def _message_row(entry: MessageEntry, for_people: bool) -> Row:
    return entry.offset, _time(entry.sent_at_ms, for_people), entry.user, entry.text


def _time(ms: int, for_people: bool) -> str:
    try:
        time = datetime.fromtimestamp(ms / 1000, UTC)
        if for_people:
            return time.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):  # outside the range of times of this machine
        return str(ms)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
