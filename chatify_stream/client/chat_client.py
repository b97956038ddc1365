"""ChatClient: a direct session, in which the server answers each message with one reply."""

from __future__ import annotations

import asyncio
import ssl as ssl_module
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Never, Self, cast

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
from .call_metadata import Token, bearer, check_token, items_of, next_token
from .channel import CHAT_PATH, CLOSE_TIMEOUT, Channel


class ChatClient(AsyncIterator[ChatRsp]):
    """A direct session: one Chat stream without a room, with one reply to each message.

        async with ChatClient("localhost:9000") as chat:
            await chat.send("gene")
            reply = await chat.close_and_recv()

    - `target`: `HOST:PORT` or `dns:///HOST:PORT`; or several of these, in a list or separated by
      commas, of which the first that works is used; or a `Channel`, whose connections the client
      shares and does not close.
    - `timeout`: seconds for the whole call, including the connection. The server learns the
      deadline. None means no limit.
    - `wait_for_ready`: wait while no server can be reached, instead of raising.
    - `token`: the bearer token, or a function, async or not, that returns it.
    - `metadata`: sent with the call. Text has ASCII keys; bytes have keys that end in `-bin`.
    - `connect_timeout`: seconds to reach one address, and to get a token.
    - `close_timeout`: seconds that leaving waits for the server to end the call.
    - `ssl`: True, or the result of `client_tls`, to use TLS.
    - `compression`: encoding of the requests: "gzip", "deflate" or "identity".

    A client is entered once. Entering connects and opens the call. Leaving half-closes the call and
    waits for its end. If the call ends with an error that no method has raised yet, leaving raises
    that error. After an exception in the block, or after `close_timeout`, leaving cancels the call.

    Methods raise a `CallError` if the call did not end with status OK, `ClosedError` if the client
    or the sending side is closed, and `UsageError` for misuse.

    Use `RoomClient` for a room. `room=` raises `TypeError`.
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
        **unknown: Never,
    ) -> None:
        for name in unknown:
            hint = "; use RoomClient to join a room" if name == "room" else ""
            raise TypeError(f"ChatClient() got an unexpected keyword argument {name!r}{hint}")
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
        self._half_closed = self._ended = self._closed = self._receiving = False
        self._error: CallError | None = None  # why the call failed; raised again by each method
        self._send_has_failed = False  # replies may still be waiting to be received
        self._last_reply: ChatRsp | None = None

    async def __aenter__(self) -> Self:
        if self._stream is not None or self._closed:
            raise UsageError("a ChatClient can be entered once; create a new client for each call")
        metadata = self._metadata
        if self._token is not None:
            token = await next_token(self._token, self._connect_timeout)
            metadata = [*items_of(metadata), bearer(token)]
        channel = self._target
        if not isinstance(channel, Channel):
            channel = self._own_channel = Channel(
                target=channel, connect_timeout=self._connect_timeout, ssl=self._ssl
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
            await self.cancel()
            raise
        return self

    async def __aexit__(self, exc_type: object, exc: object, traceback: object) -> None:
        try:
            was_raised = self._error is not None or self._send_has_failed
            if exc is None and not self._closed and not was_raised:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._close_timeout):
                        await self.close_and_recv()
        finally:
            await self.cancel()

    async def send(self, text: str) -> None:
        """Send one message.

        Waits while the server's flow-control window is full. Several tasks may send at once. A call
        to `send` that is cancelled after a part of its message was sent cancels the whole call.
        """
        if not isinstance(text, str):
            raise UsageError(f"a message must be a str, not {type(text).__name__}")
        stream = self._open_stream()
        if self._half_closed:
            raise ClosedError("the sending side was closed by half_close()")
        try:
            await stream.send_message(ChatReq(name=text))
        except CallError:
            self._send_has_failed = True
            raise

    async def half_close(self) -> None:
        """Close the sending side: the server still sends the replies that are due. Idempotent."""
        stream = self._open_stream()
        if self._half_closed:
            return
        self._half_closed = True
        try:
            if not stream.is_ended_by_peer:
                await stream.end()
        except CallError as error:
            self._error = error
            raise

    async def receive(self) -> ChatRsp | None:
        """Wait for the next reply and return it, or None when the call has ended with status OK.

        One task at a time may call it. Cancelling it loses no reply.
        """
        if self._error is not None:
            raise self._error
        if self._ended:
            return None
        stream = self._open_stream()
        if self._receiving:
            raise UsageError(
                "another task is already receiving from this client; receive in one task at a time"
            )
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

    async def __anext__(self) -> ChatRsp:
        reply = await self.receive()
        if reply is None:
            raise StopAsyncIteration
        return reply

    async def close_and_recv(self) -> ChatRsp | None:
        """Half-close, wait for the end of the call and return its last reply.

        Returns None if the call had no reply. The last reply is returned even if `receive` has
        already returned it.
        """
        await self.half_close()
        while await self.receive() is not None:
            pass
        return self._last_reply

    async def cancel(self) -> None:
        """Cancel the call, on the server too, and close the client. Idempotent."""
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

    @property
    def initial_metadata(self) -> Mapping[str, str | bytes] | None:
        """The server's initial metadata, or None before the first `receive`."""
        return self._metadata_of("initial_metadata")

    @property
    def trailing_metadata(self) -> Mapping[str, str | bytes] | None:
        """The server's trailers, or None before the call has ended."""
        return self._metadata_of("trailing_metadata")

    def _metadata_of(self, name: str) -> Mapping[str, str | bytes] | None:
        return cast("Mapping[str, str | bytes] | None", getattr(self._stream, name, None))

    def _open_stream(self) -> ClientStream:
        if self._closed:
            raise ClosedError("the client is closed")
        if self._stream is None:
            raise UsageError("the client is not open; use it in `async with`")
        return self._stream
