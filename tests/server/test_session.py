"""Tests of server/session.py, over real connections."""

from __future__ import annotations

import asyncio
import logging

import pytest

from chatify_stream import (
    ChatReq,
    ChatRsp,
    DeadlineExceededError,
    Session,
    Status,
    StatusError,
    UsageError,
    frame_text,
)

from .talking import answers, client, serving


class TestSessions:
    async def test_everything_a_session_has(self) -> None:
        """A handler sees metadata, peer, deadline and client, and sends headers and trailers."""
        seen: dict[str, object] = {}

        async def handler(session: Session) -> None:
            await session.send_initial_metadata({"served-by": "test"})
            seen["metadata"] = dict(session.metadata)
            seen["peer"] = session.peer
            seen["user_agent"] = session.user_agent
            assert session.deadline is not None
            seen["remaining"] = session.deadline.time_remaining()
            request = await session.receive()
            assert request is not None
            await session.send(request.name * 2)
            await session.send(ChatRsp(message="rsp"))
            assert await session.receive() is None
            session.trailers["total"] = "2"
            session.trailers["raw-bin"] = b"\x00"

        async with serving(handler=handler) as server:
            metadata = {"room": "lobby", "user-bin": "世界".encode()}
            async with client(server, metadata=metadata, timeout=30) as chat:
                await chat.send("ab")
                assert (await chat.close_and_recv()) == ChatRsp(message="rsp")
                assert chat.initial_metadata is not None
                assert chat.initial_metadata["served-by"] == "test"
                assert chat.trailing_metadata is not None
                assert dict(chat.trailing_metadata) == {"total": "2", "raw-bin": b"\x00"}
        assert seen["metadata"] == metadata
        assert seen["peer"].host == "127.0.0.1"
        assert str(seen["peer"]).startswith("127.0.0.1:")
        assert "grpclib" in str(seen["user_agent"])
        assert 0 < seen["remaining"] <= 30

    @pytest.mark.parametrize("asked", ["identity", "deflate", "gzip"])
    async def test_compression(self, asked: str) -> None:
        """Replies are compressed as the requests are, unless the handler decides otherwise."""
        seen: list[str] = []

        async def handler(session: Session) -> None:
            seen.append(session.compression)
            async for request in session:
                if request.name == "gzip":
                    session.compression = "gzip"
                    seen.append(session.compression)
                await session.send(request.name * 100)

        async with serving(handler=handler) as server:
            for name in ("Ada", "gzip"):
                async with client(server, compression=asked) as chat:
                    await chat.send(name)
                    assert await chat.close_and_recv() == ChatRsp(message=name * 100)
        assert seen == [asked, asked, "gzip"]

    async def test_framed_replies(self) -> None:
        """Encoded replies are sent complete and in order, and are counted."""
        sent: list[bool] = []
        numbers: list[tuple[int, int, int]] = []

        async def handler(session: Session) -> None:
            framed = frame_text("世界") + frame_text("") + frame_text("x" * 1000)
            sent.append(session.try_send_framed(framed, 3))
            await session.send_framed(framed, 3)
            await session.receive()
            sent.append(session.try_send_framed(framed, 3))
            got = session.statistics()
            numbers.append((got.messages_received, got.messages_sent, got.bytes_waiting))

        async with serving(handler=handler) as server:
            assert await answers(server, "Ada") == ["世界", "", "x" * 1000] * 2
        assert sent == [False, True]
        assert numbers == [(1, 6, 0)]

    @pytest.mark.parametrize("frames", ["Ada", [b"Ada"], None])
    async def test_what_is_not_framed(self, frames: object) -> None:
        """Values that are not bytes raise UsageError and do not harm the connection."""
        refused: list[str] = []

        async def handler(session: Session) -> None:
            await session.send_initial_metadata()
            with pytest.raises(UsageError) as caught:
                await session.send_framed(frames)
            refused.append(str(caught.value))
            with pytest.raises(UsageError) as caught:
                session.try_send_framed(frames)
            refused.append(str(caught.value))

        async with serving(handler=handler) as server:
            assert await answers(server) == []
        name = type(frames).__name__
        assert refused == [f"framed messages are bytes, as frame() makes them, not {name}"] * 2

    async def test_no_deadline(self) -> None:
        """Without a deadline of the client, `deadline` is None."""
        deadlines = []

        async def handler(session: Session) -> None:
            deadlines.append(session.deadline)

        async with serving(handler=handler) as server:
            assert await answers(server) == []
        assert deadlines == [None]

    async def test_many_replies_and_none(self) -> None:
        """A handler decides how many replies there are."""

        async def handler(session: Session) -> None:
            async for request in session:
                for character in request.name:
                    await session.send(character)

        async with serving(handler=handler) as server:
            assert await answers(server, "abc", "", "d") == ["a", "b", "c", "d"]

    async def test_sending_from_several_tasks(self) -> None:
        """Several tasks of a handler may send at the same time; every reply arrives complete."""

        async def handler(session: Session) -> None:
            await asyncio.gather(*(session.send(letter * 500_000) for letter in "abcdef"))

        async with serving(handler=handler) as server:
            replies = await answers(server)
        assert sorted(replies) == [letter * 500_000 for letter in "abcdef"]

    @pytest.mark.parametrize("reply", [None, 5, b"a", ChatReq(name="a")])
    async def test_what_cannot_be_sent(
        self, reply: object, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A reply of another type is INTERNAL, and the log names the allowed types."""

        async def handler(session: Session) -> None:
            await session.send(reply)

        async with serving(handler=handler) as server:
            with pytest.raises(StatusError) as caught:
                await answers(server)
        assert caught.value.status is Status.INTERNAL
        assert "is not allowed; pass a str or a ChatRsp" in caplog.text

    async def test_a_client_that_leaves(self) -> None:
        """A client that leaves cancels its handler, and nothing is logged."""
        cancelled = asyncio.Event()
        started = asyncio.Event()

        async def handler(session: Session) -> None:
            started.set()
            try:
                await session.receive()
            except asyncio.CancelledError:
                cancelled.set()
                raise

        async with serving(handler=handler) as server:
            async with client(server) as chat:
                await started.wait()
                await chat.cancel()
            await asyncio.wait_for(cancelled.wait(), 10)

    async def test_a_client_that_leaves_while_it_is_sent_to(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A handler that sends to a client that has left ends without an error in the log."""
        ended = asyncio.Event()

        async def handler(session: Session) -> None:
            try:
                while True:
                    await session.send("x" * 1000)
            finally:
                ended.set()

        with caplog.at_level(logging.INFO):
            async with serving(handler=handler) as server:
                async with client(server) as chat:
                    assert await chat.receive() is not None
                    await chat.cancel()
                await asyncio.wait_for(ended.wait(), 10)
        assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []

    async def test_a_deadline(self) -> None:
        """A handler is cancelled when the client's deadline passes."""
        cancelled = asyncio.Event()

        async def handler(session: Session) -> None:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                cancelled.set()
                raise

        async with serving(handler=handler) as server:
            with pytest.raises(DeadlineExceededError):
                async with client(server, timeout=0.2) as chat:
                    await chat.receive()
            await asyncio.wait_for(cancelled.wait(), 10)
