"""Helpers for calls, and a scripted server made of h2 alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived
from h2.settings import SettingCodes, Settings

from chatify_stream.errors import ChatifyError
from chatify_stream.wire import Cardinality, Channel, ClientStream

from .services import Answer, Ask

__all__ = ["RESPONSE", "Behaviour", "call", "failure", "scripted_server"]

Behaviour = Callable[[H2Connection, RequestReceived], Awaitable[None] | None]

RESPONSE = [(":status", "200"), ("content-type", "application/grpc")]


@asynccontextmanager
async def scripted_server(
    behave: Behaviour,
    channel_class: Callable[[str, int], Channel] = Channel,
    *,
    max_concurrent_streams: int = 100,
) -> AsyncIterator[Channel]:
    """Open a channel to a server that runs `behave` for each request."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        h2 = H2Connection(
            H2Configuration(
                client_side=False,
                header_encoding="utf-8",
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        limit = {SettingCodes.MAX_CONCURRENT_STREAMS: max_concurrent_streams}
        h2.local_settings = Settings(client=False, initial_values=limit)
        h2.initiate_connection()
        writer.write(h2.data_to_send())
        try:
            while data := await reader.read(65536):
                for event in h2.receive_data(data):
                    if isinstance(event, RequestReceived):
                        behave(h2, event)
                writer.write(h2.data_to_send())
        except ConnectionError:
            pass
        finally:
            writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with channel_class("127.0.0.1", port) as channel:
        try:
            yield channel
        finally:
            listener.close()


def call(channel: Channel, **options: object) -> ClientStream:
    return channel.request("/test.Echo/Echo", Cardinality.STREAM_STREAM, Ask, Answer, **options)


async def failure(channel: Channel, **options: object) -> ChatifyError:
    """Make a call, send one message and return the error that it raises."""
    with pytest.raises(ChatifyError) as caught:
        async with call(channel, **options) as stream:
            await stream.send_message(Ask(service="Ada"), end=True)
            while await stream.recv_message() is not None:
                pass
    return caught.value
