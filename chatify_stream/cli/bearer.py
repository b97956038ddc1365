"""The token that the client commands show to the server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..config import ClientSettings
from ..errors import Status, UnavailableError, UsageError

__all__ = ["token_from_file", "token_of"]

LARGEST_TOKEN = 16 * 1024
"""Bytes; more headers are taken by no server of ours."""


def token_of(settings: ClientSettings) -> str | Callable[[], str] | None:
    """The token, as the clients take it. Raises `UsageError` for two of them."""
    if settings.token_file is None:
        return settings.token
    if settings.token is not None:
        raise UsageError("give client.token or client.token_file, not both")
    return token_from_file(settings.token_file)


def token_from_file(path: str) -> Callable[[], str]:
    """Reads the file for each call: whoever renews the token writes a new one there."""

    def read() -> str:
        try:
            with Path(path).open("rb") as file:
                data = file.read(LARGEST_TOKEN + 1)
        except OSError as error:
            raise UnavailableError(
                Status.UNAVAILABLE, f"the token file {path} cannot be read: {error.strerror}"
            ) from error
        token = data.decode("ascii", "replace").strip()
        if not token or len(data) > LARGEST_TOKEN:
            raise UnavailableError(Status.UNAVAILABLE, f"the token file {path} has no token in it")
        return token

    return read
