"""Tests of assembly/chat_server.py, over real connections."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable

import pytest

from chatify_stream import (
    Channel,
    ChatReq,
    ChatRsp,
    ChatServer,
    Limits,
    ListenError,
    ServiceStub,
    Status,
    StatusError,
    UnavailableError,
    UsageError,
)
from chatify_stream.messages.grpc.health.v1 import (
    HealthBase,
    HealthCheckRequest,
    HealthCheckResponse,
)
from chatify_stream.wire import Cardinality

from ..server.talking import answers, client, serving


class Ours(HealthBase):
    """A betterproto2 service; only its name is not that of the health service."""

    async def check(self, message: HealthCheckRequest) -> HealthCheckResponse:
        return HealthCheckResponse()

    def __mapping__(self):
        mapping = super().__mapping__()
        return {path.replace("grpc.health.v1", "our.v1"): each for path, each in mapping.items()}


class TestAssembly:
    async def test_another_service(self) -> None:
        """A betterproto2 service is served beside Chat."""
        async with serving(services=[Ours()]) as server:
            async with Channel("127.0.0.1", server.port) as channel:
                async with channel.request(
                    "/our.v1.Health/Check",
                    Cardinality.UNARY_UNARY,
                    HealthCheckRequest,
                    HealthCheckResponse,
                ) as stream:
                    await stream.send_message(HealthCheckRequest())
                    assert await stream.recv_message() == HealthCheckResponse()

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"reply": str, "handler": print}, "not both"),
            ({"reply": "Hello"}, "reply= is a function"),
            ({"handler": 5}, "handler= is a function"),
            ({"services": [object()]}, "is not a grpclib or betterproto2 service"),
            ({"services": [Ours(), Ours()]}, "/our.v1.Health/Check is served already"),
            ({"paths": ["Chat"]}, "write /Service/Method"),
        ],
    )
    def test_wrong_use(self, options: dict[str, object], text: str) -> None:
        """What cannot be served is refused when the server is made, and the text says why."""
        with pytest.raises(UsageError, match=text):
            ChatServer(**options)

    async def test_wrong_order(self) -> None:
        """What cannot be done yet, or any more, says so."""
        server = ChatServer()
        with pytest.raises(UsageError, match="was not started"):
            _ = server.port
        with pytest.raises(UsageError, match="was not started"):
            await server.wait_closed()
        for numbers in (server.statistics, server.connection_statistics):
            with pytest.raises(UsageError, match="was not started"):
                numbers()
        assert server.open_calls == 0
        await server.close()
        await server.drain()
        await server.start("127.0.0.1", 0)
        with pytest.raises(UsageError, match="started already"):
            await server.start("127.0.0.1", 0)
        with pytest.raises(UsageError, match="before start"):
            server.add_service(Ours())
        await server.close()
        await server.close()
        await server.drain()

    async def test_statistics(self) -> None:
        """The server tells what it has done, in all and on each open connection."""
        async with serving() as server:
            async with client(server) as chat:
                await chat.send("Ada")
                await chat.receive()
                (connection,) = server.connection_statistics()
                assert (connection.streams, connection.messages_received) == (1, 1)
                await chat.close_and_recv()
            assert server.statistics().calls_ended == {"OK": 1}
            assert server.statistics().messages_sent == 1

    async def test_broken_descriptor_sets(self) -> None:
        """What is not a descriptor set is refused at the start."""
        server = ChatServer(reflection=True, descriptor_sets=[b"\x0a"])
        with pytest.raises(UsageError, match="FileDescriptorSet"):
            await server.start("127.0.0.1", 0)

    async def test_a_port_in_use(self) -> None:
        """A server that could not listen may be started again, elsewhere."""
        async with serving() as first:
            second = ChatServer()
            with pytest.raises(ListenError, match="in use"):
                await second.start("127.0.0.1", first.port)
            await second.start("127.0.0.1", 0)
            assert await answers(second, "Ada") == ["Hello Ada"]
            await second.close()

    async def test_made_outside_of_a_loop(self) -> None:
        """A server can be made before there is an event loop."""
        server = await asyncio.to_thread(ChatServer)
        await server.start("127.0.0.1", 0)
        assert await answers(server, "Ada") == ["Hello Ada"]
        await server.close()

    async def test_wait_closed(self) -> None:
        """Who waits for the server to close wakes when it has."""
        async with serving() as server:
            waiting = asyncio.create_task(server.wait_closed())
            await asyncio.sleep(0)
            assert not waiting.done()
            await server.close()
            await asyncio.wait_for(waiting, 10)


class TestStopping:
    async def test_drain(self) -> None:
        """An open stream is answered to its end while the server drains."""
        async with serving() as server, client(server) as chat:
            await chat.send("before")
            assert await chat.receive() == ChatRsp(message="Hello before")
            draining = asyncio.create_task(server.drain(60))
            await asyncio.sleep(0)
            await chat.send("after")
            assert await chat.close_and_recv() == ChatRsp(message="Hello after")
            await asyncio.wait_for(draining, 10)

    async def test_close(self) -> None:
        """When the server is closed an open stream is UNAVAILABLE at once."""
        async with serving() as server, client(server) as chat:
            await chat.send("before")
            await chat.receive()
            await server.close()
            with pytest.raises(UnavailableError, match="shutting down"):
                await chat.receive()

    @pytest.mark.parametrize("end", [ChatServer.close, lambda server: server.drain(0)])
    async def test_end_of_a_drain(self, end: Callable[[ChatServer], Awaitable[None]]) -> None:
        """While the server drains, close or a drain with less grace ends the wait."""
        async with serving() as server, client(server) as chat:
            await chat.send("before")
            await chat.receive()
            draining = asyncio.create_task(server.drain(math.inf))
            await asyncio.sleep(0)
            await end(server)
            await asyncio.wait_for(draining, 10)
            with pytest.raises(UnavailableError):
                await chat.receive()

    @pytest.mark.parametrize("grace", [-1, -math.inf, math.nan])
    async def test_no_grace(self, grace: float) -> None:
        """A grace that is no time is refused, and the server goes on."""
        async with serving() as server:
            with pytest.raises(UsageError, match=f"a number of seconds from 0, not {grace}"):
                await server.drain(grace)
            assert await answers(server, "Ada") == ["Hello Ada"]


async def test_a_second_try_to_start() -> None:
    """A server that could not listen can be started elsewhere, with its rooms."""
    async with serving() as other, ChatServer() as server:
        with pytest.raises(ListenError):
            await server.start("127.0.0.1", other.port)
        await server.start("127.0.0.1", 0)
        assert (await server.rooms.publish("lobby", "Ada", "hello")).offset == 1


async def test_other_limits_while_it_runs() -> None:
    """They count for connections that are made from then on; those that are open keep theirs."""
    async with ChatServer() as server:
        await server.start("127.0.0.1", 0)
        assert server.limits == Limits()
        async with Channel("127.0.0.1", server.port) as before:
            stub = ServiceStub(before)
            assert [r.message async for r in stub.chat([ChatReq(name="x" * 100)])]
            server.limits = Limits(max_message_size=50)
            assert [r.message async for r in stub.chat([ChatReq(name="x" * 100)])]
            async with Channel("127.0.0.1", server.port) as after:
                with pytest.raises(StatusError) as caught:
                    [r async for r in ServiceStub(after).chat([ChatReq(name="x" * 100)])]
    assert caught.value.status is Status.RESOURCE_EXHAUSTED
