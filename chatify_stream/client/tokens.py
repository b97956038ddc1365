"""Bearer tokens: a text, or a function that returns a token for each call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from inspect import isawaitable

from ..errors import ChatifyError, Status, UnavailableError, UsageError

__all__ = ["Token", "bearer", "check_token", "next_token"]

Token = str | Callable[[], str | Awaitable[str]]
"""A token, or a function, async or not, that returns the token for the next call.

A token is printable ASCII text without spaces. A `ChatifyError` that the function raises counts as
the error of the call. Another exception, or a timeout, counts as UNAVAILABLE, which a `RoomClient`
retries.
"""


def check_token(token: object) -> None:
    """Raise `UsageError` for an invalid token. The error text does not contain the token."""
    if isinstance(token, str):
        if not token or not all("!" <= character <= "~" for character in token):
            raise UsageError("a token must be printable ASCII text without spaces, and not empty")
    elif token is not None and not callable(token):
        raise UsageError(
            f"token= must be a str or a function that returns one, not {type(token).__name__}"
        )


def bearer(token: str) -> tuple[str, str]:
    """Return the metadata item that authenticates a call."""
    return "authorization", f"Bearer {token}"


async def next_token(token: Token, timeout: float) -> str:
    """Return the token for a call. Waits at most `timeout` seconds for the function.

    Raises `UnavailableError` if the function fails or times out, and `UsageError` if it returns an
    invalid token. A `ChatifyError` of the function is raised unchanged.
    """
    if isinstance(token, str):
        return token
    try:
        async with asyncio.timeout(timeout):
            result = token()
            if isawaitable(result):
                result = await result
    except ChatifyError:
        raise
    except Exception as error:
        raise UnavailableError(
            Status.UNAVAILABLE, f"no token for the call: the token function failed: {error!r}"
        ) from error
    if not isinstance(result, str):
        raise UsageError(f"a token must be a str, not {type(result).__name__}")
    check_token(result)
    return result
