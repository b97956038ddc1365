"""The handler of a `reply` function: each request is answered by one reply, in order.

Rules: no reply waits for a later one to be made. Requests that come while the handler waits are
answered within the read that brought them, as long as `reply` returns texts and the client takes
them; the handler goes on where that stopped: at a reply that has to be awaited, one that failed,
or a client that does not read. `reply` is called once for each request.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from contextvars import copy_context

from ..codec import frame_text
from ..errors import UsageError
from .session import Session

__all__ = ["Reply", "replying"]

Reply = Callable[[str], str | Awaitable[str]]
"""Makes the reply to one message. A plain function must not block: it runs in the event loop."""


def replying(reply: Reply, *, in_context: bool = False) -> Callable[[Session], Awaitable[None]]:
    """The handler that answers each request with what `reply` makes of it, in order.

    `in_context`: `reply` is called in the context of the session's task, also for what comes while
    the handler waits. That costs a little.
    """

    async def handler(session: Session) -> None:
        await _Replier(session, reply).serve(in_context)

    return handler


class _Replier:
    """Answers the requests of one session."""

    def __init__(self, session: Session, reply: Reply) -> None:
        self._session = session
        self._reply = reply
        self._names: Sequence[str] = ()
        self._next = 0
        """Which of the names is not answered yet."""
        self._replies: list[bytes] = []
        """Those that are made, and not sent."""
        self._made: object = None
        """What `reply` made of the next name, when that is no text."""
        self._error: BaseException | None = None

    async def serve(self, in_context: bool) -> None:
        at_once = self._answer_at_once
        if in_context:
            context = copy_context()

            def at_once(names: list[str]) -> bool:
                return context.run(self._answer_at_once, names)

        while names := await self._session.receive_names(at_once):
            if names is not self._names:
                self._answer(names)
            await self._go_on()

    def _answer_at_once(self, names: list[str]) -> bool:
        self._answer(names)
        if self._next < len(names):
            return False
        is_sent = self._session.send_framed_in_turn(b"".join(self._replies), len(names))
        if is_sent:
            self._replies.clear()
        return is_sent

    def _answer(self, names: Sequence[str]) -> None:
        """Makes the replies to these, up to one that has to be awaited or that fails."""
        self._names, self._next, self._made, self._error = names, 0, None, None
        self._make_replies()

    def _make_replies(self) -> None:
        reply, replies = self._reply, self._replies
        try:
            for name in self._names[self._next :]:
                text = reply(name)
                if not isinstance(text, str):
                    self._made = text
                    return
                replies.append(frame_text(text))
                self._next += 1
        except BaseException as error:  # SystemExit, too, ends this session alone
            self._error = error

    async def _go_on(self) -> None:
        """Sends the replies that are made, and makes those that are not."""
        while True:
            if self._replies:
                await self._session.send_framed(b"".join(self._replies), len(self._replies))
                self._replies.clear()
            if self._error is not None:
                raise self._error
            if self._next == len(self._names):
                return
            self._replies.append(frame_text(await _text(self._made)))
            self._next += 1
            self._make_replies()


async def _text(made: object) -> str:
    if inspect.isawaitable(made):
        made = await made
    if not isinstance(made, str):
        raise UsageError(f"reply() has to return a str, not {type(made).__name__}")
    return made
