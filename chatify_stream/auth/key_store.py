"""The verification keys of a server, read from files and fetched from a URL when needed.

Known keys stay in use until new keys replace them: neither a damaged file nor an unreachable server
removes a key. A fetch runs outside the event loop, bounded in time and size, and is shared by all
waiting calls. An unknown key triggers a fetch, at most once per interval whatever callers send.
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
from .keys import MAX_FILE_SIZE, Key, jwks_keys, key_file, secret_file

log = logging.getLogger(__name__)

TIMEOUT = 5.0
"""Seconds of silence that end a fetch."""

INTERVAL = 60.0
"""Seconds between two fetches."""

MAX_KEY_AGE = 3600.0
"""Seconds after which keys are fetched again, so that withdrawn keys disappear."""


class KeyStore:
    def __init__(
        self,
        *,
        secrets: str | None = None,
        keys: str | None = None,
        interval: float = INTERVAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read the key files.

        `secrets` is the path of a secret; `keys` is a JWKS or PEM file, or the URL of a JWKS.
        `interval` is the minimum number of seconds between two fetches. Raises `UsageError`.
        """
        self._secrets = secrets
        is_url = keys is not None and keys.lower().startswith(("https://", "http://"))
        self._url = keys if is_url else None
        self._file = None if is_url else keys
        if self._url is not None:
            check_url(self._url)
        self._interval = interval
        self._clock = clock
        self._from_files = self._read()
        self._fetched: Sequence[Key] = ()
        self._fetched_at = self._asked_at = -float("inf")
        self._fetching: asyncio.Task[None] | None = None

    def current(self) -> list[Key]:
        return [*self._from_files, *self._fetched]

    def reload(self) -> bool:
        """Read the files again and let the next call fetch the URL; return whether a file changed.

        Raises `UsageError` and keeps the old keys if a file cannot be used.
        """
        before, self._from_files = self._from_files, self._read()
        self._asked_at = self._fetched_at = -float("inf")
        return self._from_files != before

    async def refresh(self, *, unknown: bool = False) -> None:
        """Start a fetch if one is due; wait for it if no key is known or a key is `unknown`."""
        if self._url is None:
            return
        now = self._clock()
        is_due = unknown or now - self._fetched_at >= MAX_KEY_AGE
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
            reason = str(error) or type(error).__name__
            kept = "; the known keys stay in use" if self._fetched else ""
            log.warning("cannot fetch keys from %s: %s%s", url, reason, kept)
        finally:
            self._fetching = None


def check_url(url: str) -> None:
    """Raise `UsageError` for a URL from which keys must not be fetched."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise UsageError(f"{url!r}: not a valid URL: {error}") from None
    if not parts.hostname:
        raise UsageError(f"{url!r}: no host in the URL")
    if parts.username is not None:
        raise UsageError("key URL: contains a user name or password; remove it")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise UsageError(f"{url!r}: not secure; use https://, or a loopback address")


def _get(url: SplitResult) -> bytes:
    """Return the body at `url`. Follows no redirect, which might lead away from https."""
    kind = HTTPSConnection if url.scheme == "https" else HTTPConnection
    connection = kind(url.hostname or "", url.port, timeout=TIMEOUT)
    try:
        query = f"?{url.query}" if url.query else ""
        headers = {"accept": "application/json", "user-agent": "chatify-stream"}
        connection.request("GET", (url.path or "/") + query, headers=headers)
        response = connection.getresponse()
        if response.status != 200:
            raise HTTPException(f"status {response.status}")
        data = response.read(MAX_FILE_SIZE + 1)
    finally:
        connection.close()
    if len(data) > MAX_FILE_SIZE:
        raise HTTPException(f"more than {MAX_FILE_SIZE} bytes")
    return data
