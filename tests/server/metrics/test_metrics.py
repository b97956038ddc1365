"""Tests of server/metrics/metrics.py, on a server, as Prometheus scrapes it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry, Gauge

from chatify_stream import (
    BrokerError,
    Channel,
    ChatClient,
    ChatServer,
    Limits,
    ListenError,
    MetricsOptions,
    RoomClient,
    RoomOptions,
    Status,
    StatusError,
    UnavailableError,
    UsageError,
    __version__,
)
from chatify_stream.messages.chatify.rooms.v1 import PublishRequest, RoomsStub
from chatify_stream.messages.grpc.health.v1 import HealthCheckRequest, HealthStub
from chatify_stream.server.metrics import exporter
from tests.server.rooms.moody_broker import MoodyBroker
from tests.server.rooms.raw_member import raw_member

from .scraping import Scrape, get, scrape, scrape_until, scraped

CHAT = {
    "grpc_type": "bidi_stream",
    "grpc_service": "service.v1.Service",
    "grpc_method": "Chat",
}
MANY = 1000
OUTBOX = 64 * 1024
LARGEST = 2**30


@pytest.fixture
async def server() -> AsyncIterator[ChatServer]:
    async with make_server() as server:
        await server.start("127.0.0.1", 0)
        yield server


def make_server(**options: Any) -> ChatServer:
    return ChatServer(metrics=MetricsOptions(port=0), **options)


def at(server: ChatServer) -> str:
    return f"127.0.0.1:{server.port}"


async def test_calls(server: ChatServer) -> None:
    """A call is counted when it starts and ends, and its messages while it is open."""
    async with ChatClient(at(server)) as chat:
        for _ in range(3):
            await chat.send("gene")
            await chat.receive()
        found = await scrape(server)
        assert found.value("grpc_server_started_total", **CHAT) == 1
        assert found.value("grpc_server_msg_received_total", **CHAT) == 3
        assert found.value("grpc_server_msg_sent_total", **CHAT) == 3
        assert found.value("grpc_server_handled_total", **CHAT, grpc_code="OK") == 0
        assert found.value("chatify_calls") == 1
        assert found.value("chatify_sessions", kind="direct") == 1
        await chat.close_and_recv()
    found = await scrape(server)
    assert found.value("grpc_server_handled_total", **CHAT, grpc_code="OK") == 1
    assert found.value("grpc_server_msg_received_total", **CHAT) == 3
    assert found.value("grpc_server_msg_sent_total", **CHAT) == 3
    assert found.value("grpc_server_handling_seconds_count", **CHAT) == 1
    assert found.value("grpc_server_handling_seconds_bucket", **CHAT, le="+Inf") == 1
    assert found.value("chatify_calls") == 0
    assert found.value("chatify_sessions", kind="direct") == 0


async def test_types(server: ChatServer) -> None:
    """Each kind of method has its type; a call that the client abandons is Canceled."""
    health = {"grpc_service": "grpc.health.v1.Health"}
    async with Channel("127.0.0.1", server.port) as channel:
        stub = HealthStub(channel)
        await stub.check(HealthCheckRequest())
        watching = stub.watch(HealthCheckRequest())
        await anext(watching)
        await watching.aclose()
    check = {"grpc_type": "unary", "grpc_method": "Check", "grpc_code": "OK"}
    watch = {"grpc_type": "server_stream", "grpc_method": "Watch", "grpc_code": "Canceled"}
    found = await scrape_until(
        server, lambda it: bool(it.values("grpc_server_handled_total", **health, **watch))
    )
    assert found.value("grpc_server_handled_total", **health, **check) == 1
    assert found.value("grpc_server_handled_total", **health, **watch) == 1


async def test_codes() -> None:
    """Statuses are spelled as Go spells them."""

    def refuse(name: str) -> str:
        raise StatusError(Status.INVALID_ARGUMENT, name)

    async with make_server(reply=refuse) as server:
        await server.start("127.0.0.1", 0)
        with pytest.raises(StatusError):
            async with ChatClient(at(server)) as chat:
                await chat.send("gene")
                await chat.receive()
        found = await scrape(server)
        assert found.value("grpc_server_handled_total", **CHAT, grpc_code="InvalidArgument") == 1
        assert found.value("chatify_calls_ended_total", status="INVALID_ARGUMENT") == 1


async def test_grpcio(server: ChatServer) -> None:
    """Calls of another library's client are counted alike."""
    async with grpc.aio.insecure_channel(at(server)) as channel:
        call = channel.stream_stream("/service.v1.Service/Chat")
        replies = [reply async for reply in call(iter([b"\n\x01a", b"\n\x01b"]))]
    assert len(replies) == 2
    found = await scrape(server)
    assert found.value("grpc_server_handled_total", **CHAT, grpc_code="OK") == 1
    assert found.value("grpc_server_msg_received_total", **CHAT) == 2
    assert found.value("chatify_connections_opened_total") == 1


