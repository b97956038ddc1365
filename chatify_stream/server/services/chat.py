"""`service.v1.Service`: runs a handler or a room session for every Chat call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from ...errors import Status, StatusError
from ...messages.service.v1 import ChatReq, ChatRsp
from ...rooms.metadata import wants_room
from ...wire import Cardinality, MethodHandler, ServerStream
from ..rooms import GrpcTransport, Node, RoomSession
from ..session import Session

Handler = Callable[[Session], Awaitable[None]]
"""Serves one direct session; the session ends when it returns or raises."""

CHAT_PATHS = (
    "/service.v1.Service/Chat",
    "/service.v1.Service/ChatStream",  # its name in a later revision of the original service
    "/Service/Chat",  # for clients that were built without the package name
)


class ChatService:
    """Serves the Chat method under each of `paths`: direct sessions and room sessions."""

    def __init__(
        self, handler: Handler, node: Node | None, paths: Sequence[str] = CHAT_PATHS
    ) -> None:
        """`handler` serves direct sessions. `node` has the rooms; None disables them."""
        self._handler = handler
        self._node = node
        self._paths = tuple(paths)

    def _chat(self, stream: ServerStream) -> Awaitable[None]:
        # Not a coroutine, which would take memory as long as the call lasts.
        if not wants_room(stream.metadata or {}):
            return self._handler(Session(stream))
        node = self._node
        if node is None:
            raise StatusError(Status.UNIMPLEMENTED, "rooms are disabled on this server")
        return RoomSession(node, GrpcTransport(stream, node.options.max_message_size)).serve()

    def __mapping__(self) -> dict[str, MethodHandler]:
        method = MethodHandler(self._chat, Cardinality.STREAM_STREAM, ChatReq, ChatRsp)
        return dict.fromkeys(self._paths, method)
