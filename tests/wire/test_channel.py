"""Tests of wire/channel.py: connections, and what becomes of their calls."""

from __future__ import annotations

import asyncio
import socket

import pytest
from h2.connection import H2Connection
from h2.events import RequestReceived

from chatify_stream.errors import (
    ClosedError,
    UnavailableError,
    UsageError,
)
from chatify_stream.wire import Channel, Server

from .calling import call, failure, scripted_server
from .raw import frame
from .services import Ask, Echo


class TestConnections:
    async def test_refused(self) -> None:
        """Nobody there: UNAVAILABLE, with the address and the reason."""
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
            async with Channel("127.0.0.1", port) as channel:
                error = await failure(channel)
        assert type(error) is UnavailableError
        assert error.message == f"cannot connect to 127.0.0.1:{port}: Connection refused"

    async def test_unknown_host(self) -> None:
        """A host that is not known is UNAVAILABLE."""
        async with Channel("nowhere.invalid", 1) as channel:
            error = await failure(channel)
        assert "the host is not known" in str(error)

    @pytest.mark.parametrize(("host", "port"), [("a..b", 1), ("a\0b", 1), ("127.0.0.1", 70000)])
    async def test_no_address(self, host: str, port: int) -> None:
        """A host or port that cannot be is the caller's mistake."""
        async with Channel(host, port) as channel:
            error = await failure(channel)
        assert type(error) is UsageError
        assert "is not an address" in str(error)

    async def test_no_answer(self) -> None:
        """A host that does not answer is UNAVAILABLE after the connect timeout."""
        channel = Channel("127.0.0.1", 1, connect_timeout=0.05)

        async def never(*args: object, **kwargs: object) -> None:
            await asyncio.sleep(3600)

        channel._loop = type("Loop", (), {
            "create_connection": staticmethod(never),
            "create_task": asyncio.get_running_loop().create_task,
        })()  # fmt: skip
        error = await failure(channel)
        channel.close()
        assert str(error).endswith("no answer within 0.05 s")

    async def test_it_is_made_again(self, service: Echo) -> None:
        """After the server was away, the next call connects anew, on the same channel."""
        server = Server([service])
        await server.start("127.0.0.1", 0)
        port = server.port
        async with Channel("127.0.0.1", port) as channel:
            await channel.connect()
            server.close()
            await server.wait_closed()
            assert type(await failure(channel)) is UnavailableError
            server = Server([service])
            await server.start("127.0.0.1", port)
            try:
                async with call(channel) as stream:
                    await stream.send_message(Ask(service="Ada"), end=True)
                    assert (await stream.recv_message()).name == "Ada"
            finally:
                server.close()
                await server.wait_closed()

    async def test_calls_share_an_attempt(self, server: Server) -> None:
        """Calls that start together make one connection."""
        async with Channel("127.0.0.1", server.port) as channel:
            await asyncio.gather(*(channel.connect() for _ in range(20)))
            await channel.connect()
            assert server.connections == 1

    async def test_one_call_gives_up(self, server: Server) -> None:
        """A call that is cancelled while it connects does not take the others with it."""
        async with Channel("127.0.0.1", server.port) as channel:
            first, second = (asyncio.create_task(channel.connect()) for _ in range(2))
            await asyncio.sleep(0)
            first.cancel()
            await second
            assert first.cancelled()

    async def test_closing_while_it_connects(self, server: Server) -> None:
        """A channel that is closed while it connects leaves no connection behind."""
        channel = Channel("127.0.0.1", server.port)
        connecting = asyncio.create_task(channel.connect())
        await asyncio.sleep(0)
        channel.close()
        with pytest.raises(ClosedError):
            await connecting
        await channel.wait_closed()
        while server.connections:
            await asyncio.sleep(0)

    async def test_closing_with_open_calls(self, server: Server) -> None:
        """Calls that are open when their channel is closed end with ClosedError."""
        channel = Channel("127.0.0.1", server.port)
        with pytest.raises(ClosedError):
            async with call(channel) as stream:
                await stream.send_request()
                reading = asyncio.create_task(stream.recv_message())
                await asyncio.sleep(0)
                channel.close()
                await reading
        await channel.wait_closed()
        assert channel.is_closed


class TestGoaway:
    async def test_streams_that_the_server_did_not_take(self) -> None:
        """A GOAWAY that leaves out a call makes it UNAVAILABLE, without waiting for the end."""

        def behave(h2: H2Connection, event: RequestReceived) -> None:
            if event.stream_id == 3:
                h2._data_to_send += frame(0x07, 0, 0, (1).to_bytes(4, "big") + bytes(4))

        async with scripted_server(behave) as channel, call(channel) as first:
            await first.send_request()
            with pytest.raises(UnavailableError, match="REFUSED_STREAM"):
                async with call(channel) as second:
                    await second.send_request(end=True)
                    await second.recv_message()
            await first.cancel()

    async def test_an_idle_channel(self, server: Server, caplog: pytest.LogCaptureFixture) -> None:
        """An idle channel whose server goes closes its connection, whatever came with that."""
        async with Channel("127.0.0.1", server.port) as channel:
            async with call(channel) as stream:
                await stream.send_message(Ask(service="Ada"), end=True)
                assert (await stream.recv_message()).name == "Ada"
            await asyncio.wait_for(server.drain(60), 10)
            assert not channel._connected
            await channel.wait_closed()
        assert caplog.records == []

    async def test_a_goaway_with_an_error(self) -> None:
        """A GOAWAY with an error ends the calls."""

        def behave(h2: H2Connection, event: RequestReceived) -> None:
            h2._data_to_send += frame(0x07, 0, 0, (1).to_bytes(4, "big") + (11).to_bytes(4, "big"))

        async with scripted_server(behave) as channel:
            assert type(await failure(channel)) is UnavailableError
