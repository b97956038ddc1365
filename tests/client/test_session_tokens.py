"""Tests of the tokens of a reconnecting session."""

from __future__ import annotations

import asyncio

import pytest

from chatify_stream import (
    Status,
    StatusError,
    UnavailableError,
    UsageError,
)
from chatify_stream.client import (
    Connected,
    Reconnecting,
)

from .reconnecting import client, events, fails, idle
from .scripted_room import (
    RoomCall,
    Script,
    come_back,
    scripted,
    stay_away,
)

pytestmark = pytest.mark.usefixtures("leaves_nothing")


class TestTokens:
    async def test_a_new_one_for_each_session(self) -> None:
        """Each session calls the token function."""

        def with_token(token: str, then: Script) -> Script:
            async def script(call: RoomCall) -> None:
                assert call.metadata["authorization"] == f"Bearer {token}"
                await then(call)

            return script

        async def lost(call: RoomCall) -> None:
            await call.greet(0)
            raise come_back()

        tokens = iter("abc")
        sessions = [with_token("a", lost), with_token("b", lost), with_token("c", idle)]
        async with scripted(*sessions) as target:
            async with client(target, token=lambda: next(tokens)) as chat:
                await events(chat, 5)

    async def test_async(self) -> None:
        """The token function may be async."""

        async def token() -> str:
            await asyncio.sleep(0)
            return "t"

        async def script(call: RoomCall) -> None:
            assert call.metadata["authorization"] == "Bearer t"
            await idle(call)

        async with scripted(script) as target, client(target, token=token):
            pass

    async def test_expired(self) -> None:
        """After an expired token the next session begins at once with a new token."""

        async def first(call: RoomCall) -> None:
            await call.greet(0)
            raise come_back(Status.UNAUTHENTICATED, "the token has expired")

        async with scripted(first, idle) as target:
            async with client(target, token=lambda: "t") as chat:
                _, lost, back = await events(chat, 3)
                assert isinstance(lost, Reconnecting)
                assert lost.delay == 0
                assert isinstance(back, Connected)

    async def test_refused(self) -> None:
        """A token that the server rejects for good is not retried."""
        async with scripted(fails(stay_away(Status.UNAUTHENTICATED, "who are you?"))) as target:
            with pytest.raises(StatusError, match="who are you"):
                async with client(target, token=lambda: "t"):
                    raise AssertionError("it was let in")

    async def test_token_function_fails(self) -> None:
        """Entering raises if the token function fails, with the cause."""

        def token() -> str:
            raise OSError("the key is away")

        with pytest.raises(
            UnavailableError, match=r"no token for the call: .*the key is away"
        ) as caught:
            async with client("127.0.0.1:1", token=token):
                raise AssertionError("it was let in")
        assert isinstance(caught.value.__cause__, OSError)

    async def test_token_function_fails_later(self) -> None:
        """Later, a failing token function is retried like an unreachable server."""
        tokens = iter(["a", OSError("the key is away"), "b"])

        def token() -> str:
            each = next(tokens)
            if isinstance(each, str):
                return each
            raise each

        async def first(call: RoomCall) -> None:
            await call.greet(0)
            raise come_back()

        async with scripted(first, idle) as target, client(target, token=token) as chat:
            received = await events(chat, 4)
            errors = [str(each.error) for each in received if isinstance(each, Reconnecting)]
            assert "the key is away" in errors[1]

    async def test_logged_out(self) -> None:
        """A `CallError` of the token function counts as an answer of the server."""
        tokens = iter(["a"])

        def token() -> str:
            for each in tokens:
                return each
            raise StatusError(Status.UNAUTHENTICATED, "logged out")

        async def first(call: RoomCall) -> None:
            await call.greet(0)
            raise come_back()

        async with scripted(first) as target, client(target, token=token) as chat:
            await events(chat, 2)
            with pytest.raises(StatusError, match="logged out"):
                await chat.receive()

    @pytest.mark.parametrize("token", [None, b"t", 5])
    async def test_not_a_token(self, token: object) -> None:
        """A token that is not a str is rejected."""
        with pytest.raises(UsageError, match="a token must be a str, not"):
            async with client("127.0.0.1:1", token=lambda: token):
                raise AssertionError("it was let in")

    async def test_token_function_times_out(self) -> None:
        """A token function that exceeds `connect_timeout` fails."""

        async def token() -> str:
            await asyncio.sleep(3600)
            return "t"

        with pytest.raises(UnavailableError, match="no token for the call"):
            async with client("127.0.0.1:1", token=token, connect_timeout=0.05):
                raise AssertionError("it was let in")
