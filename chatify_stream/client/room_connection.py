"""One Chat call in a room, from the server's response to the end of the call."""

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
from .channel import CHAT_PATH, Channel


class ResyncNeeded(Exception):  # noqa: N818 - not an error, the client continues
    """Ends a session from this side so that the next one delivers the dropped events."""


class RoomConnection:
    """A call that the server has let into the room. The owner must close it."""

    def __init__(
        self, stream: ClientStream, response: JoinResponse, resume: Position | None
    ) -> None:
        self._stream = stream
        self._is_ended = False
        self.response = response
        self.caught_up = asyncio.Event()
        """Set when everything published before the session began has been received."""
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
        """Open a call and wait for the server's response.

        `timeout` is in seconds and does not include connecting. With `half_close` the call cannot
        send. Raises `CallError`, and `ClosedError` if the channel is closed.
        """
        stream = channel.request(
            CHAT_PATH, Cardinality.STREAM_STREAM, ChatReq, ChatRsp, metadata=metadata
        )
        await stream.__aenter__()
        try:
            await stream.send_request(end=half_close)
            headers = await _receive_headers(stream, timeout)
            return cls(stream, JoinResponse.decode(headers), resume)
        except BaseException as error:
            await _cancel(stream)
            if isinstance(error, UnavailableError | DeadlineExceededError):
                stream.leave_connection()  # another server may let the client in
            raise

    async def receive(self) -> ChatRsp | None:
        """Return the next reply, or None after an end with status OK. Cancelling loses nothing."""
        reply: ChatRsp | None = await self._stream.recv_message()
        if reply is None:
            await self._stream.recv_trailing_metadata()
            self._is_ended = True
        elif reply.offset >= self.response.newest.offset:
            self.caught_up.set()
        return reply

    async def send(self, message_id: str, text: str) -> None:
        """Send a message. Waits while the server's flow-control window is full."""
        await self._stream.send_message(ChatReq(name=text, id=message_id))

    async def half_close(self) -> None:
        if not self._stream.is_ended_by_peer:
            await self._stream.end()

    def abort(self, error: Exception) -> None:
        """End the call; waiting and later operations raise `error`."""
        self._stream.abort(error)

    async def close(self) -> None:
        """Release the call, and cancel it if it has not ended."""
        if self._is_ended:
            await self._stream.__aexit__(None, None, None)
        else:
            await _cancel(self._stream)


async def _receive_headers(stream: ClientStream, timeout: float) -> Mapping[str, str | bytes]:
    try:
        async with asyncio.timeout(timeout):
            await stream.recv_initial_metadata()
    except TimeoutError as error:
        raise DeadlineExceededError(
            Status.DEADLINE_EXCEEDED,
            f"the server did not let the client into the room within {timeout:g} s",
        ) from error
    return cast("Mapping[str, str | bytes]", stream.initial_metadata)


async def _cancel(stream: ClientStream) -> None:
    await stream.cancel()
    await stream.__aexit__(None, None, None)
