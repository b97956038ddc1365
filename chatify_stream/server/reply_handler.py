"""The handler of a `reply` function: each request is answered by one reply, in order.

Rules: no reply waits for a later one to be made. Requests that come while the handler waits are
answered within the read that brought them, as long as `reply` returns texts and the client takes
them; the handler goes on where that stopped: at a reply that has to be awaited, one that failed,
or a client that does not read. `reply` is called once for each request.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from contextvars import copy_context

from ..codec import frame_text_parts
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

    return lambda session: _Replier(session, reply).serve(in_context)


_NOTHING = object()


class _Replier:
    """Answers the requests of one session."""

    __slots__ = ("_error", "_is_begun", "_made", "_names", "_replies", "_reply", "_session")

    def __init__(self, session: Session, reply: Reply) -> None:
        self._session = session
        self._reply = reply
        self._names: list[str] = []
        """Those for which `reply` was not called yet, the last one first."""
        self._replies: list[bytes] = []
        """Those that are made, and not sent: two parts of each."""
        self._made: object = _NOTHING
        """What `reply` made of a name, when that is no text."""
        self._error: BaseException | None = None
        self._is_begun = False
        """The names that are received next are those that are being answered."""

    async def serve(self, in_context: bool) -> None:
        at_once = self._answer_at_once
        if in_context:
            context = copy_context()

            def at_once(names: list[str]) -> bool:
                return context.run(self._answer_at_once, names)

        while names := await self._session.receive_texts(at_once):
            if not self._is_begun:
                self._names = names[::-1]
                names.clear()  # a large one is let go of as soon as it is answered
                self._make_replies()
            self._is_begun = False
            await self._go_on()

    def _answer_at_once(self, names: list[str]) -> bool:
        self._names = names[::-1]
        self._make_replies()
        is_sent = (
            self._error is None
            and self._made is _NOTHING
            and self._session.try_send_framed(b"".join(self._replies), len(names))
        )
        if is_sent:
            self._replies.clear()
        self._is_begun = not is_sent
        return is_sent

    def _make_replies(self) -> None:
        """Makes replies, up to one that has to be awaited or that fails."""
        names, reply, replies = self._names, self._reply, self._replies
        try:
            while names:
                text = reply(names.pop())
                if not isinstance(text, str):
                    self._made = text
                    return
                replies += frame_text_parts(text)
        except BaseException as error:  # SystemExit, too, ends this session alone
            self._error = error

    async def _go_on(self) -> None:
        """Sends the replies that are made, and makes those that are not."""
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
        raise UsageError(f"reply() has to return a str, not {type(made).__name__}")
    return made
