"""The keys of a server: from files, and from a URL, of which they are fetched when they are needed.

Rules: keys that are known stay in use until there are others: a file that is damaged, or a server
that cannot be reached, takes none away. A URL is asked off the loop, for a bounded time and size,
once for all who wait; a key that is not known makes it be asked again, but not more often than once
an interval, whatever callers send.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import SplitResult, urlsplit

from ..address import is_loopback
from ..errors import UsageError
from .keys import LARGEST_FILE, Key, jwks_keys, key_file, secret_file

__all__ = ["KeyStore", "check_url", "is_url"]

log = logging.getLogger(__name__)

TIMEOUT = 5.0
"""Seconds for a fetch."""

INTERVAL = 60.0
"""Seconds between two fetches."""

LONGEST_LIFE = 3600.0
"""Seconds after which keys are fetched anew, so that those that were withdrawn go."""


class KeyStore:
    """The keys that count now."""

    def __init__(
        self,
        *,
        secrets: str | None = None,
        keys: str | None = None,
        interval: float = INTERVAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`secrets`: the file of a secret. `keys`: a JWKS or a PEM, as a file or a URL.

        Raises `UsageError`. `interval`: seconds between two fetches from the URL.
        """
        self._secrets = secrets
        self._url = keys if keys is not None and is_url(keys) else None
        self._file = keys if self._url is None else None
        if self._url is not None:
            check_url(self._url)
        self._interval = interval
        self._clock = clock
        self._from_files = self._read()
        self._fetched: Sequence[Key] = ()
        self._fetched_at = self._asked_at = -float("inf")
        self._fetching: asyncio.Task[None] | None = None

    def current(self) -> list[Key]:
        """Those that are known."""
        return [*self._from_files, *self._fetched]

    def reload(self) -> bool:
        """Reads the files again, and has the URL asked by the next call; whether a file differs.

        Raises `UsageError`; the old keys then stay.
        """
        before, self._from_files = self._from_files, self._read()
        self._asked_at = self._fetched_at = -float("inf")
        return self._from_files != before

    async def refresh(self, *, unknown: bool = False) -> None:
        """Fetches keys if it is time; waits for them if there are none, or one is `unknown`."""
        if self._url is None:
            return
        now = self._clock()
        is_due = unknown or now - self._fetched_at >= LONGEST_LIFE
        if self._fetching is None and is_due and now - self._asked_at >= self._interval:
            self._asked_at = now
            self._fetching = asyncio.create_task(self._fetch(self._url))
        if self._fetching is not None and (unknown or not self._fetched):
            await asyncio.shield(self._fetching)

    def _read(self) -> list[Key]:
        keys = [] if self._secrets is None else [secret_file(self._secrets)]
        return keys if self._file is None else keys + key_file(self._file)

    async def _fetch(self, url: str) -> None:
        try:
            async with asyncio.timeout(2 * TIMEOUT):
                data = await asyncio.to_thread(partial(_get, urlsplit(url)))
            self._fetched = jwks_keys(data)
            self._fetched_at = self._clock()
            log.debug("%d keys fetched from %s", len(self._fetched), url)
        except (OSError, HTTPException, ValueError, UsageError) as error:
            kept = "; those that are known stay" if self._fetched else ""
            log.warning(
                "the keys cannot be fetched from %s: %s%s",
                url,
                str(error) or type(error).__name__,
                kept,
            )
        finally:
            self._fetching = None


def is_url(text: str) -> bool:
    return text.lower().startswith(("https://", "http://"))


def check_url(url: str) -> None:
    """Raises `UsageError` for a URL from which keys are not fetched."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise UsageError(f"{url!r} is no URL: {error}") from None
    if not parts.hostname:
        raise UsageError(f"{url!r} has no host")
    if parts.username is not None:
        raise UsageError("a URL of keys has no user and password in it")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise UsageError(f"{url!r}: keys are fetched by https://, or from this machine itself")


def _get(url: SplitResult) -> bytes:
    """What is there. Follows no redirection, which might lead away from https."""
    kind = HTTPSConnection if url.scheme == "https" else HTTPConnection
    connection = kind(url.hostname or "", url.port, timeout=TIMEOUT)
    try:
        query = f"?{url.query}" if url.query else ""
        headers = {"accept": "application/json", "user-agent": "chatify-stream"}
        connection.request("GET", (url.path or "/") + query, headers=headers)
        response = connection.getresponse()
        if response.status != 200:
            raise HTTPException(f"status {response.status}")
        data = response.read(LARGEST_FILE + 1)
    finally:
        connection.close()
    if len(data) > LARGEST_FILE:
        raise HTTPException(f"more than {LARGEST_FILE} bytes")
    return data
