"""A chat in a terminal: what the user enters, and what happens in the room.

Rules: what takes time is a task. A command that fails says so; whatever else fails ends the chat. A
message of one's own is pending until the room has it, and is then shown like any other.
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
from ..serving.signals import on_termination
from .lines import Line, Lines, notice, problem
from .screen import Screen
from .typed import COMMANDS, Help, History, Mistake, Quit, Say, SwitchRoom, Who, parse
from .visit import Visit

__all__ = ["TerminalChat"]

SETTLING_TIMEOUT = 5.0
"""Seconds that leaving a room waits for what is pending."""

FEW = 20

LONGEST_REMINDER = 200
"""Characters of a text that was not sent. All of it is in the history of the line to type on."""

HINTS = (
    "Tab completes commands and names; Alt-Enter begins another line of the same message.",
    "A message that begins with a slash is entered with two.",
)


class TerminalChat:
    """One user, in one room after the other."""

    def __init__(self, visit: Callable[[str], Visit]) -> None:
        """`visit` makes the visit of a room."""
        self._make_visit = visit
        self._screen = Screen(self._entered, self._leave, self._words)
        self._lines = Lines(date.today())
        self._visit: Visit
        self._following: asyncio.Task[None]
        self._switching = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._error: BaseException | None = None
        self._pending: dict[str, str] = {}
        """The texts, by their ids."""
        self._settled = asyncio.Event()
        self._users: set[str] = set()
        self._lost: Reconnecting | None = None
        self._next_room = ""
        self._is_leaving = False
        self.was_terminated = False

    async def run(self, room: str) -> None:
        """Until the user leaves. Raises what keeps them out, or what has ended the chat."""
        visit = self._make_visit(room)
        await visit.__aenter__()
        self._follow(visit)
        with on_termination(self._terminate):
            try:
                with suppress(EOFError):  # the terminal is gone
                    await self._screen.run()
            finally:
                await self._end_tasks()
        await self._tell_unsettled()
        if self._error is not None:
            raise self._error
        if self._pending:
            raise CommandError("the chat has ended before the server had all", UNAVAILABLE)

    def _terminate(self) -> None:
        self.was_terminated = True
        self._leave()

    # What the user does.

    def _entered(self, text: str) -> None:
        match parse(text):
            case Say(text):
                self._start(self._say(text))
            case Who():
                self._start(self._who())
            case History(count):
                self._start(self._show_history(count or FEW))
            case SwitchRoom(room):
                self._start(self._switch(room))
            case Help():
                self._start(self._screen.show(_help()))
            case Quit():
                self._leave()
            case Mistake(text):
                self._start(self._screen.show([problem(text)]))

    def _words(self) -> Iterable[str]:
        return [*(usage.split()[0] for usage in COMMANDS), *sorted(self._users)]

    async def _say(self, text: str) -> None:
        async with self._switching:  # the room that it is meant for
            chat = self._visit.chat
        message_id = uuid.uuid4().hex
        self._pending[message_id] = text
        self._refresh()
        try:
            await chat.send(text, id=message_id)
        except (CallError, ClosedError):
            pass  # which ends the chat, where it is told
        except (RefusedError, UsageError) as error:
            del self._pending[message_id]
            self._refresh()
            await self._screen.show([problem(f"not sent: {error}"), notice(_beginning(text))])

    async def _who(self) -> None:
        try:
            users = await self._visit.chat.users()
        except CallError as error:
            await self._screen.show([problem(f"cannot say who is here: {error}")])
        else:
            self._users = set(users)
            self._refresh()
            await self._screen.show([notice(f"{len(users)} here: {', '.join(users)}")])

    async def _show_history(self, count: int) -> None:
        try:
            messages = await self._visit.chat.history(count)
        except CallError as error:
            await self._screen.show([problem(f"cannot get the newest messages: {error}")])
        else:
            lines = Lines(date.today()).of(messages, datetime.now())
            head = notice(f"── the newest {len(messages)} ──")
            await self._screen.show([head, *lines, notice("── now ──")])

    async def _switch(self, room: str) -> None:
        async with self._switching:
            self._next_room = room
            self._refresh()
            try:
                visit = self._make_visit(room)
                await visit.__aenter__()
            except ChatifyError as error:
                await self._screen.show([problem(f"cannot go to {room}: {error}")])
            else:
                await self._move_to(visit)
            finally:
                self._next_room = ""
                self._refresh()

    async def _move_to(self, visit: Visit) -> None:
        try:
            await self._settle()
            await self._tell_unsettled()
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
            self._start(self._leave_settled())

    async def _leave_settled(self) -> None:
        async with self._switching:
            await self._settle()
        self._screen.leave()

    # What happens in the room.

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
                    news = _news(resumed, batch[0])
                    resumed = None
                    if lines := [*news, *self._lines.of(batch, datetime.now())]:
                        await self._screen.show(lines)
                    visit.remember(batch)
                    self._note(batch)
            self._screen.leave()
        finally:
            await visit.close()

    def _note(self, batch: Sequence[Event]) -> None:
        """Takes to heart what is not shown as a line."""
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
        with suppress(CallError, ClosedError):  # then it is not known
            users = await visit.chat.users()
            if visit is self._visit:
                self._users = set(users)
                self._refresh()

    # What they have in common.

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

    async def _settle(self) -> None:
        """Waits for what is pending to be shown, for a time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLING_TIMEOUT):
                await self._settled.wait()

    async def _tell_unsettled(self) -> None:
        for text in self._pending.values():
            await self._screen.show([problem("perhaps not sent:"), notice(text)])

    def _refresh(self) -> None:
        if self._pending:
            self._settled.clear()
        else:
            self._settled.set()
        self._screen.show_state(list(self._pending.values()), self._status())

    def _status(self) -> str:
        room = self._visit.chat.room
        if self._is_leaving:
            return f"{room} · leaving when all is sent; Ctrl-C leaves now"
        if self._next_room:
            return f"{room} · going to {self._next_room}"
        if self._lost is not None:
            error = self._lost.error
            reason = error.message if isinstance(error, CallError) else None
            return f"{room} · reconnecting: {reason or error}"
        return f"{room} · {len(self._users)} here" if self._users else room


def _beginning(text: str) -> str:
    return text if len(text) <= LONGEST_REMINDER else f"{text[:LONGEST_REMINDER]}…"


def _help() -> list[Line]:
    width = max(map(len, COMMANDS)) + 2
    commands = [notice(f"{usage:{width}}{meaning}") for usage, meaning in COMMANDS.items()]
    return [*commands, *map(notice, HINTS)]


def _news(resumed: Position | None, first: Event) -> Iterator[Line]:
    """How much there is that the user has not seen, where a later visit begins."""
    if resumed is not None and isinstance(first, Connected) and first.recovered:
        yield notice(f"{_messages(first.position.offset - resumed.offset)} since your last visit")


def _messages(count: int) -> str:
    return {0: "no new messages", 1: "1 new message"}.get(count, f"{count} new messages")
