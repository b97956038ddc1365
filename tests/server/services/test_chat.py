"""Tests of server/services/chat.py, over real connections."""

from __future__ import annotations

import asyncio

import pytest
from h2.events import TrailersReceived

from chatify_stream import Channel, ChatReq, ChatRsp, Status, StatusError
from chatify_stream.server import CHAT_PATHS
from chatify_stream.wire import Cardinality

from ...wire.raw import framed, raw_client, request_headers
from ..talking import answers, client, serving


class TestReplies:
    async def test_the_default(self) -> None:
        """By default the reply is Hello and the name."""
        async with serving() as server:
            assert await answers(server, "gene", "世界", "🎉", "") == [
                "Hello gene",
                "Hello 世界",
                "Hello 🎉",
                "Hello ",
            ]

    async def test_a_plain_function(self) -> None:
        """A plain function makes the replies."""
        async with serving(reply=str.upper) as server:
            assert await answers(server, "a", "b") == ["A", "B"]

    async def test_an_async_function(self) -> None:
        """An async function makes the replies, in order, however long each takes."""
        first = asyncio.Event()

        async def reply(name: str) -> str:
            if name == "slow":
                await first.wait()
            return name

        async with serving(reply=reply) as server, client(server) as chat:
            await chat.send("slow")
            await chat.send("fast")
            assert await answers(server, "other") == ["other"]
            first.set()
            await chat.half_close()
            assert [reply.message async for reply in chat] == ["slow", "fast"]

    @pytest.mark.parametrize("value", [None, 5, b"bytes", ChatRsp(message="x")])
    async def test_a_reply_that_is_no_text(
        self, value: object, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A reply of another type is INTERNAL, and the log names the type that is allowed."""
        async with serving(reply=lambda name: value) as server:
            with pytest.raises(StatusError) as caught:
                await answers(server, "a")
        assert caught.value.status is Status.INTERNAL
        assert "must return a str" in caplog.text

    async def test_text_that_is_not_unicode(self, caplog: pytest.LogCaptureFixture) -> None:
        """A reply that UTF-8 cannot encode is INTERNAL, and the log has the reason."""
        async with serving(reply=lambda name: "\udcff") as server:
            with pytest.raises(StatusError) as caught:
                await answers(server, "a")
        assert caught.value.status is Status.INTERNAL
        assert "surrogates not allowed" in caplog.text

    async def test_a_reply_that_fails(self, caplog: pytest.LogCaptureFixture) -> None:
        """An exception of `reply` ends its stream INTERNAL; its text is logged, not sent."""

        def reply(name: str) -> str:
            if name == "bad":
                raise ValueError("the password is 1234")
            return name

        async with serving(reply=reply) as server, client(server) as bystander:
            await bystander.send("before")
            with pytest.raises(StatusError) as caught:
                await answers(server, "good", "bad")
            await bystander.send("after")
            await bystander.half_close()
            assert [reply.message async for reply in bystander] == ["before", "after"]
        assert caught.value.status is Status.INTERNAL
        assert "1234" not in str(caught.value)
        assert "the password is 1234" in caplog.text

    async def test_a_status_of_the_reply(self) -> None:
        """`reply` may end the call with a status; earlier replies arrive."""

        def reply(name: str) -> str:
            if name == "bad":
                raise StatusError(Status.INVALID_ARGUMENT, "名字不好", metadata={"hint": "good"})
            return name

        async with serving(reply=reply) as server, client(server) as chat:
            await chat.send("good")
            await chat.send("bad")
            replies = []
            with pytest.raises(StatusError) as caught:
                async for each in chat:
                    replies.append(each.message)
        assert replies == ["good"]
        assert (caught.value.status, caught.value.message) == (Status.INVALID_ARGUMENT, "名字不好")
        assert caught.value.metadata == {"hint": "good"}

    async def test_requests_before_one_that_cannot_be_read(self) -> None:
        """Requests before malformed bytes in the same read are answered."""
        async with serving() as server, raw_client(server.port) as peer:
            peer.h2.send_headers(1, request_headers(CHAT_PATHS[0]))
            good, bad = bytes(ChatReq(name="Ada")), b"\x0a\x09short"
            peer.h2.send_data(1, framed(good) + framed(good) + framed(bad), end_stream=True)
            peer.flush()
            trailers = dict((await peer.wait_for(TrailersReceived, 1)).headers)
            answer = framed(bytes(ChatRsp(message="Hello Ada")))
            assert peer.data_of(1) == answer + answer
            assert trailers["grpc-status"] == str(Status.INTERNAL.value)
            assert "not a valid ChatReq" in trailers["grpc-message"]


class TestPaths:
    @pytest.mark.parametrize("path", [*CHAT_PATHS, "/my.Chat/Talk"])
    async def test_paths(self, path: str) -> None:
        """Chat is served under its paths and under additional ones."""
        async with serving(paths=["/my.Chat/Talk"]) as server:
            async with (
                Channel("127.0.0.1", server.port) as channel,
                channel.request(path, Cardinality.STREAM_STREAM, ChatReq, ChatRsp) as stream,
            ):
                await stream.send_message(ChatReq(name="Ada"), end=True)
                assert [reply.message async for reply in stream] == ["Hello Ada"]

    async def test_a_unary_caller(self) -> None:
        """A unary call to the same path receives one reply."""
        async with serving() as server, Channel("127.0.0.1", server.port) as channel:
            async with channel.request(
                CHAT_PATHS[0], Cardinality.UNARY_UNARY, ChatReq, ChatRsp
            ) as stream:
                await stream.send_message(ChatReq(name="Ada"))
                assert await stream.recv_message() == ChatRsp(message="Hello Ada")

    async def test_unknown_methods(self) -> None:
        """An unknown method is UNIMPLEMENTED, and the text names it."""
        async with serving() as server, Channel("127.0.0.1", server.port) as channel:
            with pytest.raises(StatusError) as caught:
                async with channel.request(
                    "/service.v1.Service/Shout", Cardinality.STREAM_STREAM, ChatReq, ChatRsp
                ) as stream:
                    await stream.send_message(ChatReq(name="Ada"), end=True)
                    await stream.recv_message()
        assert caught.value.status is Status.UNIMPLEMENTED
        assert "/service.v1.Service/Shout" in str(caught.value)
