"""Tests of wire/server/server.py: listening, and stopping in every state."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    PingAckReceived,
    ResponseReceived,
    TrailersReceived,
)

from chatify_stream.errors import ClosedError, ListenError, UnavailableError, UsageError
from chatify_stream.wire import Cardinality, Channel, Server, ServerStream, Status
from chatify_stream.wire.connection import protocol

from ...support.frames import ACK, GOAWAY, PING
from ..raw import RawClient, frame, framed, raw_client, request_headers
from ..services import Answer, Ask, Echo


class TestListening:
    async def test_port_0_is_one_port_on_all_addresses(self) -> None:
        """Port 0 on a host with several addresses selects the same port on each."""
        server = Server([Echo()])
        await server.start(None, 0)
        try:
            assert {port for _, port in server.addresses} == {server.port}
            assert len(server.addresses) >= 1
        finally:
            server.close()
            await server.wait_closed()

    async def test_a_port_in_use(self, server: Server) -> None:
        """A port in use is an error with the address and reason."""
        with pytest.raises(ListenError) as caught:
            await Server([Echo()]).start("127.0.0.1", server.port)
        assert str(caught.value) == (
            f"cannot listen on 127.0.0.1:{server.port}: "
            "the port is in use by another program; stop it or use another port"
        )

    @pytest.mark.parametrize(
        ("host", "port", "reason"),
        [
            ("nowhere.invalid", 0, "unknown host"),
            ("203.0.113.1", 0, "not an address of this machine"),
            ("127.0.0.1", 70000, "not a valid port; use a number from 0 to 65535"),
            ("a..b", 0, "not a valid host name"),
            ("a\0b", 0, "not a valid host name"),
        ],
    )
    async def test_bad_addresses(self, host: str, port: int, reason: str) -> None:
        """A bad address is an error with the reason."""
        with pytest.raises(ListenError, match=reason):
            await Server([Echo()]).start(host, port)

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("nowhere/chat.sock", "the folder does not exist or does not support sockets"),
            ("file/chat.sock", "part of the path is a file, not a folder"),
            ("file", "a file that is not a socket exists there; remove it or use another path"),
            ("x" * 200, "AF_UNIX path too long"),
            ("a\0b", "not a valid path; pass one such as '/run/chat.sock'"),
        ],
    )
    async def test_bad_paths(self, name: str, reason: str, tmp_path: Path) -> None:
        """A bad path is an error with the path and reason."""
        (tmp_path / "file").touch()
        path = str(tmp_path / name)
        with pytest.raises(ListenError) as caught:
            await Server([Echo()]).start(path=path)
        assert str(caught.value) == f"cannot listen on {path!r}: {reason}"

    async def test_a_path(self, tmp_path: Path) -> None:
        """A path may be a `Path`, and may be a stale socket."""
        path = tmp_path / "chat.sock"
        for _ in range(2):
            server = Server([Echo()])
            await server.start(path=path)
            assert (server.addresses, path.is_socket()) == ([], True)
            server.close()
            await server.wait_closed()

    async def test_an_empty_path(self) -> None:
        """An empty path, which the system would treat as any path, is an error."""
        with pytest.raises(ListenError, match="on '': not a valid path"):
            await Server([Echo()]).start(path="")

    async def test_bad_sockets(self) -> None:
        """A bad socket is an error with the reason."""

        async def refusal(sock: Any) -> str:
            with pytest.raises(ListenError) as caught:
                await Server([Echo()]).start(sock=sock)
            start = f"cannot listen on {caught.value.where}: "
            assert start.startswith("cannot listen on <socket.socket ") or sock == 5
            return str(caught.value).removeprefix(start)

        with socket.socket(type=socket.SOCK_DGRAM) as datagram:
            reason = await refusal(datagram)
        assert reason == "not a stream socket; pass a socket of type SOCK_STREAM"
        assert await refusal(datagram) == reason  # which is closed by now
        with socket.create_server(("127.0.0.1", 0)) as bound:
            with socket.create_connection(bound.getsockname()) as connected:
                assert (await refusal(connected)).startswith("the socket is connected")
        assert await refusal(bound) == "the socket is closed"
        assert await refusal(5) == "not a socket; pass a socket.socket"

    @pytest.mark.parametrize(
        "where",
        [
            {},
            {"port": 0, "path": "chat.sock"},
            {"path": "chat.sock", "sock": object()},
            {"host": "127.0.0.1", "sock": object()},
        ],
    )
    async def test_one_place(self, where: dict[str, Any]) -> None:
        """Exactly one of address, path and socket is required."""
        with pytest.raises(UsageError, match="a host and port, on a path, or on a socket"):
            await Server([Echo()]).start(**where)

    async def test_before_the_start(self) -> None:
        """Closing a server that was not started is an error."""
        server = Server([Echo()])
        assert server.addresses == []
        with pytest.raises(UsageError, match="start"):
            _ = server.port
        with pytest.raises(RuntimeError, match="not started"):
            server.close()

    async def test_a_socket_of_the_caller(self) -> None:
        """The server can listen on an existing socket."""
        sock = socket.create_server(("127.0.0.1", 0))
        server = Server([Echo()])
        await server.start(sock=sock)
        try:
            assert server.port == sock.getsockname()[1]
        finally:
            server.close()
            await server.wait_closed()


class TestClosing:
    async def test_without_clients(self) -> None:
        """An unused server closes, and may be closed again."""
        server = Server([Echo()])
        await server.start("127.0.0.1", 0)
        server.close()
        server.close()
        await asyncio.wait_for(server.wait_closed(), 10)

    async def test_with_a_silent_client(self, server: Server) -> None:
        """A silent client does not delay closing."""
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        while server.connections == 0:
            await asyncio.sleep(0)
        server.close()
        await asyncio.wait_for(server.wait_closed(), 10)
        assert server.connections == 0
        writer.close()

    async def test_with_an_idle_connection(self, server: Server, client: RawClient) -> None:
        """A connection without calls gets a GOAWAY and is closed."""
        client.h2.ping(b"12345678")
        client.flush()
        await client._read()
        server.close()
        await asyncio.wait_for(server.wait_closed(), 10)
        event = await client.wait_for(ConnectionTerminated)
        assert event.error_code == ErrorCodes.NO_ERROR
        await client.wait_closed()

    async def test_with_an_open_call(
        self, server: Server, service: Echo, client: RawClient
    ) -> None:
        """An open call gets its status, then the connection a GOAWAY."""
        client.h2.send_headers(1, request_headers("/test.Echo/Run"))
        client.flush()
        await service.started.wait()
        server.close()
        await asyncio.wait_for(server.wait_closed(), 10)
        headers = dict((await client.wait_for(ResponseReceived, 1)).headers)
        assert headers["grpc-status"] == str(Status.UNAVAILABLE.value)
        await client.wait_for(ConnectionTerminated)
        assert service.ended.is_set()
        assert server.open_calls == 0

    async def test_with_a_client_that_does_not_read(self, server: Server, service: Echo) -> None:
        """A client that does not read is aborted."""

        async def handler(stream: ServerStream) -> None:
            while True:
                await stream.send_message(Answer(name="x" * 100_000))

        service.handler = handler
        h2 = H2Connection(H2Configuration(client_side=True))
        h2.initiate_connection()
        h2.increment_flow_control_window(2**30)
        h2.send_headers(1, request_headers("/test.Echo/Run"))
        h2.increment_flow_control_window(2**30, 1)
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(("127.0.0.1", server.port))
            sock.sendall(h2.data_to_send())
            await service.started.wait()
            (connection,) = server._connections
            while connection.connection.write_ready.is_set():
                await asyncio.sleep(0)
            server.close()
            await asyncio.wait_for(server.wait_closed(), 10)
            assert (server.connections, server.open_calls) == (0, 0)

    async def test_a_handler_that_ignores_cancellation(
        self, server: Server, service: Echo, client: RawClient
    ) -> None:
        """A handler that ignores cancellation does not delay closing."""
        release = asyncio.Event()

        async def handler(stream: ServerStream) -> None:
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue

        service.handler = handler
        client.h2.send_headers(1, request_headers("/test.Echo/Run"))
        client.flush()
        await service.started.wait()
        server.close()
        await asyncio.wait_for(server.wait_closed(), 10)
        release.set()
        await asyncio.wait_for(service.ended.wait(), 10)

    async def test_start_again(self, server: Server) -> None:
        """A server can be started only once."""
        with pytest.raises(RuntimeError, match="started already"):
            await server.start("127.0.0.1", 0)


class TestDraining:
    async def test_an_open_call_may_end(self, server: Server, channel: Channel) -> None:
        """While the server drains, an open call continues and ends with OK."""
        async with channel.request(
            "/test.Echo/Echo", Cardinality.STREAM_STREAM, Ask, Answer
        ) as stream:
            await stream.send_message(Ask(service="before"))
            assert (await stream.recv_message()).name == "before"
            draining = asyncio.create_task(server.drain(60))
            await asyncio.sleep(0)
            await stream.send_message(Ask(service="after"), end=True)
            assert [message.name async for message in stream] == ["after"]
        await asyncio.wait_for(draining, 10)
        assert server.connections == 0

    async def test_calls_on_their_way(
        self, server: Server, service: Echo, client: RawClient
    ) -> None:
        """A call opened before the peer has seen the GOAWAY is served, a later one is refused."""
        client.h2.send_headers(1, request_headers("/test.Echo/Run"))
        client.flush()
        await service.started.wait()
        draining = asyncio.create_task(server.drain(60))
        await asyncio.sleep(0)
        client.h2.send_headers(3, request_headers())
        client.h2.send_data(3, framed(b""), end_stream=True)
        client.flush()
        goaway = await client.wait_for_frame(GOAWAY)
        assert goaway == (2**31 - 1).to_bytes(4, "big") + bytes(4)
        client.send_raw(frame(PING, ACK, 0, await client.wait_for_frame(PING)))
        trailers = dict((await client.wait_for(TrailersReceived, 3)).headers)
        assert trailers["grpc-status"] == "0"
        client.h2.send_headers(5, request_headers())
        client.h2.send_data(5, framed(b""), end_stream=True)
        client.flush()
        headers = dict((await client.wait_for(ResponseReceived, 5)).headers)
        assert headers["grpc-status"] == str(Status.UNAVAILABLE.value)
        assert headers["grpc-message"] == "the server is shutting down"
        client.h2.end_stream(1)
        client.flush()
        await asyncio.wait_for(draining, 10)
        last = await client.wait_for_frame(GOAWAY, 1)
        assert last == (5).to_bytes(4, "big") + bytes(4)

    async def test_an_idle_connection(self, server: Server, client: RawClient) -> None:
        """A connection without calls is closed when the peer has seen the GOAWAY."""
        client.h2.ping(b"12345678")
        client.flush()
        await client.wait_for(PingAckReceived)
        draining = asyncio.create_task(server.drain(60))
        client.send_raw(frame(PING, ACK, 0, await client.wait_for_frame(PING, 1)))
        await asyncio.wait_for(draining, 10)

    async def test_a_peer_that_does_not_answer(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A peer that does not answer the PING is closed, too."""
        monkeypatch.setattr(protocol, "DRAIN_TIMEOUT", 0.01)
        async with raw_client(server.port) as client:
            client.h2.ping(b"12345678")
            client.flush()
            await client.wait_for(PingAckReceived)
            await asyncio.wait_for(server.drain(60), 10)

    async def test_a_silent_connection(self, server: Server) -> None:
        """A silent peer does not delay draining."""
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        while not server.connections:
            await asyncio.sleep(0)
        await asyncio.wait_for(server.drain(60), 10)
        writer.close()
        await asyncio.wait({asyncio.ensure_future(writer.wait_closed())})

    async def test_our_client_goes_elsewhere(self, server: Server, service: Echo) -> None:
        """A channel keeps its open call and makes a new connection for new calls."""
        other = Server([Echo()])
        await other.start("127.0.0.1", 0)
        target = [f"127.0.0.1:{server.port}", f"127.0.0.1:{other.port}"]
        async with Channel(target=target) as channel:
            async with channel.request(
                "/test.Echo/Echo", Cardinality.STREAM_STREAM, Ask, Answer
            ) as stream:
                await stream.send_message(Ask(service="before"))
                assert (await stream.recv_message()).name == "before"
                draining = asyncio.create_task(server.drain(60))
                while channel._connected:
                    await asyncio.sleep(0)
                async with channel.request(
                    "/test.Echo/Echo", Cardinality.STREAM_STREAM, Ask, Answer
                ) as new:
                    await new.send_message(Ask(service="new"), end=True)
                    assert (await new.recv_message()).name == "new"
                assert not draining.done()
                await stream.send_message(Ask(service="after"), end=True)
                assert [message.name async for message in stream] == ["after"]
            await asyncio.wait_for(draining, 10)
            assert other.connections == 1
        other.close()
        await other.wait_closed()

    async def test_no_new_connections(self, server: Server, service: Echo) -> None:
        """While the server drains, no connection is accepted."""
        async with raw_client(server.port) as client:
            client.h2.send_headers(1, request_headers("/test.Echo/Run"))
            client.flush()
            await service.started.wait()
            port = server.port
            draining = asyncio.create_task(server.drain(60))
            await asyncio.sleep(0)
            with pytest.raises(ConnectionError):
                await asyncio.open_connection("127.0.0.1", port)
            client.h2.end_stream(1)
            client.flush()
            await client.wait_closed()
            await asyncio.wait_for(draining, 10)

    async def test_the_grace_ends(self, server: Server, channel: Channel) -> None:
        """A call that does not end within the grace is UNAVAILABLE."""
        with pytest.raises(UnavailableError, match="shutting down"):
            async with channel.request(
                "/test.Echo/Echo", Cardinality.STREAM_STREAM, Ask, Answer
            ) as stream:
                await stream.send_message(Ask(service="Ada"))
                await stream.recv_message()
                await server.drain(0.1)
                await stream.recv_message()
                await stream.recv_trailing_metadata()

    async def test_close_ends_the_grace(self, server: Server, channel: Channel) -> None:
        """`close` ends a drain early."""
        async with channel.request(
            "/test.Echo/Echo", Cardinality.STREAM_STREAM, Ask, Answer
        ) as stream:
            await stream.send_message(Ask(service="Ada"))
            await stream.recv_message()
            draining = asyncio.create_task(server.drain(3600))
            await asyncio.sleep(0)
            server.close()
            await asyncio.wait_for(draining, 10)
            assert server.open_calls == 0
            await stream.cancel()

    async def test_our_client_after_the_server(self, server: Server, channel: Channel) -> None:
        """After the server is gone, the next call of a channel is UNAVAILABLE."""
        await channel.connect()
        await server.drain(0)
        with pytest.raises(UnavailableError, match="Connection refused"):
            async with channel.request(
                "/test.Echo/Echo", Cardinality.STREAM_STREAM, Ask, Answer
            ) as stream:
                await stream.send_request()
        channel.close()
        with pytest.raises(ClosedError):
            await channel.connect()
