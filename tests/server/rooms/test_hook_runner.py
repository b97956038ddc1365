"""Tests of server/rooms/hook_runner.py."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest

from chatify_stream import (
    RefusedError,
    RoomJoin,
    RoomLeave,
    RoomMessage,
    RoomOptions,
    Status,
    StatusError,
)
from chatify_stream.errors import UncheckedError
from chatify_stream.server.rooms.hook_runner import HookRunner
from chatify_stream.server.session import Peer

JOIN = RoomJoin("lobby", "ada", "s1", Peer("127.0.0.1", 5), {"chat-room": "lobby"})
MESSAGE = RoomMessage("lobby", "ada", "s1", "hi", "1")
LEAVE = RoomLeave("lobby", "ada", "s1")
LONG, SHORT = 30.0, 0.01
MAX_SIZE = 30

Hook = Callable[[object], Awaitable[object]]


def hooks(timeout: float = LONG, **named: Hook) -> HookRunner:
    return HookRunner(RoomOptions(hook_timeout=timeout, max_message_size=MAX_SIZE, **named))


def returning(value: object) -> Hook:
    async def hook(event: object) -> object:
        return value

    return hook


def raising(error: Exception) -> Hook:
    async def hook(event: object) -> None:
        raise error

    return hook


async def hanging(event: object) -> None:
    await asyncio.Event().wait()


class TestWithout:
    async def test_none(self) -> None:
        """Without hooks every join, message and leave is allowed."""
        none = hooks()
        assert not none.checks_messages
        await none.join(JOIN)
        assert await none.message(MESSAGE) == "hi"
        await none.leave(LEAVE)


class TestAsking:
    async def test_what_they_are_told(self) -> None:
        """Each hook receives its event once."""
        seen: list[object] = []

        async def hook(event: object) -> None:
            seen.append(event)

        every = hooks(on_join=hook, on_message=hook, on_leave=hook)
        await every.join(JOIN)
        await every.message(MESSAGE)
        await every.leave(LEAVE)
        assert seen == [JOIN, MESSAGE, LEAVE]
        assert every.checks_messages

    @pytest.mark.parametrize(("answer", "text"), [(None, "hi"), ("", ""), ("ho 世界", "ho 世界")])
    async def test_messages(self, answer: str | None, text: str) -> None:
        """A message hook can replace the text, also with an empty text, or keep it."""
        assert await hooks(on_message=returning(answer)).message(MESSAGE) == text

    async def test_what_a_join_returns(self) -> None:
        """The result of a join hook is ignored."""
        await hooks(on_join=returning(False)).join(JOIN)


class TestRefusing:
    async def test_with_a_reason(self) -> None:
        """A RefusedError of a hook passes its reason on."""
        refusing = hooks(
            on_join=raising(RefusedError("you are banned")),
            on_message=raising(RefusedError("no swearing")),
        )
        with pytest.raises(RefusedError, match=r"^you are banned$"):
            await refusing.join(JOIN)
        with pytest.raises(RefusedError, match=r"^no swearing$"):
            await refusing.message(MESSAGE)

    @pytest.mark.parametrize(
        ("error", "reason"),
        [
            (StatusError(Status.PERMISSION_DENIED, "go away"), "go away"),
            (StatusError(Status.PERMISSION_DENIED), "PERMISSION_DENIED"),
        ],
    )
    async def test_with_a_status(self, error: StatusError, reason: str) -> None:
        """A StatusError of a hook becomes a RefusedError."""
        with pytest.raises(RefusedError) as caught:
            await hooks(on_message=raising(error)).message(MESSAGE)
        assert caught.value.reason == reason
        assert not isinstance(caught.value, UncheckedError)


class TestFailing:
    @pytest.mark.parametrize("name", ["join", "message"])
    @pytest.mark.parametrize("error", [KeyError("password 1234"), TypeError(), OSError()])
    async def test_by_an_exception(
        self, name: str, error: Exception, caplog: pytest.LogCaptureFixture
    ) -> None:
        """An exception becomes a general reason for the client; the log has the exception."""
        failing = hooks(**{f"on_{name}": raising(error)})
        with pytest.raises(UncheckedError) as caught:
            await getattr(failing, name)(JOIN if name == "join" else MESSAGE)
        assert caught.value.reason == "the server could not check this; try again later"
        (record,) = caplog.records
        assert (record.levelno, record.getMessage()) == (logging.ERROR, f"on_{name} failed")
        assert record.exc_info is not None

    @pytest.mark.parametrize("name", ["join", "message"])
    async def test_by_its_time(self, name: str, caplog: pytest.LogCaptureFixture) -> None:
        """A hook that takes too long rejects the request, and the timeout is logged."""
        slow = hooks(SHORT, **{f"on_{name}": hanging})
        with pytest.raises(
            UncheckedError, match="the server could not check this in time; try again later"
        ):
            await getattr(slow, name)(JOIN if name == "join" else MESSAGE)
        assert [record.getMessage() for record in caplog.records] == [
            f"on_{name} timed out after 0.01 s"
        ]

    @pytest.mark.parametrize("answer", [5, b"hi", ["hi"], True, "\ud800"])
    async def test_by_nonsense(self, answer: object, caplog: pytest.LogCaptureFixture) -> None:
        """A result that is not valid text is not published, and the log names the allowed types."""
        with pytest.raises(
            UncheckedError, match="the server could not check this; try again later"
        ):
            await hooks(on_message=returning(answer)).message(MESSAGE)
        assert f"on_message returned {answer!r}; return a str of valid" in caplog.text

    async def test_by_too_much(self, caplog: pytest.LogCaptureFixture) -> None:
        """A text larger than the maximum message size is not published."""
        assert await hooks(on_message=returning("界" * 10)).message(MESSAGE) == "界" * 10
        with pytest.raises(
            UncheckedError, match="the server could not check this; try again later"
        ):
            await hooks(on_message=returning("界" * 10 + "x")).message(MESSAGE)
        assert [record.getMessage() for record in caplog.records] == [
            "on_message returned 31 bytes; at most 30 are allowed"
        ]

    async def test_one_that_is_not_async(self, caplog: pytest.LogCaptureFixture) -> None:
        """A hook that is not async is logged as an error."""
        with pytest.raises(UncheckedError):
            await hooks(on_message=lambda message: message.text).message(MESSAGE)
        assert "on_message failed" in caplog.text

    async def test_a_cancelled_one(self) -> None:
        """A hook is cancelled with its session."""
        asking = asyncio.create_task(hooks(on_message=hanging).message(MESSAGE))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking


class TestLeaving:
    @pytest.mark.parametrize("hook", [raising(RefusedError("stay")), raising(KeyError()), hanging])
    async def test_nothing_keeps_anybody(self, hook: Hook) -> None:
        """A leave hook cannot prevent the end of a session."""
        await hooks(SHORT, on_leave=hook).leave(LEAVE)
