"""One call of Chat that is in a room, from its response to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import cast

from ..errors import DeadlineExceededError, Status, UnavailableError
from ..messages.service.v1 import ChatReq, ChatRsp
from ..rooms.metadata import JoinResponse
from ..rooms.position import Position
from ..wire import Cardinality, ClientStream
from .call_metadata import MetadataItems
from .channel import Channel
from .chat_client import CHAT_PATH

__all__ = ["LeftBehindError", "RoomConnection"]


class LeftBehindError(Exception):
    """The session is given up on this side, because the program has to be told what it missed."""


class RoomConnection:
    """A call that was let in. It has to be closed."""

    def __init__(
        self, stream: ClientStream, response: JoinResponse, resume: Position | None
    ) -> None:
        self._stream = stream
        self._is_ended = False
        self.response = response
        self.caught_up = asyncio.Event()
        """Set when everything has come that was published before the session began."""
        if not response.recovered or resume is None or resume.offset >= response.newest.offset:
            self.caught_up.set()

    @classmethod
    async def open(
        cls,
        channel: Channel,
        metadata: MetadataItems,
        *,
        timeout: float,
        resume: Position | None = None,
        half_close: bool = False,
    ) -> RoomConnection:
        """Makes a call. `timeout`: seconds for the server's answer, once it is connected.

        With `half_close` nothing can be sent. Raises `CallError`, and `ClosedError` when the
        channel is closed.
        """
        stream = channel.request(
            CHAT_PATH, Cardinality.STREAM_STREAM, ChatReq, ChatRsp, metadata=metadata
        )
        await stream.__aenter__()
        try:
            await stream.send_request(end=half_close)
            headers = await _headers(stream, timeout)
            return cls(stream, JoinResponse.decode(headers), resume)
        except BaseException as error:
            await _leave(stream)
            if isinstance(error, UnavailableError | DeadlineExceededError):
                stream.leave_connection()  # another server may let it in
            raise

    async def receive(self) -> ChatRsp | None:
        """What comes next; None once the call has ended OK. Cancelled, it loses nothing."""
        reply: ChatRsp | None = await self._stream.recv_message()
        if reply is None:
            await self._stream.recv_trailing_metadata()
            self._is_ended = True
        elif reply.offset >= self.response.newest.offset:
            self.caught_up.set()
        return reply

    async def send(self, message_id: str, text: str) -> None:
        """Sends a message; waits while the server takes no more."""
        await self._stream.send_message(ChatReq(name=text, id=message_id))

    async def half_close(self) -> None:
        """Nothing more is sent."""
        if not self._stream.is_ended_by_peer:
            await self._stream.end()

    def abort(self, error: Exception) -> None:
        """Whoever waits for the call, or uses it later, gets `error`."""
        self._stream.abort(error)

    async def close(self) -> None:
        """Gives the call up, unless it has ended."""
        if self._is_ended:
            await self._stream.__aexit__(None, None, None)
        else:
            await _leave(self._stream)


async def _headers(stream: ClientStream, timeout: float) -> Mapping[str, str | bytes]:
    try:
        async with asyncio.timeout(timeout):
            await stream.recv_initial_metadata()
    except TimeoutError as error:
        raise DeadlineExceededError(
            Status.DEADLINE_EXCEEDED,
            f"the server has not let this client into the room within {timeout:g} s",
        ) from error
    return cast("Mapping[str, str | bytes]", stream.initial_metadata)


async def _leave(stream: ClientStream) -> None:
    await stream.cancel()
    await stream.__aexit__(None, None, None)
