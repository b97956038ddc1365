"""The metadata of a client's calls: the program's own, the bearer token and the room's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from inspect import isawaitable

from ..errors import ChatifyError, Status, UnavailableError, UsageError
from ..rooms import check_name
from ..rooms.metadata import KEY_PREFIX, JoinRequest
from ..rooms.position import Position
from ..wire import MetadataLike

Token = str | Callable[[], str | Awaitable[str]]
"""A token, or a function, async or not, that returns the token for the next call.

A token is printable ASCII text without spaces. A `ChatifyError` that the function raises counts as
the error of the call. Another exception, or a timeout, counts as UNAVAILABLE, which a `RoomClient`
retries.
"""

MetadataItems = list[tuple[str, str | bytes]]


@dataclass(frozen=True)
class RoomMetadata:
    """Builds the metadata of the calls of one `RoomClient`.

    Raises `UsageError` if a name is invalid, or if `extra` has keys that the client sets itself.
    """

    room: str
    user: str | None
    """None if the server derives the name from the token."""
    presence: bool = False
    """Ask for joins and leaves."""
    extra: MetadataLike | None = None

    def __post_init__(self) -> None:
        _check_name("room", self.room)
        if self.user is not None:
            _check_name("user", self.user)
        for key, _ in items_of(self.extra):
            if str(key).lower().startswith(KEY_PREFIX):
                raise UsageError(
                    f"the client sets the metadata {key!r} itself; use its arguments instead"
                )

    def session(
        self, token: str | None, user: str | None, resume: Position | None, history: int
    ) -> MetadataItems:
        """Return the metadata of a session. `user` is the session's name if it is known."""
        request = JoinRequest(self.room, user, resume, history, wants_presence=self.presence)
        return self._call(token, request)

    def history(self, token: str | None, user: str | None, limit: int) -> MetadataItems:
        return self._call(token, JoinRequest(self.room, user, history=limit))

    def users(self, token: str | None, user: str | None) -> MetadataItems:
        return self._call(token, JoinRequest(self.room, user, wants_users=True))

    def _call(self, token: str | None, request: JoinRequest) -> MetadataItems:
        authorization = [] if token is None else [bearer(token)]
        return [*items_of(self.extra), *request.encode(), *authorization]


def items_of(metadata: MetadataLike | None) -> Iterable[tuple[str, str | bytes]]:
    """Return the keys and values of metadata in any form that a call accepts."""
    if metadata is None:
        return ()
    return metadata.items() if isinstance(metadata, Mapping) else metadata


def _check_name(kind: str, name: object) -> None:
    if not isinstance(name, str):
        raise UsageError(f"the {kind} must be a str, not {name!r}")
    try:
        check_name(kind, name)
    except ValueError as error:
        raise UsageError(str(error)) from None


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
