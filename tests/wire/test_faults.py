"""The faults of grpclib 0.4.9 and h2 4.4 that this package mends, each shown on both.

A scenario does the same to our server or channel and to plain grpclib's. What plain grpclib shows
proves that the scenario can fail; when that changes, a release has mended the fault, and what mends
it here may go.
"""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpclib.client
import grpclib.server
import pytest
from grpclib.config import Configuration
from grpclib.exceptions import StreamTerminatedError
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    PingAckReceived,
    RemoteSettingsChanged,
    RequestReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes

from chatify_stream.wire import Backoff, Channel, Limits, Rate, Server, ServerStream

from ..support.frames import DATA, GOAWAY, PING, PRIORITY_UPDATE, SETTINGS, UNKNOWN
from ..support.waiting import TIMEOUT
from .calling import RESPONSE, call, scripted_server
from .peers import accepting
from .raw import (
    ClosedByPeer,
    RawClient,
    answers,
    frame,
    frame_client,
    framed,
    raw_client,
    request_headers,
)
from .services import Answer, Ask, Echo

ADA, BOB = (framed(bytes(Ask(service=name))) for name in ("Ada", "Bob"))
PROTO = "application/grpc+proto"

NOTHING = "nothing came, although the server answers others"
SHORT = 0.3
"""Seconds after which what is to hang is taken to hang."""
HANGING = 120.0  # seconds for a scenario to end; plain grpclib needs many

WINDOW = 2**16 - 1
CONFIG = Configuration(http2_connection_window_size=WINDOW, http2_stream_window_size=WINDOW)
LIMITS = Limits(
    max_message_size=1000,
    max_control_backlog=20_000,
    write_timeout=0.05,
    pings=Rate(10**9, 1.0),
    settings=Rate(10**9, 1.0),
)


class Newest:
    """A server whose newest connection can be looked at."""

    newest: Any

    def _protocol_factory(self) -> Any:
        self.newest = super()._protocol_factory()  # type: ignore[misc]
        return self.newest


class OurServer(Newest, Server):
    def __init__(self, service: Echo) -> None:
        super().__init__([service], config=CONFIG, limits=LIMITS)


class GrpclibServer(Newest, grpclib.server.Server):
    def __init__(self, service: Echo) -> None:
        super().__init__([service], config=CONFIG)


@dataclass(frozen=True)
class Library:
    """What a scenario is tried on, and how to see inside its connections."""

    server: Callable[[Echo], Any]
    channel: Callable[..., Any]
    most_streams: int
    unsent: Callable[[Any], int]
    """Bytes that a connection of the server keeps for a peer that does not read."""
    streams: Callable[[Any], int]
    transport: Callable[[Any], Any]


OURS = Library(
    OurServer,
    partial(Channel, backoff=Backoff(initial=3600.0, maximum=3600.0)),
    LIMITS.max_concurrent_streams,
    lambda it: it.write_buffer.buffered_bytes,
    lambda it: len(it.connection.streams),
    lambda it: it.write_buffer,
)
GRPCLIB = Library(
    GrpclibServer,
    grpclib.client.Channel,
    100,
    lambda it: it._transport.get_write_buffer_size(),
    lambda it: len(it.processor.streams),
    lambda it: it._transport,
)


@dataclass
class Scene:
    """A server, and somebody who is connected to it and does no harm."""

    library: Library
    service: Echo
    server: Any
    port: int
    bystander: RawClient

    def client(self) -> AbstractAsyncContextManager[RawClient]:
        return raw_client(self.port)


