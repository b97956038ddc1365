"""Serve a direct session with a `reply` function: one reply for each request, in order.

Rules: no reply waits for a later one. Requests that arrive while the handler waits are answered
within the read that brought them, as long as `reply` returns a str and the client reads the
replies. The handler's task continues where `consume` stopped: at a reply that has to be awaited,
at an error, or at a client that does not read. `reply` is called once for each request.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from contextvars import copy_context

from ..codec import decode_name, frame_text_parts
from ..errors import StatusError, UsageError
from ..wire import ServerStream
from .session import Session

Reply = Callable[[str], str | Awaitable[str]]
"""Returns the reply to one message. It runs in the event loop, so it must not block."""


def reply_handler(
    reply: Reply, *, in_context: bool = False
) -> Callable[[Session], Awaitable[None]]:
    """Return a handler that answers each request with the result of `reply`, in order.

    `in_context`: always call `reply` in the context of the session's task, which takes time.
    """
    kind = _ContextReplySession if in_context else _ReplySession
    return lambda session: kind(session.stream, reply).serve()


_NOTHING = object()


class _ReplySession:
    """Answers the requests of one session. A `BatchConsumer`."""

    __slots__ = ("_error", "_made", "_replies", "_reply", "_stream", "_texts", "_try_send")

    def __init__(self, stream: ServerStream, reply: Reply) -> None:
        self._stream = stream
        self._try_send = stream.sender()
        self._reply = reply
        self._texts: list[str] = []  # for which `reply` was not called yet, the last one first
        self._replies: list[bytes] = []  # that were not sent yet, two parts each
        self._made: object = _NOTHING  # a result of `reply` that is not a str
        self._error: BaseException | None = None

    async def serve(self) -> None:
        while await self._stream.feed(self):
            await self._send_replies()

    def consume(self, messages: list[bytes]) -> bool:
        """Answer a batch of encoded requests. Return False if the task has to continue."""
        try:
            texts = [decode_name(data) for data in messages]
        except (StatusError, ValueError):
            texts = self._stream.decode_until_error(messages, decode_name)
        messages.clear()  # frees a large request as soon as it is answered
        count = len(texts)
        texts.reverse()
        self._texts = texts
        self._make_replies()
        is_sent = (
            self._error is None
            and self._made is _NOTHING
            and self._try_send(b"".join(self._replies), count)
        )
        if is_sent:
            self._replies.clear()
        return is_sent

    def _make_replies(self) -> None:
        """Call `reply` until a result has to be awaited or an exception is raised."""
        texts, reply, replies = self._texts, self._reply, self._replies
        try:
            while texts:
                text = reply(texts.pop())
                if not isinstance(text, str):
                    self._made = text
                    return
                replies += frame_text_parts(text)
        except BaseException as error:  # SystemExit, too, ends this session alone
            self._error = error

    async def _send_replies(self) -> None:
        while True:
            if replies := self._replies:
                frames, count = b"".join(replies), len(replies) // 2
                replies.clear()
                await self._stream.send_framed(frames, count)
            if self._error is not None:
                raise self._error
            if self._made is _NOTHING:
                return
            made, self._made = self._made, _NOTHING
            self._replies += frame_text_parts(await _text(made))
            self._make_replies()


class _ContextReplySession(_ReplySession):
    """Calls `reply` in the context of the task that created the handler."""

    __slots__ = ("_context",)

    def __init__(self, stream: ServerStream, reply: Reply) -> None:
        super().__init__(stream, reply)
        self._context = copy_context()

    def consume(self, messages: list[bytes]) -> bool:
        return self._context.run(super().consume, messages)


async def _text(made: object) -> str:
    if inspect.isawaitable(made):
        made = await made
    if not isinstance(made, str):
        raise UsageError(f"reply() must return a str, not {type(made).__name__}")
    return made
