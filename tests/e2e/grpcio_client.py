"""The chat calls of a grpcio client, for tests that hold both ends of a stream in their hands."""

import queue
from collections.abc import Iterator
from typing import Any, Self

import grpc

from .chat_messages import ChatReq, ChatRsp

CALL_SECONDS = 30.0
CHAT = "/service.v1.Service/Chat"
Metadata = tuple[tuple[str, str | bytes], ...]


def open_channel(
    address: str, compression: grpc.Compression = grpc.Compression.NoCompression
) -> grpc.Channel:
    """A channel with a connection of its own: grpcio shares those of equal channels."""
    return grpc.insecure_channel(
        address,
        options=(("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)),
        compression=compression,
    )


def chat(
    channel: grpc.Channel,
    names: Iterator[str] | list[str],
    method: str = CHAT,
    timeout: float = CALL_SECONDS,
    metadata: Metadata = (),
) -> Any:
    """The call, which is also the iterator of the ChatRsp."""
    call = channel.stream_stream(method, ChatReq.SerializeToString, ChatRsp.FromString)
    requests = (ChatReq(name=name) for name in names)
    return call(requests, timeout=timeout, metadata=metadata)


def unary_chat(channel: grpc.Channel, name: str) -> str:
    call = channel.unary_unary(CHAT, ChatReq.SerializeToString, ChatRsp.FromString)
    return call(ChatReq(name=name), timeout=CALL_SECONDS).message


class OpenChat:
    """A stream that stays open between messages; leaving its block cancels what is left."""

    def __init__(
        self, channel: grpc.Channel, method: str = CHAT, timeout: float = CALL_SECONDS
    ) -> None:
        self._names: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.call = chat(channel, iter(self._names.get, None), method, timeout)

    def send(self, name: str) -> None:
        self._names.put(name)

    def receive(self) -> str:
        return next(self.call).message

    def half_close(self) -> None:
        self._names.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.half_close()  # Frees the thread that waits for the next name.
        self.call.cancel()