@pytest.fixture(params=[OURS, GRPCLIB], ids=["ours", "grpclib"])
async def here(request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    library, service = request.param, Echo()
    server = library.server(service)
    await server.start("127.0.0.1", 0)
    port = server._server.sockets[0].getsockname()[1]
    async with raw_client(port) as bystander:
        yield Scene(library, service, server, port, bystander)
    server.close()
    await asyncio.wait_for(server.wait_closed(), TIMEOUT)


# Data


async def an_empty_data_frame(here: Scene) -> object:
    async with here.client() as client:
        client.h2.send_headers(1, request_headers())
        client.h2.send_data(1, ADA)
        client.h2.send_data(1, b"")
        client.h2.send_data(1, BOB, end_stream=True)
        client.flush()
        return await answers(client, 1)


# Frames


async def a_frame_to_ignore(here: Scene, ignored: bytes) -> object:
    async with here.client() as client:
        client.h2.send_headers(1, request_headers())
        client.send_raw(ignored)
        client.h2.send_data(1, ADA, end_stream=True)
        client.flush()
        return await answers(client, 1)


async def the_goaway_for(here: Scene, wrong: bytes) -> object:
    async with here.client() as client:
        client.send_raw(wrong)
        goaway = await client.wait_for(ConnectionTerminated)
        await client.wait_closed()
        return goaway.error_code


# Streams


async def a_reset_with_the_headers(here: Scene) -> object:
    """How many streams are left when the window that they took is given back."""
    async with here.client() as client:
        for stream_id in (1, 3, 5):
            client.h2.send_headers(stream_id, request_headers())
            client.h2.send_data(stream_id, bytes(WINDOW // 4))
            client.h2.reset_stream(stream_id, ErrorCodes.CANCEL)
            client.flush()
        await client.wait_for(WindowUpdated, 0)
        client.h2.ping(b"all read")
        client.flush()
        await client.wait_for(PingAckReceived)
        return here.library.streams(here.server.newest)


async def one_stream_too_many(here: Scene) -> object:
    most = here.library.most_streams
    async with here.client() as client:
        await client.wait_for(RemoteSettingsChanged)
        client.h2.remote_settings[SettingCodes.MAX_CONCURRENT_STREAMS] = 2**31  # never mind
        client.h2.remote_settings.acknowledge()
        last = 1 + 2 * most
        for stream_id in range(1, last + 1, 2):
            client.h2.send_headers(stream_id, request_headers())
        client.flush()
        reset = await client.wait_for(StreamReset, last)
        assert here.library.streams(here.server.newest) == most
        client.h2.send_data(1, ADA, end_stream=True)
        client.flush()
        return reset.error_code, await answers(client, 1)


# Calls that are wrong, or too much


async def a_call(
    here: Scene, *fields: tuple[str, str], data: bytes = b"", **changes: Any
) -> object:
    """How a call ends: with its status and content-type, or the code of its reset."""
    async with here.client() as client:
        client.h2.send_headers(1, [*request_headers(**changes), *fields])
        client.h2.send_data(1, data, end_stream=True)
        client.flush()
        end = await client.wait_for(StreamEnded | StreamReset, 1)
        if isinstance(end, StreamReset):
            return end.error_code
        headers: dict[str, str] = {}
        for event in client.events:
            if isinstance(event, ResponseReceived | TrailersReceived):
                headers |= event.headers
        return headers.get("grpc-status"), headers.get("content-type")


# Ending


async def a_client_that_goes(here: Scene) -> object:
    async with here.client() as client:
        client.h2.send_headers(1, request_headers())
        client.h2.send_data(1, ADA)
        client.send_raw(frame(GOAWAY, 0, 0, bytes(8)))
        client.h2.send_data(1, BOB, end_stream=True)
        client.flush()
        answer = await answers(client, 1)
        await client.wait_closed()
        return answer


async def a_server_that_goes(here: Scene) -> object:
    """It answers the call it has when it gets the next one, which is to be on a new connection."""
    connections: list[H2Connection] = []

    def behave(h2: H2Connection, event: RequestReceived) -> None:
        h2.send_headers(event.stream_id, RESPONSE)
        if not connections:
            h2._data_to_send += frame(GOAWAY, 0, 0, (1).to_bytes(4, "big") + bytes(4))
        else:
            for number, each in enumerate([*connections, h2]):
                each.send_data(1, framed(bytes(Answer(name=f"on connection {number}"))))
                each.send_headers(1, [("grpc-status", "0")], end_stream=True)
        connections.append(h2)

    async with (
        scripted_server(behave, here.library.channel) as channel,
        call(channel) as first,
    ):
        await first.send_request()
        await first.recv_initial_metadata()
        async with call(channel) as second:
            await second.send_request(end=True)
            texts = [message.name async for message in second]
        await first.end()
        return [message.name async for message in first] + texts


async def close_during_a_call(here: Scene) -> object:
    async with here.client() as client:
        client.h2.send_headers(1, request_headers("/test.Echo/Run"))
        client.flush()
        await here.service.started.wait()
        here.server.close()
        response = await client.wait_for(ResponseReceived, 1)
        goaway = await client.wait_for(ConnectionTerminated)
        return dict(response.headers)["grpc-status"], goaway.error_code


async def wait_closed_with_a_client(here: Scene) -> object:
    here.server.close()
    return await here.server.wait_closed()


# Peers that do not read


async def acks_that_are_not_read(here: Scene, asking: bytes) -> object:
    async with frame_client(here.port) as client:
        await client.wait_for(SETTINGS)
        client.writer.transport.pause_reading()
        connection = here.server.newest.connection
        sock = here.library.transport(connection).get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # or the system keeps megabytes
        while here.library.unsent(connection) < 4 * LIMITS.max_control_backlog:
            client.send(asking * 1000)
            await client.writer.drain()
    return "any number is kept"


async def replies_that_are_not_read(here: Scene, window: int) -> object:
    async def handler(stream: ServerStream) -> None:
        while True:
            await stream.send_message(Answer(name="x" * 10_000))

    here.service.handler = handler
    async with here.client() as client:
        client.h2.increment_flow_control_window(window)
        client.h2.send_headers(1, request_headers("/test.Echo/Run"))
        client.h2.increment_flow_control_window(window, 1)
        client.flush()
        await here.service.ended.wait()
    return "ended"


# The channel


async def a_compressed_reply(here: Scene) -> object:
    def behave(h2: H2Connection, event: RequestReceived) -> None:
        h2.send_headers(1, [*RESPONSE, ("grpc-encoding", "gzip")])
        h2.send_data(1, framed(gzip.compress(bytes(Answer(name="Ada"))), compressed=True))
        h2.send_headers(1, [("grpc-status", "0")], end_stream=True)

    async with scripted_server(behave, here.library.channel) as channel, call(channel) as stream:
        await stream.send_request(end=True)
        return (await stream.recv_message()).name


async def calls_that_cannot_connect(here: Scene) -> object:
    """How often calls, eight at once and two later, connect to a server that hangs up."""
    connections = 0

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1

    async def try_it(channel: Any) -> None:
        with suppress(Exception):
            async with call(channel) as stream:
                await stream.send_request()

    async with accepting(hang_up) as address:
        host, _, port = address.rpartition(":")
        context = ssl.create_default_context()
        async with here.library.channel(host, int(port), ssl=context) as channel:
            await asyncio.gather(*(try_it(channel) for _ in range(8)))
            await try_it(channel)
            await try_it(channel)
    return connections


async def a_name_of_two_servers(here: Scene) -> object:
    """The first takes connections and hangs up; the other one is well."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pass

    async def look_up(host: str, port: int, **options: Any) -> list[Any]:
        found = [("127.0.0.1", int(address.rpartition(":")[2])), ("127.0.0.1", here.port)]
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", each) for each in found]

    async with accepting(hang_up) as address:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
            async with here.library.channel("chat", 1) as channel, call(channel) as stream:
                await stream.send_message(Ask(service="Ada"), end=True)
                return (await stream.recv_message()).name


# Handlers


async def a_handler_whose_call_is_reset(here: Scene) -> object:
    """How often its task has been cancelled."""

    async def handler(stream: ServerStream) -> None:
        try:
            await stream.recv_message()
        finally:
            task = asyncio.current_task()
            assert task is not None
            felt.set_result(task.cancelling())

    felt: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    here.service.handler = handler
    async with here.client() as client:
        client.h2.send_headers(1, request_headers("/test.Echo/Run"))
        client.flush()
        await here.service.started.wait()
        client.h2.reset_stream(1, ErrorCodes.CANCEL)
        client.flush()
        return await felt


Scenario = Callable[[Scene], Awaitable[object]]
FAULTS: dict[str, tuple[Scenario, object, object]] = {
    # The fault: its scenario, then what comes of it here and with plain grpclib, which may be the
    # class of an exception.
    "an empty DATA frame ends the read": (
        an_empty_data_frame,
        (["Ada", "Bob"], "0"),
        (["Ada"], "0"),
    ),
    "a frame of an unknown type drops the connection": (
        partial(a_frame_to_ignore, ignored=frame(UNKNOWN, 0xFF, 1, b"what is this?")),
        (["Ada"], "0"),
        ClosedByPeer,
    ),
    "PRIORITY_UPDATE drops the connection": (
        partial(a_frame_to_ignore, ignored=frame(PRIORITY_UPDATE, 0, 0, b"\0\0\0\1u=1")),
        (["Ada"], "0"),
        ClosedByPeer,
    ),
    "a reset in the same read as the headers keeps stream and window": (
        a_reset_with_the_headers,
        0,
        NOTHING,
    ),
    "a protocol error closes without GOAWAY": (
        partial(the_goaway_for, wrong=frame(PING, 0, 0, b"hello")),  # which has 8 bytes
        ErrorCodes.FRAME_SIZE_ERROR,
        ClosedByPeer,
    ),
    "one stream too many drops the connection": (
        one_stream_too_many,
        (ErrorCodes.REFUSED_STREAM, (["Ada"], "0")),
        ClosedByPeer,
    ),
    "a call without :method is not answered": (
        partial(a_call, __method=None),
        ErrorCodes.PROTOCOL_ERROR,
        NOTHING,
    ),
    "a call with a malformed -bin value is not answered": (
        partial(a_call, raw_bin="A"),
        ("3", PROTO),
        NOTHING,
    ),
    "a call with a huge grpc-timeout is not answered": (
        partial(a_call, grpc_timeout="9" * 400 + "S"),
        ("3", PROTO),
        NOTHING,
    ),
    "a malformed grpc-timeout is answered without content-type": (
        partial(a_call, grpc_timeout="soon"),
        ("3", PROTO),
        ("2", None),
    ),
    "an unknown method is answered without content-type": (
        partial(a_call, __path="/test.Echo/Nothing"),
        ("12", PROTO),
        ("12", None),
    ),
    "an uppercase name is taken": (
        partial(a_call, X_Upper="x"),
        ErrorCodes.PROTOCOL_ERROR,
        ("0", PROTO),
    ),
    "a header of the connection is taken": (
        partial(a_call, connection="close"),
        ErrorCodes.PROTOCOL_ERROR,
        ("0", PROTO),
    ),
    "a te that is not trailers is taken": (
        lambda here: a_call(here, ("te", "gzip"), ("te", "trailers"), te=None),
        ErrorCodes.PROTOCOL_ERROR,
        ("0", PROTO),
    ),
    "a pseudo-header after others is taken": (
        lambda here: a_call(here, (":scheme", "http"), __scheme=None),
        ErrorCodes.PROTOCOL_ERROR,
        ("0", PROTO),
    ),
    "a client's GOAWAY ends its calls": (
        a_client_that_goes,
        (["Ada", "Bob"], "0"),
        ClosedByPeer,
    ),
    "a server's GOAWAY ends its calls, instead of a new connection beside them": (
        a_server_that_goes,
        ["on connection 0", "on connection 1"],
        StreamTerminatedError,
    ),
    "close cancels calls without status or GOAWAY": (
        close_during_a_call,
        ("14", ErrorCodes.NO_ERROR),
        NOTHING,
    ),
    "wait_closed waits for clients on Python 3.12 and later": (
        wait_closed_with_a_client,
        None,
        NOTHING if sys.version_info >= (3, 12) else None,
    ),
    "a message of any size is read": (
        partial(a_call, data=framed(bytes(Ask(service="x" * LIMITS.max_message_size)))),
        ("8", PROTO),
        ("0", PROTO),
    ),
    "answers to PING are kept without bound": (
        partial(acks_that_are_not_read, asking=frame(PING, 0, 0, bytes(8))),
        ConnectionError,
        "any number is kept",
    ),
    "answers to SETTINGS are kept without bound": (
        partial(acks_that_are_not_read, asking=frame(SETTINGS, 0, 0, b"")),
        ConnectionError,
        "any number is kept",
    ),
    "a write to a peer that does not read waits for ever": (
        partial(replies_that_are_not_read, window=2**30),
        "ended",
        NOTHING,
    ),
    "a write to a call that does not read waits for ever": (
        partial(replies_that_are_not_read, window=1),
        "ended",
        NOTHING,
    ),
    "a frame that is too large is waited for": (
        partial(the_goaway_for, wrong=b"\xff\xff\xff" + frame(DATA, 0, 1, b"")[3:] + bytes(50_000)),
        ErrorCodes.FRAME_SIZE_ERROR,
        NOTHING,
    ),
    "a compressed message is not read by a server": (
        partial(a_call, data=framed(gzip.compress(ADA[5:]), compressed=True), grpc_encoding="gzip"),
        ("0", PROTO),
        ("2", PROTO),
    ),
    "a compressed message is not read by a channel": (
        a_compressed_reply,
        "Ada",
        NotImplementedError,
    ),
    "each call makes its own attempt to connect, whatever came of others": (
        calls_that_cannot_connect,
        1,
        10,
    ),
    "an address whose server hangs up keeps the next from being tried": (
        a_name_of_two_servers,
        "Ada",
        StreamTerminatedError,
    ),
    "a handler is cancelled twice": (
        a_handler_whose_call_is_reset,
        1,
        2,
    ),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_fault(name: str, here: Scene) -> None:
    """It is mended here, and it is there in plain grpclib."""
    scenario, ours, grpclibs = FAULTS[name]
    expected = ours if here.library is OURS else grpclibs
    seen = asyncio.ensure_future(scenario(here))
    await asyncio.wait([seen], timeout=SHORT if expected is NOTHING else HANGING)
    if not seen.done():
        here.bystander.h2.ping(b"are you?")
        here.bystander.flush()
        await here.bystander.wait_for(PingAckReceived)
        assert not seen.done()
        seen.cancel()
        await asyncio.wait([seen])
        assert expected is NOTHING
    elif isinstance(expected, type):
        with pytest.raises(expected):
            seen.result()
    else:
        assert seen.result() == expected


def test_h2_refuses_to_work_after_goaway() -> None:
    """h2, by itself, takes nothing after a GOAWAY, so ours never shows it one without error."""
    h2 = H2Connection(H2Configuration(client_side=True))
    h2.initiate_connection()
    h2.receive_data(frame(SETTINGS, 0, 0, b"") + frame(GOAWAY, 0, 0, bytes(8)))
    with pytest.raises(ProtocolError):
        h2.receive_data(frame(PING, 0, 0, bytes(8)))
