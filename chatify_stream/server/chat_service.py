"""`service.v1.Service`: runs a handler for every Chat stream."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence

from ..codec import frame_text
from ..errors import Status, StatusError, UsageError
from ..messages.service.v1 import ChatReq, ChatRsp
from ..wire import Cardinality, MethodHandler, ServerStream
from .rooms import Node, RoomSession, wants_room
from .session import Session

__all__ = ["CHAT_PATHS", "ChatService", "Handler", "Reply", "replying"]

Reply = Callable[[str], str | Awaitable[str]]
"""Makes the reply to one message. A plain function must not block: it runs in the event loop."""

Handler = Callable[[Session], Awaitable[None]]
"""Serves one session."""

CHAT_PATHS = (
    "/service.v1.Service/Chat",
    "/service.v1.Service/ChatStream",  # its name in a later revision of the original service
    "/Service/Chat",  # for clients that were built without the package name
)


def replying(reply: Reply) -> Handler:
    """The handler that answers each request with what `reply` makes of it, in order."""

    async def handler(session: Session) -> None:
        while names := await session.receive_names():
            replies: list[bytes] = []
            try:
                for name in names:
                    text = reply(name)
                    if not isinstance(text, str):
                        if replies:  # no reply waits for another one
                            await session.send_framed(b"".join(replies), len(replies))
                            replies.clear()
                        text = await _awaited(text)
                    replies.append(frame_text(text))
            except Exception:
                await session.send_framed(b"".join(replies), len(replies))
                raise
            await session.send_framed(b"".join(replies), len(replies))

    return handler


async def _awaited(text: object) -> str:
    if inspect.isawaitable(text):
        text = await text
    if not isinstance(text, str):
        raise UsageError(f"reply() has to return a str, not {type(text).__name__}")
    return text


class ChatService:
    """The Chat method, under each of `paths`: direct sessions, and those of rooms."""

    def __init__(
        self, handler: Handler, node: Node | None, paths: Sequence[str] = CHAT_PATHS
    ) -> None:
        """`handler` serves direct sessions; `node` has the rooms, None when there are none."""
        self._handler = handler
        self._node = node
        self._paths = tuple(paths)

    async def _chat(self, stream: ServerStream) -> None:
        if not wants_room(stream.metadata or {}):
            await self._handler(Session(stream))
        elif self._node is None:
            raise StatusError(Status.UNIMPLEMENTED, "rooms are turned off on this server")
        else:
            await RoomSession(self._node, stream).serve()

    def __mapping__(self) -> dict[str, MethodHandler]:
        method = MethodHandler(self._chat, Cardinality.STREAM_STREAM, ChatReq, ChatRsp)
        return dict.fromkeys(self._paths, method)
