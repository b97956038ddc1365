"""DirectChat: one Chat stream in its direct form, each message answered by one reply."""

from __future__ import annotations

import asyncio
import ssl as ssl_module
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import cast

from ..address import parse_target
from ..errors import CallError, ClosedError, UsageError
from ..messages.service.v1 import ChatReq, ChatRsp
from ..wire import (
    CONNECT_TIMEOUT,
    Cardinality,
    ClientStream,
    ClientTLS,
    MetadataLike,
    check_encoding,
)
from .call_metadata import items_of
from .channel import Channel
from .chat_client import CHAT_PATH, CLOSE_TIMEOUT, ChatClient
from .tokens import Token, bearer, check_token, next_token

__all__ = ["DirectChat"]


class DirectChat(ChatClient):
    """A Chat stream outside of rooms: `ChatClient(target)`.

    `timeout` is the time in seconds for the whole call, connecting included; the server is told.
    With `wait_for_ready` the call waits, while no server can be reached, where it would fail.
    `compression` is as for `Channel`. `token`: the bearer token, or a function, async or not, that
    gives it.

    Entering connects and opens the call. Leaving half-closes, waits `close_timeout` seconds for
    the server to end the call, and raises when that was not with status OK and no method has said
    so before; leaving because of an exception, or when the time is over, cancels the call.

    Every method raises a `CallError` for a call that ended otherwise than OK, `ClosedError` when
    it was ended or closed before, and `UsageError` for wrong use. A method that is cancelled loses
    no reply; a `send` cancelled after part of its message has left cancels the call.
    """

    def __init__(
        self,
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
    ) -> None:
        if not isinstance(target, Channel):
            try:
                parse_target(target)
            except ValueError as error:
                raise UsageError(str(error)) from None
        self._target = target
        self._timeout = timeout
        self._wait_for_ready = wait_for_ready
        check_token(token)
        self._token = token
        self._metadata = metadata
        self._connect_timeout = connect_timeout
        self._close_timeout = close_timeout
        self._ssl = ssl
        self._compression = None if compression is None else check_encoding(compression)
        self._own_channel: Channel | None = None
        self._stream: ClientStream | None = None
        self._half_closed = False
        self._ended = False
        self._error: CallError | None = None  # a call that has failed stays so
        self._send_has_failed = False  # while replies may still be there to be received
        self._closed = False
        self._receiving = False
        self._last_reply: ChatRsp | None = None

    async def __aenter__(self) -> DirectChat:
        if self._stream is not None or self._closed:
            raise UsageError("a ChatClient is entered once: make a new one for each call")
        metadata = self._metadata
        if self._token is not None:
            token = await next_token(self._token, self._connect_timeout)
            metadata = [*items_of(metadata), bearer(token)]
        if isinstance(self._target, Channel):
            channel = self._target
        else:
            channel = self._own_channel = Channel(
                target=self._target, connect_timeout=self._connect_timeout, ssl=self._ssl
            )
        stream = channel.request(
            CHAT_PATH,
            Cardinality.STREAM_STREAM,
            ChatReq,
            ChatRsp,
            timeout=self._timeout,
            metadata=metadata,
            compression=self._compression,
            wait_for_ready=self._wait_for_ready,
        )
        try:
            await stream.__aenter__()
            self._stream = stream
            await stream.send_request()
        except BaseException:
            await self._cancel_and_close()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            is_told = self._error is not None or self._send_has_failed
            if exc is None and not self._closed and not is_told:
                await self._finish()
        finally:
            await self._cancel_and_close()

    async def send(self, text: str) -> None:
        """Sends one message; waits while the server takes no more. Safe from several tasks."""
        if not isinstance(text, str):
            raise UsageError(f"a message is a str, not {type(text).__name__}")
        stream = self._open_stream()
        if self._half_closed:
            raise ClosedError("the sending side was closed by half_close()")
        try:
            await stream.send_message(ChatReq(name=text))
        except CallError:
            self._send_has_failed = True
            raise

    async def half_close(self) -> None:
        """Says that no more messages come. The replies still due keep coming."""
        stream = self._open_stream()
        if not self._half_closed:
            self._half_closed = True
            if not stream.is_ended_by_peer:
                try:
                    await stream.end()
                except CallError as error:
                    self._error = error
                    raise

    async def receive(self) -> ChatRsp | None:
        """The next reply, or None once the server has ended the call with status OK.

        One task at a time may wait for replies.
        """
        if self._error is not None:
            raise self._error
        if self._ended:
            return None
        stream = self._open_stream()
        if self._receiving:
            raise UsageError("another task waits for a reply of this client already")
        self._receiving = True
        try:
            reply: ChatRsp | None = await stream.recv_message()
            if reply is None:
                await stream.recv_trailing_metadata()
                self._ended = True
                return None
        except CallError as error:
            self._error = error
            raise
        finally:
            self._receiving = False
        self._last_reply = reply
        return reply

    def __aiter__(self) -> AsyncIterator[ChatRsp]:
        return self

    async def __anext__(self) -> ChatRsp:
        reply = await self.receive()
        if reply is None:
            raise StopAsyncIteration
        return reply

    async def close_and_recv(self) -> ChatRsp | None:
        """Half-closes, waits for the end of the call, and gives its last reply.

        That is None only for a call that had no reply at all.
        """
        await self.half_close()
        while await self.receive() is not None:
            pass
        return self._last_reply

    async def cancel(self) -> None:
        """Gives the call up now; the server learns of it. May be called again."""
        await self._cancel_and_close()

    @property
    def initial_metadata(self) -> Mapping[str, str | bytes] | None:
        """What the server sent ahead of its replies; None until the first was waited for."""
        return self._metadata_of("initial_metadata")

    @property
    def trailing_metadata(self) -> Mapping[str, str | bytes] | None:
        """What the server sent with its status; None until the call has ended."""
        return self._metadata_of("trailing_metadata")

    def _metadata_of(self, name: str) -> Mapping[str, str | bytes] | None:
        return cast("Mapping[str, str | bytes] | None", getattr(self._stream, name, None))

    def _open_stream(self) -> ClientStream:
        if self._closed:
            raise ClosedError("the client is closed")
        if self._stream is None:
            raise UsageError("the client is not open: use it in `async with`")
        return self._stream

    async def _finish(self) -> None:
        try:
            async with asyncio.timeout(self._close_timeout):
                await self.close_and_recv()
        except TimeoutError:
            pass  # leaving then cancels the call

    async def _cancel_and_close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._stream is not None:
            if not self._ended:
                await self._stream.cancel()
            await self._stream.__aexit__(None, None, None)
        if self._own_channel is not None:
            self._own_channel.close()
            await self._own_channel.wait_closed()