async def test_connections() -> None:
    """Connections are counted: open, and rejected by a limit, which is counted as well."""
    async with make_server(limits=Limits(max_connections=1)) as server:
        await server.start("127.0.0.1", 0)
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        await scrape_until(server, lambda it: it.value("chatify_connections") == 1)
        with pytest.raises(UnavailableError):
            async with ChatClient(at(server)) as chat:
                await chat.send("gene")
                await chat.receive()
        writer.close()
        found = await scrape_until(server, lambda it: it.value("chatify_connections") == 0)
    assert found.value("chatify_connections_opened_total") == 1
    assert found.value("chatify_connections_refused_total") >= 1
    assert found.value("chatify_limit_hits_total", limit="limits.handshake_timeout") == 0
    assert found.value("chatify_limit_hits_total", limit="limits.max_connections") >= 1


async def test_ended_connections() -> None:
    """A connection that a limit ends is counted, and so is the limit."""
    async with make_server(limits=Limits(handshake_timeout=0.1)) as server:
        await server.start("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        while await reader.read(1000):
            pass
        writer.close()
        found = await scrape_until(server, lambda it: it.value("chatify_connections") == 0)
    assert found.value("chatify_connections_opened_total") == 1
    assert found.value("chatify_connections_ended_total", reason="cut_ungreeted") == 1
    assert found.value("chatify_limit_hits_total", limit="limits.handshake_timeout") == 1


async def test_rooms(server: ChatServer) -> None:
    """Sessions, rooms, publications, deliveries and the ends of sessions are counted."""
    async with RoomClient(at(server), room="lobby", user="ada") as ada:
        async with RoomClient(at(server), room="lobby", user="gene") as gene:
            await gene.send("hi")
            await ada.send("hi")
            found = await scrape(server)
            assert found.value("chatify_sessions", kind="room") == 2
            assert found.value("chatify_sessions", kind="direct") == 0
            assert found.value("chatify_rooms") == 1
            assert found.value("chatify_room_sessions_opened_total") == 2
            assert found.value("chatify_room_messages_published_total") == 2
            assert found.value("chatify_broker_call_seconds_count", call="publish") == 2
        server.rooms.disconnect("ada", reconnect=True)
        found = await scrape_until(
            server,
            lambda it: it.value("chatify_room_resumes_total", recovered="true") == 1,
        )
        assert found.value("chatify_room_sessions_ended_total", reason="sent_back") == 1
        assert found.value("chatify_room_deliveries_total") == 4


async def test_slow_readers() -> None:
    """The outbox of a slow reader is measured, and its end by the limit counted."""
    async with make_server(rooms=RoomOptions(max_outbox=OUTBOX)) as server:
        await server.start("127.0.0.1", 0)
        async with raw_member(server) as member:
            for _ in range(5):  # of which its window holds three, and a part of one
                await server.rooms.publish("lobby", "ada", "x" * (OUTBOX // 4))
            found = await scrape_until(
                server, lambda it: it.value("chatify_room_outbox_bytes") > OUTBOX // 4
            )
            assert found.value("chatify_room_slow_readers_total") == 0
            for _ in range(4):
                await server.rooms.publish("lobby", "ada", "x" * (OUTBOX // 4))
            member.grant(LARGEST)
            await member.read_until(lambda: member.is_ended)
            found = await scrape_until(
                server, lambda it: it.value("chatify_room_slow_readers_total") == 1
            )
    assert found.value("chatify_limit_hits_total", limit="rooms.max_outbox") == 1
    assert found.value("chatify_room_outbox_bytes") == 0


async def test_a_broker_that_fails() -> None:
    """Errors of the broker are counted by the call."""
    broker = MoodyBroker()
    broker.failing.add("publish")
    async with make_server(rooms=RoomOptions(broker=broker)) as server:
        await server.start("127.0.0.1", 0)
        with pytest.raises(BrokerError):
            await server.rooms.publish("lobby", "ada", "hi")
        found = await scrape(server)
    assert found.value("chatify_broker_errors_total", call="publish") == 1
    assert found.value("chatify_broker_errors_total", call="read") == 0


async def test_a_broker_that_is_away() -> None:
    """The availability of the broker is exported if there are rooms."""
    broker = MoodyBroker()
    async with make_server(rooms=RoomOptions(broker=broker)) as server:
        await server.start("127.0.0.1", 0)
        assert (await scrape(server)).value("chatify_broker_available") == 1
        broker.is_there = False
        assert (await scrape(server)).value("chatify_broker_available") == 0
    async with make_server(rooms=None) as server:
        await server.start("127.0.0.1", 0)
        assert (await scrape(server)).families["chatify_broker_available"].samples == []


async def test_the_port_of_the_rooms_service() -> None:
    """Calls on the port of the Rooms service are counted."""
    rooms = RoomOptions(service=True, service_port=0)
    async with make_server(rooms=rooms) as server:
        await server.start("127.0.0.1", 0)
        async with Channel("127.0.0.1", server.rooms_port) as channel:
            await RoomsStub(channel).publish(PublishRequest(room="lobby", user="ada", text="hi"))
        found = await scrape(server)
    labels = {"grpc_service": "chatify.rooms.v1.Rooms", "grpc_method": "Publish"}
    assert found.value("grpc_server_handled_total", **labels, grpc_code="OK") == 1
    assert found.value("chatify_connections_opened_total") == 1


async def test_without_rooms() -> None:
    """Without rooms all metrics are exported."""
    async with make_server(rooms=None) as server:
        await server.start("127.0.0.1", 0)
        found = await scrape(server)
    assert found.value("chatify_rooms") == 0
    assert found.value("chatify_room_sessions_ended_total", reason="left") == 0


async def test_bounded_labels(server: ChatServer) -> None:
    """Rooms, users and unknown methods do not add time series."""
    await server.rooms.publish("room", "user", "hi")
    before = (await scrape(server)).series
    for number in range(MANY):
        await server.rooms.publish(f"room {number}", f"user {number}", "hi")
    async with grpc.aio.insecure_channel(at(server)) as channel:
        calls = [channel.unary_unary(f"/bogus.Service/Method{n}")(b"") for n in range(MANY)]
        for call in calls:
            with pytest.raises(grpc.aio.AioRpcError):
                await call
    found = await scrape(server)
    assert found.value("chatify_calls_ended_total", status="UNIMPLEMENTED") == MANY
    assert found.series - before == {("chatify_calls_ended_total", (("status", "UNIMPLEMENTED"),))}


async def test_health() -> None:
    """The health page shows the status of the server."""
    async with make_server() as server:
        await server.start("127.0.0.1", 0)
        response, text = await get(server.metrics_port, "/healthz")
        assert (response.status, text) == (200, "SERVING\n")
        server.health.shut_down()
        response, text = await get(server.metrics_port, "/healthz")
        assert (response.status, text) == (503, "NOT_SERVING\n")


async def test_a_blocked_loop(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The port answers while the event loop is blocked, and reports it."""
    monkeypatch.setattr(exporter, "LOOP_TIMEOUT", 0.05)
    answers: list[tuple[int, str]] = []

    async def ask() -> None:
        for path in ("/healthz", "/metrics"):
            response, text = await get(server.metrics_port, path)
            answers.append((response.status, text))

    asking = threading.Thread(target=asyncio.run, args=(ask(),))
    asking.start()
    asking.join()
    assert answers[0] == (503, "STALLED\n")
    status, text = answers[1]
    assert status == 200
    assert Scrape(text).value("chatify_event_loop_stalled_seconds") >= 0


async def test_a_registry() -> None:
    """A registry has the metrics while the server runs; it can be collected in the loop."""
    registry = CollectorRegistry()
    Gauge("ours", "of the embedder", registry=registry).set(7)
    async with ChatServer(metrics=MetricsOptions(registry=registry)) as server:
        await server.start("127.0.0.1", 0)
        async with ChatClient(at(server)) as chat:
            await chat.send("gene")
            await chat.receive()
            found = scraped(registry)
        with pytest.raises(UsageError, match="have no port"):
            _ = server.metrics_port
    assert found.value("grpc_server_msg_received_total", **CHAT) == 1
    assert found.value("ours") == 7
    assert scraped(registry).families.keys() == {"ours"}


async def test_a_registry_with_a_port() -> None:
    """The port serves the whole registry."""
    registry = CollectorRegistry()
    Gauge("ours", "of the embedder", registry=registry).set(7)
    async with ChatServer(metrics=MetricsOptions(port=0, registry=registry)) as server:
        await server.start("127.0.0.1", 0)
        found = await scrape(server)
    assert found.value("ours") == 7
    assert found.value("chatify_connections") == 0


async def test_two_servers_in_one_registry() -> None:
    """A second server in one registry is rejected, and the first goes on."""
    registry = CollectorRegistry()
    options = MetricsOptions(registry=registry)
    async with ChatServer(metrics=options) as first, ChatServer(metrics=options) as second:
        await first.start("127.0.0.1", 0)
        with pytest.raises(UsageError, match="a registry of its own"):
            await second.start("127.0.0.1", 0)
        assert scraped(registry).value("chatify_connections") == 0


async def test_two_servers() -> None:
    """Servers with separate ports have separate metrics."""
    async with make_server() as first, make_server() as second:
        await first.start("127.0.0.1", 0)
        await second.start("127.0.0.1", 0)
        async with ChatClient(at(first)) as chat:
            await chat.send("gene")
            await chat.receive()
            assert (await scrape(first)).value("chatify_calls") == 1
            assert (await scrape(second)).value("chatify_calls") == 0


async def test_the_process(server: ChatServer) -> None:
    """The metrics of Python and the version are exported."""
    found = await scrape(server)
    assert found.value("python_info") == 1
    assert found.value("chatify_build_info", version=__version__) == 1


async def test_a_port_that_is_taken() -> None:
    """With the metrics port in use the server does not start."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        server = ChatServer(metrics=MetricsOptions(port=sock.getsockname()[1]))
        with pytest.raises(ListenError, match="in use"):
            await server.start("127.0.0.1", 0)
    await server.close()


async def test_no_metrics() -> None:
    """A server without metrics has no metrics port."""
    async with ChatServer() as server:
        await server.start("127.0.0.1", 0)
        with pytest.raises(UsageError, match="without metrics="):
            _ = server.metrics_port


async def test_after_the_end() -> None:
    """After close or drain the metrics port is closed."""
    for end in (ChatServer.close, ChatServer.drain):
        server = make_server()
        await server.start("127.0.0.1", 0)
        port = server.metrics_port
        await end(server)
        with pytest.raises(ConnectionRefusedError):
            await get(port)
