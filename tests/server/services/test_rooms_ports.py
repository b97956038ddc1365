"""The Rooms service: its ports, and failing brokers, over real connections."""

from __future__ import annotations

from typing import Any

import pytest

from chatify_stream import (
    Channel,
    ChatClient,
    ServingStatus,
    Status,
    StatusError,
    UnavailableError,
)
from chatify_stream.brokers import MemoryBroker
from chatify_stream.errors import BrokerError
from chatify_stream.messages.chatify.rooms.v1 import (
    DisconnectRequest,
    HistoryRequest,
    ListRoomsRequest,
    PresenceRequest,
    PublishRequest,
    RoomsStub,
)
from chatify_stream.messages.grpc.health.v1 import HealthCheckRequest, HealthStub
from chatify_stream.server import RoomOptions
from chatify_stream.server.rooms import ROOMS_SERVICE
from chatify_stream.wire import Cardinality

from ...ports import free_port
from ..talking import answers, serving
from .rooms_client import METHODS, error_of, member, rooms_server


class AwayBroker(MemoryBroker):
    """Opens, and fails every operation."""

    async def publish(self, *_: Any, **__: Any) -> Any:
        raise BrokerError("memory://", "the disk is full")

    read = users = rooms = publish


REQUESTS = {
    "publish": PublishRequest(room="a", user="Ada", text="x"),
    "history": HistoryRequest(room="a"),
    "presence": PresenceRequest(room="a"),
    "list_rooms": ListRoomsRequest(),
    "disconnect": DisconnectRequest(user="Ada"),
}


class TestTrouble:
    @pytest.mark.parametrize("method", ["publish", "history", "presence", "list_rooms"])
    async def test_broker_away(self, method: str) -> None:
        """A failed broker operation is UNAVAILABLE, with the broker's reason."""
        async with rooms_server(broker=AwayBroker()) as (_, stub):
            with pytest.raises(UnavailableError) as caught:
                await getattr(stub, method)(REQUESTS[method])
        assert caught.value.message == "the broker memory://: the disk is full"

    @pytest.mark.parametrize("method", REQUESTS)
    async def test_closed(self, method: str) -> None:
        """Closed rooms are UNAVAILABLE while the last calls end."""
        async with rooms_server() as (server, stub):
            await server._node.close()
            with pytest.raises(UnavailableError) as caught:
                await getattr(stub, method)(REQUESTS[method])
        assert caught.value.message == "the server is closed"

    @pytest.mark.parametrize("method", METHODS)
    async def test_no_message(self, method: str) -> None:
        """Bytes that are not a request are INTERNAL."""
        async with rooms_server() as (server, _):
            async with Channel("127.0.0.1", server.port) as channel:
                async with channel.request(
                    f"/{ROOMS_SERVICE}/{method}", Cardinality.UNARY_UNARY, Bytes, Bytes
                ) as stream:
                    await stream.send_message(Bytes(b"\x0a\x02\xff\xff\x0a\x02"), end=True)
                    with pytest.raises(StatusError, match="not a valid") as caught:
                        await stream.recv_message()
        assert caught.value.status is Status.INTERNAL


class Bytes(bytes):
    """A message of raw bytes."""

    def SerializeToString(self) -> bytes:  # noqa: N802
        return bytes(self)

    FromString = classmethod(lambda cls, data: cls(data))


class TestWhere:
    async def test_off(self) -> None:
        """By default the service is UNIMPLEMENTED, and health does not know it."""
        async with serving() as server:
            async with Channel("127.0.0.1", server.port) as channel:
                for method, request in REQUESTS.items():
                    call = getattr(RoomsStub(channel), method)(request)
                    assert (await error_of(call))[0] is Status.UNIMPLEMENTED
            assert server.health.status(ROOMS_SERVICE) is None

    async def test_own_port(self) -> None:
        """On the server's port it is served beside Chat."""
        async with rooms_server() as (server, stub):
            assert server.rooms_port == server.port
            assert await answers(server, "Ada") == ["Hello Ada"]
            await stub.publish(REQUESTS["publish"])
            assert server.health.status(ROOMS_SERVICE) is ServingStatus.SERVING

    async def test_other_port(self) -> None:
        """Its own port serves it and health only; the other port does not have it."""
        async with rooms_server(service_port=0) as (server, stub):
            assert server.rooms_port != server.port
            await stub.publish(REQUESTS["publish"])
            async with (
                Channel("127.0.0.1", server.port) as chat_port,
                Channel("127.0.0.1", server.rooms_port) as rooms_port,
            ):
                status, _ = await error_of(RoomsStub(chat_port).publish(REQUESTS["publish"]))
                assert status is Status.UNIMPLEMENTED
                for channel in (chat_port, rooms_port):
                    for name in ("", ROOMS_SERVICE, "service.v1.Service"):
                        answer = await HealthStub(channel).check(HealthCheckRequest(service=name))
                        assert answer.status is ServingStatus.SERVING
                with pytest.raises(StatusError) as caught:
                    async with ChatClient(rooms_port) as chat:
                        await chat.send("Ada")
                        await chat.receive()
                assert caught.value.status is Status.UNIMPLEMENTED
            assert await answers(server, "Ada") == ["Hello Ada"]

    async def test_given_port(self) -> None:
        """A given port and host are used."""
        port = free_port()
        async with rooms_server(service_port=port, service_host="localhost") as (server, stub):
            assert server.rooms_port == port
            await stub.publish(REQUESTS["publish"])

    async def test_other_port_is_off_with_it(self) -> None:
        """A port alone does not enable the service."""
        async with serving(rooms=RoomOptions(service_port=0)) as server:
            assert server.rooms_port == server.port

    async def test_sessions_of_the_other_port(self) -> None:
        """Calls on its own port reach the sessions of the server."""
        async with rooms_server(service_port=0) as (server, stub):
            async with member(server, "a", "Ada") as ada:
                await stub.publish(PublishRequest(room="a", user="Bob", text="hi"))
                assert (await ada.receive()).message == "hi"
                assert (await stub.presence(PresenceRequest(room="a"))).users == ["Ada"]
                assert (await stub.disconnect(DisconnectRequest(user="Ada"))).sessions == 1
                assert (await ada.end())[0] is Status.PERMISSION_DENIED

    async def test_drain(self) -> None:
        """A drain ends both ports after the health status is NOT_SERVING."""
        async with rooms_server(service_port=0) as (server, stub):
            await stub.publish(REQUESTS["publish"])
            await server.drain(0)
            assert server.health.status(ROOMS_SERVICE) is ServingStatus.NOT_SERVING
            with pytest.raises(UnavailableError):
                await stub.publish(REQUESTS["publish"])
