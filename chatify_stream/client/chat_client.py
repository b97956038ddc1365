"""ChatClient: one Chat stream, in its direct form or in a room."""

from __future__ import annotations

import ssl as ssl_module
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

from ..wire import CONNECT_TIMEOUT, Backoff, ClientTLS, MetadataLike
from .channel import Channel

if TYPE_CHECKING:
    from ..rooms.position import Position
    from .direct_chat import DirectChat
    from .room_chat import RoomChat
    from .tokens import Token

__all__ = ["CHAT_PATH", "CLOSE_TIMEOUT", "ChatClient"]

CHAT_PATH = "/service.v1.Service/Chat"

CLOSE_TIMEOUT = 5.0
"""Seconds that leaving a client waits for the server to end the call."""


class ChatClient:
    """A Chat stream: a `DirectChat`, and with `room=` a `RoomChat`.

        async with ChatClient("localhost:9000") as chat:
            await chat.send("gene")
            reply = await chat.close_and_recv()

        async with ChatClient("localhost:9000", room="lobby", user="ada") as chat:
            await chat.send("good morning")
            async for event in chat:
                if isinstance(event, Message):
                    print(event.sender, event.text)

    `target` is `HOST:PORT`, or several of these in a list, of which the first that works is taken,
    or a `Channel` to share its connections, which then stay open. `connect_timeout` and `ssl` are
    as for `Channel`. `metadata` goes with the call: text under ASCII keys, bytes under keys that
    end in `-bin`. A client is entered once.
    """

    @overload
    def __new__(
        cls,
        target: str | Sequence[str] | Channel = "localhost:9000",
        *,
        timeout: float | None = None,
        wait_for_ready: bool = False,
        token: Token | None = None,
        metadata: MetadataLike | None = None,
        connect_timeout: float = CONNECT_TIMEOUT,
        close_timeout: float = CLOSE_TIMEOUT,
        ssl: bool | ClientTLS | ssl_module.SSLContext | None = None,
        compression: str | None = None,
    ) -> DirectChat: ...

    @overload
    def __new__(
        cls,
        target: str | Sequence[str] | Channel = "localhost:9000",
        *,
        room: str,
        user: str | None = None,
        token: Token | None = None,
        history: int = 0,
        presence: bool = False,
        resume: Position | str | None = None,
        backoff: Backoff | None = None,
        max_message_size: int = ...,
        wait_for_ready: bool = False,
        metadata: MetadataLike | None = None,
        connect_timeout: float = CONNECT_TIMEOUT,
        close_timeout: float = CLOSE_TIMEOUT,
        ssl: bool | ClientTLS | ssl_module.SSLContext | None = None,
    ) -> RoomChat: ...

    def __new__(cls, *args: Any, **options: Any) -> Any:
        if cls is not ChatClient:
            return super().__new__(cls)
        # Here, because both are subclasses of this class.
        from .direct_chat import DirectChat
        from .room_chat import RoomChat

        return super().__new__(RoomChat if "room" in options else DirectChat)
