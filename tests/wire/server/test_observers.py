"""Tests of wire/server/observers.py."""

from __future__ import annotations

import logging

import pytest
from hpack import Encoder

from chatify_stream import (
    Channel,
    ChatClient,
    ChatServer,
    Limits,
    Status,
    StatusError,
    UnavailableError,
)
from chatify_stream.messages.grpc.health.v1 import HealthCheckRequest, HealthStub
from chatify_stream.wire import CallEnd, ConnectionStatistics, ServerObserver, ServerStream
from chatify_stream.wire.http2.frame_types import END_HEADERS, HEADERS, PING, RST_STREAM

from ..raw import frame, frame_client, request_headers

CHAT = "/service.v1.Service/Chat"


class Recorder(ServerObserver):
    """Records its calls."""

    def __init__(self, name: str = "it", told: list[str] | None = None) -> None:
        self._name = name
        self.told: list[str] = [] if told is None else told

    def connection_opened(self, address: str | None) -> None:
        self.told.append(f"{self._name}: opened from {address}")

    def connection_refused(self, address: str | None) -> None:
        self.told.append(f"{self._name}: refused {address}")

    def connection_closed(self, statistics: ConnectionStatistics, reason: str | None) -> None:
        self.told.append(f"{self._name}: closed after {statistics.streams_opened}, {reason}")

    def call_started(self, stream: ServerStream) -> CallEnd:
        self.told.append(f"{self._name}: began for {stream.metadata.get('x-name')}")

        def ended(status: Status | None, message: str | None) -> None:
            self.told.append(f"{self._name}: ended {status and status.name} {message}")

        return ended


class Failing(ServerObserver):
    """Raises in every method."""

    def connection_opened(self, address: str | None) -> None:
        raise RuntimeError("opened")

    def connection_refused(self, address: str | None) -> None:
        raise RuntimeError("refused")

    def connection_closed(self, statistics: ConnectionStatistics, reason: str | None) -> None:
        raise RuntimeError("closed")

    def call_started(self, stream: ServerStream) -> CallEnd:
        raise RuntimeError("started")


async def chat(port: int) -> str:
    async with ChatClient(f"127.0.0.1:{port}", metadata={"x-name": "ada"}) as client:
        await client.send("gene")
        return (await client.close_and_recv()).message


async def test_what_is_told() -> None:
    """Observers see connections and calls with details and ends, in reverse order at the end."""
    told: list[str] = []
    observers = [Recorder("a", told), Recorder("b", told)]
    async with ChatServer(observers=observers) as server:
        await server.start("127.0.0.1", 0)
        assert await chat(server.port) == "Hello gene"
    assert told == [
        "a: opened from 127.0.0.1",
        "b: opened from 127.0.0.1",
        "a: began for ada",
        "b: began for ada",
        "b: ended OK None",
        "a: ended OK None",
        "a: closed after 1, None",
        "b: closed after 1, None",
    ]


async def test_refused_connection() -> None:
    """A rejected connection is reported."""
    recorder = Recorder()
    async with ChatServer(observers=[recorder], limits=Limits(max_connections=1)) as server:
        await server.start("127.0.0.1", 0)
        async with Channel("127.0.0.1", server.port) as first:
            await first.connect()
            with pytest.raises(UnavailableError):
                await chat(server.port)
    assert "it: refused 127.0.0.1" in recorder.told


async def test_a_call_that_is_reset_at_once() -> None:
    """A call that is reset in the read that opened it is reported but never starts."""
    recorder = Recorder()
    async with ChatServer(observers=[recorder]) as server:
        await server.start("127.0.0.1", 0)
        async with frame_client(server.port) as client:
            block = Encoder().encode(request_headers(CHAT))
            reset = (8).to_bytes(4, "big")
            client.send(
                *(
                    frame(HEADERS, END_HEADERS, number, block) + frame(RST_STREAM, 0, number, reset)
                    for number in range(1, 2 * 50, 2)
                ),
                frame(PING, 0, 0, b"12345678"),
            )
            await client.wait_for(PING)
            assert server.open_calls == 0
            assert server.statistics().calls_opened == 50
            assert server.statistics().calls_ended == {"RESET": 50}
    assert not any("began" in each for each in recorder.told)


async def test_status() -> None:
    """The end of a call is a status with its message, or a reset."""

    def refuse(name: str) -> str:
        raise StatusError(Status.OUT_OF_RANGE, f"not {name}")

    recorder = Recorder()
    async with ChatServer(observers=[recorder], reply=refuse) as server:
        await server.start("127.0.0.1", 0)
        with pytest.raises(StatusError):
            await chat(server.port)
        async with Channel("127.0.0.1", server.port) as channel:
            watching = HealthStub(channel).watch(HealthCheckRequest())
            await anext(watching)
            await watching.aclose()
    assert [each for each in recorder.told if "ended" in each] == [
        "it: ended OUT_OF_RANGE not gene",
        "it: ended None None",
    ]


async def test_failing_observers(caplog: pytest.LogCaptureFixture) -> None:
    """An observer that raises is logged, and affects neither calls nor other observers."""

    def end(status: Status | None, message: str | None) -> None:
        raise RuntimeError("ended")

    class FailingAtTheEnd(ServerObserver):
        def call_started(self, stream: ServerStream) -> CallEnd:
            return end

    recorder = Recorder()
    async with ChatServer(observers=[Failing(), FailingAtTheEnd(), recorder]) as server:
        await server.start("127.0.0.1", 0)
        assert await chat(server.port) == "Hello gene"
    assert len(recorder.told) == 4
    failures = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [str(record.exc_info[1]) for record in failures if record.exc_info] == [
        "opened",
        "started",
        "ended",
        "closed",
    ]
