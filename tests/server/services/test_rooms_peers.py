"""The Rooms service, called by other gRPC clients."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from chatify_stream.server.rooms import ROOMS_SERVICE

from ...e2e import peers
from ...e2e.chat_messages import compile_proto
from ...e2e.grpcio_client import CALL_SECONDS, open_channel
from ...e2e.processes import ServerProcess
from ...ports import free_port
from .rooms_client import METHODS, ROOMS_PROTO


def grpcio_messages() -> SimpleNamespace:
    """Return the message classes of google.protobuf by name."""
    pool = DescriptorPool()
    for file in compile_proto(ROOMS_PROTO):
        pool.Add(file)
    names = pool.FindFileByName(ROOMS_PROTO).message_types_by_name
    return SimpleNamespace(**{name: GetMessageClass(each) for name, each in names.items()})


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    """A server process as an operator starts it."""
    with ServerProcess("serve", "--rooms-service", "--reflection") as process:
        yield process


@pytest.fixture(scope="module")
def grpcurl() -> Path:
    return peers.build_go_peers() / "grpcurl"


@pytest.mark.process
class TestPeers:
    def test_grpcio(self, server: ServerProcess) -> None:
        """grpcio calls every method with messages of the same proto file."""
        api = grpcio_messages()
        with open_channel(server.address) as channel:

            def call(method: str, request: Any, reply: Any) -> Any:
                path = f"/{ROOMS_SERVICE}/{method}"
                call = channel.unary_unary(path, type(request).SerializeToString, reply.FromString)
                return call(request, timeout=CALL_SECONDS)

            def publish(**fields: str) -> Any:
                request = api.PublishRequest(room="grpcio 房间", user="小明", **fields)
                return call("Publish", request, api.PublishResponse)

            first = publish(text="你好", id="1")
            again = publish(text="你好", id="1")
            assert (first.position.offset, first.duplicate) == (1, False)
            assert (again.position, again.duplicate) == (first.position, True)
            with pytest.raises(grpc.RpcError) as caught:
                publish(text="other", id="1")
            assert caught.value.code() is grpc.StatusCode.ALREADY_EXISTS
            with pytest.raises(grpc.RpcError) as caught:
                publish(text="x" * 65537)
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            request = api.HistoryRequest(room="grpcio 房间", backwards=True)
            found = call("History", request, api.HistoryResponse)
            [message] = found.messages
            assert (message.offset, message.user, message.text) == (1, "小明", "你好")
            assert (found.newest, found.oldest_offset) == (first.position, 1)
            request = api.HistoryRequest(room="grpcio 房间", after=api.Position(epoch="no"))
            with pytest.raises(grpc.RpcError) as caught:
                call("History", request, api.HistoryResponse)
            assert caught.value.code() is grpc.StatusCode.OUT_OF_RANGE
            request = api.PresenceRequest(room="grpcio 房间")
            assert call("Presence", request, api.PresenceResponse).count == 0
            request = api.ListRoomsRequest(prefix="grpcio ")
            [room] = call("ListRooms", request, api.ListRoomsResponse).rooms
            assert (room.name, room.newest, room.users) == ("grpcio 房间", first.position, 0)
            request = api.DisconnectRequest(user="小明", reconnect=True)
            assert call("Disconnect", request, api.DisconnectResponse).sessions == 0

    def test_grpcurl(self, grpcurl: Path, server: ServerProcess) -> None:
        """grpcurl finds the service by reflection, describes it, and calls every method."""

        def output(*args: str | Path) -> str:
            done = peers.run_command(grpcurl, "-plaintext", "-max-time", "30", *args)
            assert done.returncode == 0, done.stderr
            return done.stdout

        def call(method: str, **request: object) -> Any:
            data = json.dumps(request)
            return json.loads(output("-d", data, server.address, f"{ROOMS_SERVICE}/{method}"))

        assert ROOMS_SERVICE in output(server.address, "list").splitlines()
        methods = output(server.address, "list", ROOMS_SERVICE).splitlines()
        assert methods == [f"{ROOMS_SERVICE}.{name}" for name in sorted(METHODS)]
        described = output(server.address, "describe", f"{ROOMS_SERVICE}.Publish")
        assert (
            "rpc Publish ( .chatify.rooms.v1.PublishRequest ) "
            "returns ( .chatify.rooms.v1.PublishResponse );"
        ) in described
        health = output("-d", json.dumps({"service": ROOMS_SERVICE}), server.address,
                        "grpc.health.v1.Health/Check")  # fmt: skip
        assert json.loads(health) == {"status": "SERVING"}

        position = call("Publish", room="grpcurl", user="小明", text="🎉")["position"]
        assert position["offset"] == "1"
        found = call("History", room="grpcurl", after={"epoch": position["epoch"]})
        assert found["messages"][0]["text"] == "🎉"
        assert call("Presence", room="grpcurl") == {}
        listed = call("ListRooms", prefix="grpcurl")
        assert listed == {"rooms": [{"name": "grpcurl", "newest": position}]}
        assert call("Disconnect", user="小明") == {}
        done = peers.run_command(
            grpcurl, "-plaintext", "-max-time", "30", "-d", json.dumps({"pageToken": "!"}),
            server.address, f"{ROOMS_SERVICE}/ListRooms",
        )  # fmt: skip
        assert done.returncode != 0
        assert "Code: InvalidArgument" in done.stderr
        assert "page_token: not valid" in done.stderr

    def test_grpcurl_where_it_is(self, grpcurl: Path) -> None:
        """With its own port, the service is described by reflection there and not elsewhere."""
        port = free_port()
        with ServerProcess(
            "serve", "--rooms-service", "--rooms-port", str(port), "--reflection"
        ) as server:
            for address, is_there in ((server.address, False), (f"127.0.0.1:{port}", True)):
                done = peers.run_command(grpcurl, "-plaintext", "-max-time", "30", address, "list")
                assert done.returncode == 0, done.stderr
                names = done.stdout.splitlines()
                assert (ROOMS_SERVICE in names) == is_there
                assert ("service.v1.Service" in names) != is_there
                assert "grpc.health.v1.Health" in names
