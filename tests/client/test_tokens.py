"""Tests of the tokens of client/call_metadata.py."""

import asyncio
from typing import Any

import pytest

from chatify_stream import DeadlineExceededError, Status, UnavailableError, UsageError
from chatify_stream.client.call_metadata import check_token, next_token


async def later() -> str:
    await asyncio.sleep(0)
    return "abc"


@pytest.mark.parametrize("token", ["abc", lambda: "abc", later])
async def test_forms(token: Any) -> None:
    """A token is a text or the result of a function, async or not."""
    check_token(token)
    assert await next_token(token, 10) == "abc"


@pytest.mark.parametrize("token", ["", "a b", "a\n", "ä", "\x7f"])
async def test_what_cannot_be_sent(token: str) -> None:
    """A token that metadata cannot carry is rejected."""
    with pytest.raises(UsageError, match="a token must be printable ASCII text"):
        check_token(token)
    with pytest.raises(UsageError, match="a token must be printable ASCII text"):
        await next_token(lambda: token, 10)


@pytest.mark.parametrize("token", [5, b"abc"])
async def test_wrong_types(token: Any) -> None:
    """A value of another type is rejected."""
    with pytest.raises(UsageError, match="token= must be a str or a function that returns one"):
        check_token(token)
    with pytest.raises(UsageError, match="a token must be a str"):
        await next_token(lambda: token, 10)


async def test_no_token_now() -> None:
    """A failing or slow function raises UnavailableError; a ChatifyError passes."""

    def fail(error: Exception) -> Any:
        def token() -> str:
            raise error

        return token

    with pytest.raises(UnavailableError, match="the token function failed: ValueError"):
        await next_token(fail(ValueError("no")), 10)
    with pytest.raises(UnavailableError, match="TimeoutError"):
        await next_token(lambda: asyncio.sleep(60, "abc"), 0.01)
    mine = DeadlineExceededError(Status.DEADLINE_EXCEEDED)
    with pytest.raises(DeadlineExceededError) as info:
        await next_token(fail(mine), 10)
    assert info.value is mine
