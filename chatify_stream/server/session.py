"""One Chat stream, as its handler sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from multidict import MultiDict

from ..codec import decode_name
from ..errors import UsageError
from ..messages.service.v1 import ChatReq, ChatRsp
from ..wire import Deadline, MetadataLike, ServerStream, StreamStatistics

__all__ = ["CallHandler", "Interceptor", "Peer", "Session", "peer_of"]

CallHandler = Callable[[ServerStream], Awaitable[None]]
"""Serves one call."""

Interceptor = Callable[[str, CallHandler], CallHandler]
"""Takes the path of a method, `/package.Service/Method`, and its handler; returns a handler.

It is called once for each method, when the server starts. It returns the given handler for a method
that it does not concern. Another handler that it returns is awaited for each call, and awaits the
given handler. Before that it may set `stream.identity`, or reject the call by raising a
`StatusError`. When the call is cancelled, so is the handler.
"""


@dataclass(frozen=True)
class Peer:
    """Where a client connects from. A client on a Unix socket has no host and port 0."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Session:
    """One Chat stream, from the call to its end.

    Iterating gives the requests until the client half-closes. When the handler returns, the call
    ends with status OK; when it raises a `CallError`, with that status; any other exception is
    logged, and the client gets INTERNAL without its text. When the client leaves or its deadline
    passes, the handler is cancelled.
    """

    def __init__(self, stream: ServerStream) -> None:
        self._stream = stream

    @property
    def peer(self) -> Peer:
        """Where the client connects from."""
        return peer_of(self._stream)

    @property
    def metadata(self) -> Mapping[str, str | bytes]:
        """What the client sent with the call: text, or bytes under keys that end in `-bin`.

        A multi-dict: `getall(key)` gives every value of a key that was sent more than once.
        """
        return cast("Mapping[str, str | bytes]", self._stream.metadata)

    @property
    def user_agent(self) -> str | None:
        """The client library's name of itself, or None."""
        return self._stream.user_agent

    @property
    def deadline(self) -> Deadline | None:
        """When the client stops waiting (`time_remaining()` in seconds), or None."""
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
        """The `Identity` of who calls; None on a server that asks nobody who they are."""
        return self._stream.identity

    @property
    def compression(self) -> str:
        """How replies are compressed: "gzip", "deflate", or "identity" for not at all.

        As the requests are, unless it is set before the first reply; not at all where the client
        does not accept what was set. Raises `UsageError` for another name, and when it is too
        late.
        """
        return self._stream.compression

    @compression.setter
    def compression(self, name: str) -> None:
        self._stream.compression = name

    async def receive(self) -> ChatReq | None:
        """The next request, or None once the client has half-closed."""
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
        """Wait for requests. Return the `name` of each that has arrived, up to a limit.

        Return none after the last request. Cancelling loses nothing.
        """
        return self._stream.receive_batch(decode_name)

    async def send(self, reply: str | ChatRsp) -> None:
        """Sends one reply; a text is sent as the `message` of a `ChatRsp`.

        Waits while the client takes no more. Safe to call from several tasks at once. Cancelled
        in the middle of a reply, it resets the call.
        """
        if isinstance(reply, str):
            reply = ChatRsp(message=reply)
        elif not isinstance(reply, ChatRsp):
            raise UsageError(f"a reply is a str or a ChatRsp, not {type(reply).__name__}")
        await self._stream.send_message(reply)

    def send_framed(self, frames: bytes, count: int = 1) -> Awaitable[None]:
        """Sends `count` replies that `frame_text` has encoded, one behind the other.

        What goes to many clients is encoded once so. As `send` otherwise.
        """
        return self._stream.send_framed(frames, count)

    def try_send_framed(self, frames: bytes, count: int = 1) -> bool:
        """As `send_framed`, if that would not have to wait; False when nothing has been sent.

        So it is before the response headers were sent, while another task sends, when the client
        reads too slowly or has left, and on a call whose replies are compressed.
        """
        return self._stream.try_send_framed(frames, count)

    def statistics(self) -> StreamStatistics:
        """What has come and gone on this stream so far."""
        return self._stream.statistics()

    async def send_initial_metadata(self, metadata: MetadataLike | None = None) -> None:
        """Sends the response headers now, with `metadata`; otherwise the first reply does."""
        await self._stream.send_initial_metadata(metadata=metadata)


def peer_of(stream: ServerStream) -> Peer:
    """Where the client of a stream connects from."""
    match stream.peer.addr():
        case (str(host), int(port), *_):
            return Peer(host, port)
        case _:
            return Peer("", 0)
