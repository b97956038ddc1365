"""Rooms of our server with gRPC's own clients, to which they are metadata and fields."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import grpc
import pytest

from .chat_messages import ChatReq, ChatRsp
from .grpcio_client import CALL_SECONDS, CHAT, Metadata, open_channel
from .peers import PeerClient
from .processes import ServerProcess

Status = grpc.StatusCode
KINDS = {"MESSAGE": 0, "JOINED": 1, "LEFT": 2, "REFUSED": 3}


class Member:
    """A grpcio client in a room; leaving its block cancels what is left."""

    def __init__(
        self, channel: grpc.Channel, room: str, *metadata: tuple[str, str | bytes]
    ) -> None:
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        call = channel.stream_stream(CHAT, ChatReq.SerializeToString, ChatRsp.FromString)
        self.call = call(
            iter(self._requests.get, None),
            timeout=CALL_SECONDS,
            metadata=(("chat-room", room), *metadata),
        )

    @property
    def headers(self) -> dict[str, str | bytes]:
        return dict(self.call.initial_metadata())

    @property
    def trailers(self) -> dict[str, str | bytes]:
        return dict(self.call.trailing_metadata())

    def say(self, text: str, message_id: str = "") -> None:
        self._requests.put(ChatReq(name=text, id=message_id))

    def hear(self) -> Any:
        return next(self.call)

    def half_close(self) -> None:
        self._requests.put(None)

    def __enter__(self) -> Member:
        assert "chat-session" in self.headers
        return self

    def __exit__(self, *_: object) -> None:
        self.half_close()  # Frees the thread that waits for the next request.
        self.call.cancel()


@pytest.fixture
def channels(server: ServerProcess) -> Iterator[list[grpc.Channel]]:
    with ExitStack() as stack:
        yield [stack.enter_context(open_channel(server.address)) for _ in range(3)]


class TestGrpcio:
    def test_a_conversation(self, channels: list[grpc.Channel]) -> None:
        """Members hear each other with everything that is known of a message, in one order."""
        user = ("chat-user-bin", "世界".encode())
        with (
            Member(channels[0], "grpcio-1", ("chat-user", "ada")) as ada,
            Member(channels[1], "grpcio-1", user, ("chat-events", "presence,users")) as other,
        ):
            joined = other.hear()
            assert (joined.sender, joined.kind) == ("ada", KINDS["JOINED"])
            ada.say("hi", "1")
            message = ada.hear()
            assert (message.message, message.sender, message.id) == ("hi", "ada", "1")
            assert (message.offset, message.kind) == (1, KINDS["MESSAGE"])
            assert message.sent_at_ms > 1_600_000_000_000
            assert other.hear() == message
            other.say("你好")
            assert ada.hear().sender == other.hear().sender == "世界"
            ada.half_close()
            assert list(ada.call) == []
            assert ada.call.code() is Status.OK
            assert ada.trailers["chat-reconnect"] == "no"
            left = other.hear()
            assert (left.sender, left.kind) == ("ada", KINDS["LEFT"])

    def test_a_resume(self, channels: list[grpc.Channel]) -> None:
        """A client that was away gets what it missed."""
        with Member(channels[0], "grpcio-2") as ada:
            ada.say("1")
            ada.hear()
        position = f"{ada.headers['chat-epoch']}/1"
        with Member(channels[1], "grpcio-2") as bob:
            for text in ("2", "3"):
                bob.say(text)
                bob.hear()
        with Member(channels[0], "grpcio-2", ("chat-resume", position)) as again:
            assert again.headers["chat-recovered"] == "true"
            assert [again.hear().message, again.hear().message] == ["2", "3"]

    def test_unary(self, channels: list[grpc.Channel]) -> None:
        """A unary call says one thing in a room, and gets its own message for an answer."""
        call = channels[0].unary_unary(CHAT, ChatReq.SerializeToString, ChatRsp.FromString)
        with Member(channels[1], "grpcio-3") as ada:
            answer = call(
                ChatReq(name="hi", id="1"),
                timeout=CALL_SECONDS,
                metadata=(("chat-room", "grpcio-3"), ("chat-user", "job")),
            )
            assert (answer.message, answer.sender, answer.offset) == ("hi", "job", 1)
            assert ada.hear() == answer

    def test_large_messages(self, channels: list[grpc.Channel]) -> None:
        """A client with a small window that says much at once hears all of it."""
        with Member(channels[0], "grpcio-4") as ada:
            for number in range(60):
                ada.say(f"{number} {'x' * 60_000}")
            ada.half_close()
            heard = list(ada.call)
            assert [message.offset for message in heard] == list(range(1, 61))
            assert ada.call.code() is Status.OK

    @pytest.mark.parametrize(
        ("metadata", "code", "details"),
        [
            (
                (("chat-room-bin", b"\xff"),),
                Status.INVALID_ARGUMENT,
                "chat-room-bin is not UTF-8; encode the text as UTF-8",
            ),
            (
                (("chat-room", "lobby"), ("chat-user-bin", "世\0".encode())),
                Status.INVALID_ARGUMENT,
                "the user name '世\\x00' has the control character U+0000, which is not allowed",
            ),
        ],
    )
    def test_refusals(
        self,
        channels: list[grpc.Channel],
        metadata: Metadata,
        code: grpc.StatusCode,
        details: str,
    ) -> None:
        """What is wrong is said in words that arrive whole."""
        call = channels[0].stream_stream(CHAT, ChatReq.SerializeToString, ChatRsp.FromString)(
            iter(()), timeout=CALL_SECONDS, metadata=metadata
        )
        with pytest.raises(grpc.RpcError):
            next(call)
        assert (call.code(), call.details()) == (code, details)
        assert dict(call.trailing_metadata())["chat-reconnect"] == "no"

    def test_a_client_of_the_first_version(self, channels: list[grpc.Channel]) -> None:
        """Outside of rooms every answer has the bytes that it has always had, and nothing else."""
        call = channels[0].stream_stream(CHAT)(
            iter([b"\n\x04Gene", b"", b"\n\x06\xe4\xb8\x96\xe7\x95\x8c"]), timeout=CALL_SECONDS
        )
        assert list(call) == [
            b"\n\x0aHello Gene",
            b"\n\x06Hello ",
            b"\n\x0cHello \xe4\xb8\x96\xe7\x95\x8c",
        ]
        assert call.code() is Status.OK
        assert list(call.initial_metadata()) == []
        assert list(call.trailing_metadata()) == []


class TestGrpcGo:
    def test_with_metadata_alone(
        self, go_client: PeerClient, server: ServerProcess, channels: list[grpc.Channel]
    ) -> None:
        """A client that was not made for rooms is in one once it sends the metadata."""
        with Member(channels[0], "go-1") as ada:
            report = go_client.run(
                "pingpong",
                server.address,
                "--metadata",
                "chat-room=go-1",
                "--metadata",
                "chat-user-bin=世界",
                "--",
                "hi",
                "你好",
            )
            assert (report.replies, report.code) == (["hi", "你好"], "OK")
            heard = [ada.hear(), ada.hear()]
            assert [(m.sender, m.message, m.offset) for m in heard] == [
                ("世界", "hi", 1),
                ("世界", "你好", 2),
            ]

    def test_it_hears_others(
        self, go_client: PeerClient, server: ServerProcess, channels: list[grpc.Channel]
    ) -> None:
        """What others say comes to it in its place."""
        arguments = ("--metadata", "chat-room=go-2", "--metadata", "chat-history=10")
        with Member(channels[0], "go-2") as ada:
            ada.say("before")
            ada.hear()
            with go_client.start("chat", server.address, *arguments) as chat:
                chat.write_line("from Go")
                assert chat.read_event() == {"event": "reply", "message": "before"}
                assert ada.hear().message == "from Go"
                ada.say("from grpcio")
                ada.hear()
                chat.write_line("more")
                assert chat.read_event() == {"event": "reply", "message": "from Go"}
                chat.write_line("and more")
                assert chat.read_event() == {"event": "reply", "message": "from grpcio"}
                chat.close_stdin()

    @pytest.mark.parametrize("mode", ["burst", "unary"])
    def test_one_message(self, go_client: PeerClient, server: ServerProcess, mode: str) -> None:
        """One who says something and half-closes hears it, also as a unary call."""
        report = go_client.run(
            mode, server.address, "--metadata", f"chat-room=go-{mode}", "--", "hi"
        )
        assert (report.replies, report.code) == (["hi"], "OK")

    def test_gzip(self, go_client: PeerClient, server: ServerProcess) -> None:
        """One that compresses hears its own messages compressed."""
        report = go_client.run(
            "burst",
            server.address,
            "--metadata",
            "chat-room=go-gzip",
            "--size",
            "50000",
            "--compressor",
            "gzip",
        )
        assert (report.replies, report.code) == (["x" * 50_000], "OK")
        received = [event for event in report.events if event["event"] == "received"]
        assert received[0]["onWire"] < 1000 < received[0]["length"]

    def test_a_refusal(self, go_client: PeerClient, server: ServerProcess) -> None:
        """One that asks for what cannot be is told why."""
        report = go_client.run("burst", server.address, "--metadata", "chat-room-bin= 世界")
        assert report.code == "INVALID_ARGUMENT"
        assert report.message == (
            "the room name ' 世界' begins or ends with a space, which is not allowed"
        )

    def test_the_drain(self, go_client: PeerClient) -> None:
        """A member is told that the server goes, and that to come back helps."""
        with ServerProcess("serve", "--grace", "3") as server:
            with go_client.start(
                "deadline", server.address, "--metadata", "chat-room=lobby", "--", "hi"
            ) as member:
                assert member.read_event() == {"event": "reply", "message": "hi"}
                server.terminate()
                end = member.read_event()
                assert (end["event"], end["code"]) == ("end", "UNAVAILABLE")
                assert end["message"] == "the server is shutting down; reconnect and resume"
            assert server.wait() == 0
