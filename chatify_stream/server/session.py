"""A direct Chat session, as its handler uses it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, cast

from multidict import MultiDict

from ..address import Address
from ..codec import decode_name
from ..errors import UsageError
from ..messages.service.v1 import ChatReq, ChatRsp
from ..wire import Deadline, MetadataLike, ServerStream, StreamStatistics

CallHandler = Callable[[ServerStream], Awaitable[None]]
"""Serves one call."""

Interceptor = Callable[[str, CallHandler], CallHandler]
"""Takes the path of a method, `/package.Service/Method`, and its handler; returns a handler.

It is called once for each method, when the server starts. It returns the given handler for a method
that it does not concern. Another handler that it returns is awaited for each call, and awaits the
given handler. Before that it may set `stream.identity`, or reject the call by raising a
`StatusError`. When the call is cancelled, so is the handler.
"""


class Peer(Address):
    """The address of a client. On a Unix socket the host is empty and the port 0."""


class Session:
    """One Chat call, as a `ChatServer(handler=...)` receives it.

    Iterate over it to receive the requests until the client half-closes. The call ends with status
    OK when the handler returns, and with the status of a `CallError` that the handler raises. Any
    other exception is logged, and the client receives INTERNAL without its text. The handler is
    cancelled when the client leaves or its deadline passes.
    """

    def __init__(self, stream: ServerStream) -> None:
        self._stream = stream

    @property
    def peer(self) -> Peer:
        """The address of the client."""
        return peer_of(self._stream)

    @property
    def metadata(self) -> Mapping[str, str | bytes]:
        """The metadata of the call: text, or bytes for keys that end in `-bin`.

        A multidict: `getall(key)` returns every value of a repeated key.
        """
        return cast("Mapping[str, str | bytes]", self._stream.metadata)

    @property
    def user_agent(self) -> str | None:
        """The user agent that the client sent, or None."""
        return self._stream.user_agent

    @property
    def deadline(self) -> Deadline | None:
        """The deadline of the call (`time_remaining()` is in seconds), or None."""
        return self._stream.deadline

    @property
    def trailers(self) -> MultiDict[str | bytes]:
        """Metadata to send with the status that ends the call, to be set before the handler ends.

        A multidict: `add` adds a further value for a key, where item assignment replaces the value.
        """
        return self._stream.trailers

    @property
    def stream(self) -> ServerStream:
        """The gRPC stream of the session."""
        return self._stream

    @property
    def identity(self) -> Any:
        """The `Identity` of the authenticated caller; None if authentication is off."""
        return self._stream.identity

    @property
    def compression(self) -> str:
        """The compression of replies: "gzip", "deflate" or "identity" (none).

        The default is the compression of the requests. Set it before the first reply. A client that
        does not accept it receives uncompressed replies. Setting it raises `UsageError` for another
        name, and after the response headers were sent.
        """
        return self._stream.compression

    @compression.setter
    def compression(self, name: str) -> None:
        self._stream.compression = name

    async def receive(self) -> ChatReq | None:
        """Wait for the next request; return None after the client has half-closed.

        Cancelling loses nothing. Raises `StatusError` for a request that cannot be decoded or
        exceeds a limit.
        """
        request: ChatReq | None = await self._stream.recv_message()
        return request

    def __aiter__(self) -> AsyncIterator[ChatReq]:
        return self

    async def __anext__(self) -> ChatReq:
        request = await self.receive()
        if request is None:
            raise StopAsyncIteration
        return request

    def receive_texts(self) -> Awaitable[list[str]]:
        """Wait for requests, and return the `name` of each that has arrived, up to a limit.

        Returns an empty list after the client has half-closed. Cancelling loses nothing. Raises as
        `receive` does, after the requests before the error were returned.
        """
        return self._stream.receive_batch(decode_name)

    async def send(self, reply: str | ChatRsp) -> None:
        """Send one reply. A str is sent as the `message` of a `ChatRsp`.

        Waits while the client reads too slowly. Several tasks may call it at the same time.
        Cancelling it in the middle of a reply resets the call.

        Raises:
            UsageError: The reply is neither a str nor a `ChatRsp`.
            CancelledCallError: The client has left.
            StatusError: The client has read nothing within the write timeout.
        """
        if isinstance(reply, str):
            reply = ChatRsp(message=reply)
        elif not isinstance(reply, ChatRsp):
            raise UsageError(
                f"reply: {type(reply).__name__} is not allowed; pass a str or a ChatRsp"
            )
        await self._stream.send_message(reply)

    def send_framed(self, frames: bytes, count: int = 1) -> Awaitable[None]:
        """Send `count` replies that `frame_text` has encoded, as one bytes object.

        Use it to encode a reply for many clients only once. Waits and raises as `send` does.
        """
        return self._stream.send_framed(frames, count)

    def try_send_framed(self, frames: bytes, count: int = 1) -> bool:
        """Send as `send_framed` does, but never wait. Return False if nothing was sent.

        Nothing is sent before the response headers were sent, while another task sends, when the
        client reads too slowly or has left, and when replies are compressed.
        """
        return self._stream.try_send_framed(frames, count)

    def statistics(self) -> StreamStatistics:
        """Return the numbers of messages received and sent so far, and the bytes waiting."""
        return self._stream.statistics()

    async def send_initial_metadata(self, metadata: MetadataLike | None = None) -> None:
        """Send the response headers with `metadata` now; otherwise the first reply does."""
        await self._stream.send_initial_metadata(metadata=metadata)


def peer_of(stream: ServerStream) -> Peer:
    """Return the address of the client of a stream."""
    match stream.peer.addr():
        case (str(host), int(port), *_):
            return Peer(host, port)
        case _:
            return Peer("", 0)
