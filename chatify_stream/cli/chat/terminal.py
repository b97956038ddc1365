"""Chat in a terminal: commands and messages from the user, and events of the room.

Each operation that waits runs in a task. A failed command prints an error; any other failure ends
the chat. A message of the user is pending until the room delivers it back; then it is shown like
any other message.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import aclosing, suppress
from datetime import date, datetime
from typing import Any

from ...client import Connected, Event, Joined, Left, Message, Reconnecting
from ...errors import CallError, ChatifyError, ClosedError, RefusedError, UsageError
from ...rooms.position import Position
from ..exit_codes import UNAVAILABLE, CommandError
from ..serving.signals import on_signal
from .lines import Line, Lines, notice, problem
from .screen import Screen
from .typed import COMMANDS, parse
from .visit import Visit

PENDING_TIMEOUT = 5.0
"""Seconds to wait for pending messages when the user leaves a room."""

MAX_REMINDER = 200
"""Characters shown of a text that was not sent. The input history contains the whole text."""

HINTS = (
    "Tab completes commands and names; Alt-Enter adds a line to the message.",
    "To send a message that starts with a slash, type two slashes.",
)


class TerminalChat:
    """The chat of one user, in one room at a time."""

    def __init__(self, visit: Callable[[str], Visit]) -> None:
        """`visit` returns a new visit to a room."""
        self._new_visit = visit
        self._screen = Screen(self._entered, self._leave, self._words)
        self._lines = Lines(date.today())
        self._visit: Visit
        self._following: asyncio.Task[None]
        self._switching = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._error: BaseException | None = None
        self._pending: dict[str, str] = {}
        """Texts by message ID."""
        self._none_pending = asyncio.Event()
        self._users: set[str] = set()
        self._lost: Reconnecting | None = None
        self._next_room = ""
        self._is_leaving = False
        self.was_terminated = False

    async def run(self, room: str) -> None:
        """Chat until the user leaves. Raises the error that prevented or ended the chat."""
        visit = self._new_visit(room)
        await visit.__aenter__()
        self._follow(visit)
        with on_signal("SIGTERM", self._terminate):
            try:
                with suppress(EOFError):  # the terminal is closed
                    await self._screen.run()
            finally:
                await self._end_tasks()
        await self._show_pending()
        if self._error is not None:
            raise self._error
        if self._pending:
            raise CommandError(
                "the chat ended before the server received all messages", UNAVAILABLE
            )

    def _terminate(self) -> None:
        self.was_terminated = True
        self._leave()

    # Input of the user.

    def _entered(self, text: str) -> None:
        kind, text, count = parse(text)
        match kind:
            case "say":
                self._start(self._say(text))
            case "who":
                self._start(self._who())
            case "history":
                self._start(self._show_history(count))
            case "room":
                self._start(self._switch(text))
            case "help":
                self._start(self._screen.show(_help()))
            case "quit":
                self._leave()
            case "mistake":
                self._start(self._screen.show([problem(text)]))

    def _words(self) -> Iterable[str]:
        return [*(usage.split()[0] for usage in COMMANDS), *sorted(self._users)]

    async def _say(self, text: str) -> None:
        async with self._switching:  # so that the message goes to the room that the user sees
            chat = self._visit.chat
        message_id = uuid.uuid4().hex
        self._pending[message_id] = text
        self._refresh()
        try:
            await chat.send(text, id=message_id)
        except (CallError, ClosedError):
            pass  # also ends the chat, which reports it
        except (RefusedError, UsageError) as error:
            del self._pending[message_id]
            self._refresh()
            shown = text if len(text) <= MAX_REMINDER else f"{text[:MAX_REMINDER]}…"
            await self._screen.show([problem(f"not sent: {error}"), notice(shown)])

    async def _who(self) -> None:
        try:
            users = await self._visit.chat.users()
        except CallError as error:
            await self._screen.show([problem(f"cannot list the users: {error}")])
        else:
            self._users = set(users)
            self._refresh()
            await self._screen.show([notice(f"{len(users)} here: {', '.join(users)}")])

    async def _show_history(self, count: int) -> None:
        try:
            messages = await self._visit.chat.history(count)
        except CallError as error:
            await self._screen.show([problem(f"cannot read the history: {error}")])
        else:
            lines = Lines(date.today()).of(messages, datetime.now())
            head = notice(f"── newest {len(messages)} ──")
            await self._screen.show([head, *lines, notice("── now ──")])

    async def _switch(self, room: str) -> None:
        async with self._switching:
            self._next_room = room
            self._refresh()
            try:
                visit = self._new_visit(room)
                await visit.__aenter__()
            except ChatifyError as error:
                await self._screen.show([problem(f"cannot enter {room}: {error}")])
            else:
                await self._move_to(visit)
            finally:
                self._next_room = ""
                self._refresh()

    async def _move_to(self, visit: Visit) -> None:
        try:
            await self._wait_for_pending()
            await self._show_pending()
            self._following.cancel()
            await asyncio.wait({self._following})
        except BaseException:
            await visit.close()
            raise
        self._pending.clear()
        self._follow(visit)

    def _leave(self) -> None:
        if self._is_leaving or not (self._pending or self._switching.locked()):
            self._screen.leave()
        else:
            self._is_leaving = True
            self._refresh()
            self._start(self._leave_after_pending())

    async def _leave_after_pending(self) -> None:
        async with self._switching:
            await self._wait_for_pending()
        self._screen.leave()

    # Events of the room.

    def _follow(self, visit: Visit) -> None:
        self._visit = visit
        self._users = set()
        self._lost = None
        self._following = self._start(self._show_all(visit))

    async def _show_all(self, visit: Visit) -> None:
        try:
            where = f"in {visit.chat.room} as {visit.chat.user}; /help lists the commands"
            await self._screen.show([notice(where)])
            resumed = visit.resumed
            async with aclosing(visit.batches()) as batches:
                async for batch in batches:
                    missed = _missed(resumed, batch[0])
                    resumed = None
                    if lines := [*missed, *self._lines.of(batch, datetime.now())]:
                        await self._screen.show(lines)
                    visit.save_position(batch)
                    self._note(batch)
            self._screen.leave()
        finally:
            await visit.close()

    def _note(self, batch: Sequence[Event]) -> None:
        """Update the state that the status line shows."""
        for event in batch:
            match event:
                case Message():
                    self._pending.pop(event.id, None)
                case Joined():
                    self._users.add(event.user)
                case Left():
                    self._users.discard(event.user)
                case Reconnecting():
                    self._lost = event
                case Connected():
                    self._lost = None
                    self._start(self._count_users())
        self._refresh()

    async def _count_users(self) -> None:
        visit = self._visit
        with suppress(CallError, ClosedError):  # the number of users stays unknown
            users = await visit.chat.users()
            if visit is self._visit:
                self._users = set(users)
                self._refresh()

    # Tasks and status.

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._error = self._error or error
            self._screen.leave()

    async def _end_tasks(self) -> None:
        while tasks := list(self._tasks):
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _wait_for_pending(self) -> None:
        """Wait until no message is pending, up to the timeout."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PENDING_TIMEOUT):
                await self._none_pending.wait()

    async def _show_pending(self) -> None:
        for text in self._pending.values():
            await self._screen.show([problem("possibly not sent:"), notice(text)])

    def _refresh(self) -> None:
        if self._pending:
            self._none_pending.clear()
        else:
            self._none_pending.set()
        self._screen.show_state(list(self._pending.values()), self._status())

    def _status(self) -> str:
        room = self._visit.chat.room
        if self._is_leaving:
            return f"{room} · leaving after all messages are sent; Ctrl-C leaves now"
        if self._next_room:
            return f"{room} · entering {self._next_room}"
        if self._lost is not None:
            error = self._lost.error
            reason = error.message if isinstance(error, CallError) else None
            return f"{room} · reconnecting: {reason or error}"
        return f"{room} · {len(self._users)} here" if self._users else room


def _help() -> list[Line]:
    width = max(map(len, COMMANDS)) + 2
    commands = [notice(f"{usage:{width}}{meaning}") for usage, meaning in COMMANDS.items()]
    return [*commands, *map(notice, HINTS)]


def _missed(resumed: Position | None, first: Event) -> Iterator[Line]:
    """Yield a notice with the number of messages since the last visit."""
    if resumed is not None and isinstance(first, Connected) and first.recovered:
        count = first.position.offset - resumed.offset
        messages = f"{count or 'no'} new message{'' if count == 1 else 's'}"
        yield notice(f"{messages} since your last visit")
