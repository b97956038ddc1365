"""Tests of wire/client/dialer.py, on real sockets."""

from __future__ import annotations

import asyncio
import ssl
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from chatify_stream.address import parse_address
from chatify_stream.wire import CHANNEL_LIMITS, Server
from chatify_stream.wire.client.dialer import Dialer, DialError
from chatify_stream.wire.client.protocol import ClientProtocol
from chatify_stream.wire.client.resolver import Endpoint
from chatify_stream.wire.client.state import Failure
from chatify_stream.wire.connection.registry import Connections
from chatify_stream.wire.grpclib_internals import Configuration

from ..peers import accepting, full, refusing, silent
from ..services import Echo


class Dial:
    """One attempt and its result."""

    def __init__(self, location: str, *, timeout: float = 10, tls: bool = False) -> None:
        self.connections = Connections()
        self.lost: list[ClientProtocol] = []
        self._location = location
        self._dialer = Dialer(
            Configuration().__for_client__(),
            timeout=timeout,
            limits=CHANNEL_LIMITS,
            ssl_context=ssl.create_default_context() if tls else None,
        )

    async def connect(self) -> ClientProtocol:
        path = self._location
        address = path if path.startswith("/") else parse_address(path)
        return await self._dialer.dial(
            Endpoint(address, path, None if path.startswith("/") else "127.0.0.1"),
            connections=self.connections,
            on_capacity=lambda: None,
            on_lost=self.lost.append,
        )

    async def failure(self) -> Failure:
        """Return why the attempt failed. It must leave no connection."""
        with pytest.raises(DialError) as caught:
            await self.connect()
        async with asyncio.timeout(10):
            while self.connections:
                await asyncio.sleep(0)
        return caught.value.failure


async def test_a_server(server: Server) -> None:
    """The connection is returned after the SETTINGS, and is in the registry while open."""
    dial = Dial(f"127.0.0.1:{server.port}")
    connection = await dial.connect()
    assert connection.greeting.result()
    assert connection.is_usable
    assert list(dial.connections) == [connection]
    connection.abort()
    async with asyncio.timeout(10):
        while dial.connections:
            await asyncio.sleep(0)
    assert set(dial.lost) == {connection}
    assert not connection.is_usable


async def test_a_unix_socket(tmp_path: Path) -> None:
    """A Unix socket is connected by its path."""
    path = str(tmp_path / "chat.sock")
    server = Server([Echo()])
    await server.start(path=path)
    connection = await Dial(path).connect()
    assert connection.endpoint.location == path
    connection.abort()
    server.close()
    await server.wait_closed()


async def test_nothing_listens(tmp_path: Path) -> None:
    """A refused connection or a missing Unix socket may be retried at once."""
    with refusing() as address:
        assert await Dial(address).failure() == Failure("Connection refused", retry_at_once=True)
    path = str(tmp_path / "chat.sock")
    assert await Dial(path).failure() == Failure("No such file or directory", retry_at_once=True)


@pytest.mark.parametrize(
    "peer",
    [
        silent,
        pytest.param(
            full,
            marks=pytest.mark.skipif(
                sys.platform != "linux", reason="other systems refuse connections over the backlog"
            ),
        ),
    ],
)
async def test_no_answer(peer: type[AbstractContextManager[str]]) -> None:
    """A peer that does not answer fails the attempt after its timeout."""
    with peer() as address:
        assert await Dial(address, timeout=0.1).failure() == Failure("no answer within 0.1 s")


async def test_not_http_2() -> None:
    """An answer in another protocol is reported as such."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with accepting(answer) as address:
        failure = await Dial(address).failure()
    assert failure.not_grpc
    assert failure.reason.startswith("does not speak gRPC (it began with b'HTTP/1.1 400")


async def test_closed_without_an_answer() -> None:
    """A connection that is closed at once is not retried immediately."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pass

    async with accepting(hang_up) as address:
        failure = await Dial(address).failure()
    assert failure.reason in (
        "the server closed the connection without an answer",
        "Connection reset by peer",
    )
    assert not failure.retry_at_once


async def test_settings_in_pieces() -> None:
    """The connection is ready after the complete SETTINGS frame."""
    release = asyncio.Event()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes([0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3]))
        await writer.drain()
        await release.wait()
        writer.write(bytes([0, 0, 0, 7]))
        await reader.read()

    async with accepting(greet) as address:
        dial = Dial(address)
        connecting = asyncio.create_task(dial.connect())
        while not dial.connections:
            await asyncio.sleep(0)
        (early,) = dial.connections
        while not early.bytes_received:
            await asyncio.sleep(0)
        assert not early.greeting.done()
        release.set()
        connection = await connecting
        assert connection is early
        assert connection.free_streams == 7
        connection.abort()


async def test_tls_to_a_server_without(server: Server) -> None:
    """A failed TLS handshake is reported as such."""
    failure = await Dial(f"127.0.0.1:{server.port}", tls=True).failure()
    assert failure.reason.startswith("TLS failed (")


async def test_no_route(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the system has the text of the system, not of asyncio."""

    async def no_route(*args: object, **options: object) -> None:
        raise OSError(113, "Connect call failed ('127.0.0.1', 9)")

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", no_route)
    assert await Dial("127.0.0.1:9").failure() == Failure("No route to host")


async def test_cancelled(server: Server) -> None:
    """An attempt that is cancelled at any point leaves no connection and no socket."""
    with silent() as address:
        for turns in range(12):
            dial = Dial(address)
            attempt = asyncio.create_task(dial.connect())
            for _ in range(turns):
                await asyncio.sleep(0)
            attempt.cancel()
            await asyncio.wait([attempt])
            assert attempt.cancelled()
            async with asyncio.timeout(10):
                while dial.connections:
                    await asyncio.sleep(0)
