"""Tokens for calls: a text, or a function that gives one for each call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from inspect import isawaitable

from ..errors import ChatifyError, Status, UnavailableError, UsageError

__all__ = ["Token", "bearer", "check_token", "next_token"]

Token = str | Callable[[], str | Awaitable[str]]
"""A token, or a function, async or not, that gives the token for the next call."""


def check_token(token: object) -> None:
    """Raises `UsageError`, which does not show it."""
    if isinstance(token, str):
        if not token or not all("!" <= character <= "~" for character in token):
            raise UsageError("a token is ASCII text, without spaces and line ends, and not empty")
    elif token is not None and not callable(token):
        raise UsageError(
            f"token= is a token or a function that gives one, not a {type(token).__name__}"
        )


def bearer(token: str) -> tuple[str, str]:
    """Return the metadata item that authenticates a call."""
    return "authorization", f"Bearer {token}"


async def next_token(token: Token, timeout: float) -> str:
    """The token for a call, within `timeout` seconds.

    Raises `UnavailableError` when there is none now, and `UsageError` for what is no token.
    """
    if isinstance(token, str):
        return token
    try:
        async with asyncio.timeout(timeout):
            given = token()
            if isawaitable(given):
                given = await given
    except ChatifyError:
        raise
    except Exception as error:
        raise UnavailableError(
            Status.UNAVAILABLE, f"there is no token for the call: {error!r}"
        ) from error
    if not isinstance(given, str):
        raise UsageError(f"a token is a str, not {type(given).__name__}")
    check_token(given)
    return given
