"""Serve direct sessions with a `reply` function: one reply to each request, in order.

`reply` is called once for each request, and a reply is sent before the next awaitable reply is
waited for. Requests that arrive while the handler waits are answered within the same read, without
waking the handler. It takes over where that is impossible: when a reply must be awaited, when
`reply` fails, and when the client does not read.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from contextvars import copy_context

from ..codec import frame_text_parts
from ..errors import UsageError
from .session import Session

__all__ = ["Reply", "reply_handler"]

Reply = Callable[[str], str | Awaitable[str]]
"""Returns the reply to one message. It runs in the event loop, so it must not block."""


def reply_handler(
    reply: Reply, *, in_context: bool = False
) -> Callable[[Session], Awaitable[None]]:
    """Return the handler that answers each request by `reply`, in order.

    With `in_context`, `reply` always runs in the context of the session's task, also for requests
    that arrive while the handler waits. This costs some time for each request.
    """
    return lambda session: _ReplySession(session, reply).serve(in_context)


_NOTHING = object()


class _ReplySession:
    """Answers the requests of one session."""

    __slots__ = ("_error", "_is_started", "_made", "_names", "_replies", "_reply", "_session")

    def __init__(self, session: Session, reply: Reply) -> None:
        self._session = session
        self._reply = reply
        self._names: list[str] = []
        """The requests for which `reply` was not called yet, the last first."""
        self._replies: list[bytes] = []
        """The replies that are not sent yet, as two parts each."""
        self._made: object = _NOTHING
        """The last result of `reply`, if it is not a text."""
        self._error: BaseException | None = None
        self._is_started = False
        """Whether the names that are received next are being answered already."""

    async def serve(self, in_context: bool) -> None:
        answer = self._answer_now
        if in_context:
            context = copy_context()

            def answer(names: list[str]) -> bool:
                return context.run(self._answer_now, names)

        while names := await self._session.receive_texts(answer):
            if not self._is_started:
                self._names = names[::-1]
                names.clear()  # so that a large name is freed as soon as it is answered
                self._make_replies()
            self._is_started = False
            await self._send_replies()

    def _answer_now(self, names: list[str]) -> bool:
        self._names = names[::-1]
        self._make_replies()
        is_sent = (
            self._error is None
            and self._made is _NOTHING
            and self._session.try_send_framed(b"".join(self._replies), len(names))
        )
        if is_sent:
            self._replies.clear()
        self._is_started = not is_sent
        return is_sent

    def _make_replies(self) -> None:
        """Make replies until a reply must be awaited or fails."""
        names, reply, replies = self._names, self._reply, self._replies
        try:
            while names:
                text = reply(names.pop())
                if not isinstance(text, str):
                    self._made = text
                    return
                replies += frame_text_parts(text)
        except BaseException as error:  # SystemExit must end only this session
            self._error = error

    async def _send_replies(self) -> None:
        """Send the replies that are made, then make and send the others."""
        while True:
            if replies := self._replies:
                frames, count = b"".join(replies), len(replies) // 2
                replies.clear()
                await self._session.send_framed(frames, count)
            if self._error is not None:
                raise self._error
            if self._made is _NOTHING:
                return
            made, self._made = self._made, _NOTHING
            self._replies += frame_text_parts(await _text(made))
            self._make_replies()


async def _text(made: object) -> str:
    if inspect.isawaitable(made):
        made = await made
    if not isinstance(made, str):
        raise UsageError(f"reply() must return a str, not {type(made).__name__}")
    return made
