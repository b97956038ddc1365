"""Tests of assembly/chat_server.py, over real connections."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Awaitable, Callable

import pytest
from prometheus_client import CollectorRegistry

from chatify_stream import (
    BrokerError,
    Channel,
    ChatReq,
    ChatRsp,
    ChatServer,
    ClosedError,
    Limits,
    ListenError,
    MetricsOptions,
    RoomOptions,
    ServiceStub,
    ServingStatus,
    Status,
    StatusError,
    UnavailableError,
    UsageError,
)
from chatify_stream.assembly.listener import Listener
from chatify_stream.brokers import MemoryBroker, Subscriber
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
            ({"reply": "Hello"}, "reply= must be a function"),
            ({"handler": 5}, "handler= must be a function"),
            ({"services": [object()]}, "is not a grpclib or betterproto2 service"),
            ({"services": [Ours(), Ours()]}, "/our.v1.Health/Check is already served"),
            ({"paths": ["Chat"]}, "write /Service/Method"),
        ],
    )
    def test_wrong_use(self, options: dict[str, object], text: str) -> None:
        """Wrong arguments are rejected when the server is made, with the reason."""
        with pytest.raises(UsageError, match=text):
            ChatServer(**options)

    async def test_wrong_order(self) -> None:
        """A call at the wrong time is rejected with the reason."""
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
        with pytest.raises(UsageError, match="already started"):
            await server.start("127.0.0.1", 0)
        with pytest.raises(UsageError, match="before start"):
            server.add_service(Ours())
        await server.close()
        await server.close()
        await server.drain()

    async def test_statistics(self) -> None:
        """Statistics cover the whole server and each open connection."""
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
        """A descriptor set that cannot be parsed is rejected at the start."""
        server = ChatServer(reflection=True, descriptor_sets=[b"\x0a"])
        with pytest.raises(UsageError, match="FileDescriptorSet"):
            await server.start("127.0.0.1", 0)

    async def test_a_port_in_use(self) -> None:
        """A server that could not listen can be started again, on another port."""
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
        """`wait_closed` returns when the server is closed."""
        async with serving() as server:
            waiting = asyncio.create_task(server.wait_closed())
            await asyncio.sleep(0)
            assert not waiting.done()
            await server.close()
            await asyncio.wait_for(waiting, 10)


class TestStopping:
    async def test_drain(self) -> None:
        """While the server drains, an open stream is served to its end."""
        async with serving() as server, client(server) as chat:
            await chat.send("before")
            assert await chat.receive() == ChatRsp(message="Hello before")
            draining = asyncio.create_task(server.drain(60))
            await asyncio.sleep(0)
            await chat.send("after")
            assert await chat.close_and_recv() == ChatRsp(message="Hello after")
            await asyncio.wait_for(draining, 10)

    async def test_close(self) -> None:
        """When the server closes, an open stream ends with UNAVAILABLE at once."""
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
        """A wrong grace is rejected, and the server goes on."""
        async with serving() as server:
            with pytest.raises(UsageError, match=f"a number of seconds, at least 0, not {grace}"):
                await server.drain(grace)
            assert await answers(server, "Ada") == ["Hello Ada"]


class FailingBroker(MemoryBroker):
    """A broker that fails to open or to close."""

    def __init__(self, *, fails_to: str) -> None:
        super().__init__()
        self._fails_to = fails_to

    async def open(self, subscriber: Subscriber) -> None:
        await super().open(subscriber)
        if self._fails_to == "open":
            raise BrokerError("memory://", "it does not open")

    async def close(self) -> None:
        await super().close()
        if self._fails_to == "close":
            raise BrokerError("memory://", "it does not close")


class TestFailingPart:
    def make(self, fails_to: str) -> tuple[ChatServer, CollectorRegistry]:
        registry = CollectorRegistry()
        rooms = RoomOptions(broker=FailingBroker(fails_to=fails_to), service=True, service_port=0)
        metrics = MetricsOptions(port=0, registry=registry)
        return ChatServer(rooms=rooms, metrics=metrics, log_stalls=60), registry

    @pytest.mark.parametrize("end", [ChatServer.close, ChatServer.drain])
    async def test_close(self, end: Callable[[ChatServer], Awaitable[None]]) -> None:
        """If the broker fails to close, everything else is closed and the error is raised."""
        server, registry = self.make("close")
        await server.start("127.0.0.1", 0)
        ports = server.port, server.rooms_port, server.metrics_port
        assert list(registry.collect())
        with pytest.raises(BrokerError, match="does not close"):
            await end(server)
        for port in ports:
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)
        assert list(registry.collect()) == []
        assert server.health.status() is ServingStatus.NOT_SERVING
        assert not any(thread.name == "chatify-watchdog" for thread in threading.enumerate())
        await asyncio.wait_for(server.wait_closed(), 10)
        await server.close()

    async def test_drain(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """If a port fails to drain, it is closed, and so is everything else."""
        server, registry = self.make("")
        await server.start("127.0.0.1", 0)

        async def fail(listener: Listener, grace: float) -> None:
            raise OSError("does not drain")

        monkeypatch.setattr(Listener, "drain", fail)
        ports = server.port, server.rooms_port, server.metrics_port
        with pytest.raises(OSError, match="does not drain"):
            await server.drain(60)
        for port in ports:
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)
        assert list(registry.collect()) == []

    async def test_start(self) -> None:
        """If the broker fails to open, everything that was started before it is closed."""
        server, registry = self.make("open")
        with pytest.raises(BrokerError, match="does not open"):
            await server.start("127.0.0.1", 0)
        assert list(registry.collect()) == []
        with pytest.raises(UsageError, match="no port"):
            _ = server.metrics_port
        assert not any(thread.name == "chatify-watchdog" for thread in threading.enumerate())
        with pytest.raises(UsageError, match="not started"):
            _ = server.port

    async def test_start_of_the_last_part(self) -> None:
        """If the port is in use, the ports, the broker and the metrics are closed again."""
        async with serving() as other:
            server, registry = self.make("")
            with pytest.raises(ListenError, match="in use"):
                await server.start("127.0.0.1", other.port)
            assert list(registry.collect()) == []
            with pytest.raises(ClosedError):
                await server.rooms.publish("lobby", "Ada", "hello")
            await server.start("127.0.0.1", 0)
            assert len({server.port, server.rooms_port, server.metrics_port, other.port}) == 4
            await server.close()


async def test_a_second_try_to_start() -> None:
    """A server that could not listen can be started again, with its rooms."""
    async with serving() as other, ChatServer() as server:
        with pytest.raises(ListenError):
            await server.start("127.0.0.1", other.port)
        await server.start("127.0.0.1", 0)
        assert (await server.rooms.publish("lobby", "Ada", "hello")).offset == 1


async def test_other_limits_while_it_runs() -> None:
    """New limits apply to connections that are made afterwards, not to open ones."""
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
