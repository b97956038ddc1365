"""TLS of the server: its certificate, which may be replaced while it serves.

Rules: what is served was loaded whole and proven to work; what is wrong changes nothing. Each
connection keeps what it began with. Files are looked at by time, size and identity, through
symbolic links, so that a link which is turned to another folder is a change, too.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast

from ..errors import ConfigError, UsageError
from ..wire.tls.pem import FilePath, load_authorities, load_pair, pem_error

__all__ = ["ServerTLS", "TLSOptions"]

log = logging.getLogger(__name__)

LOOK_EVERY = 5.0
"""Seconds between two looks at the files."""

NEAR_ITS_END = 14 * 86400.0
"""Seconds before its end from which on a certificate is warned of."""

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2: those that HTTP/2 does not forbid (RFC 9113, 9.2.2)."""

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

Stamp = tuple[tuple[int, ...] | None, ...]


@dataclass(frozen=True)
class TLSOptions:
    """Files in PEM. Raises `UsageError` for options that contradict each other."""

    cert: FilePath
    """The certificate of the server, followed by those that it is signed with."""

    key: FilePath | None = None
    """Its private key, not encrypted; None when it is in the same file."""

    client_ca: FilePath | None = None
    """The authorities whose certificates clients may show; None when none is asked for."""

    require_client_cert: bool = False
    """Refuse a client that shows none."""

    min_version: Literal["1.2", "1.3"] = "1.2"
    """TLS 1.3 is always spoken."""

    def __post_init__(self) -> None:
        if self.require_client_cert and self.client_ca is None:
            raise UsageError("to require client certificates, say by client_ca who may sign them")
        if self.min_version not in _VERSIONS:
            raise UsageError(f"min_version is '1.2' or '1.3', not {self.min_version!r}")


class ServerTLS:
    """The context of each handshake: `context()`."""

    ends_at: float
    """When the certificate ends, in seconds since 1970."""

    def __init__(self, options: TLSOptions, *, clock: Callable[[], float] = time.time) -> None:
        """Reads the files. Raises `ConfigError`, which says which is wrong and why."""
        self._options = options
        self._clock = clock
        self._tried = _stamp(options)
        self._wrong: Stamp | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._take(_load(options))

    def context(self) -> ssl.SSLContext:
        """That of a handshake that begins now."""
        return self._context

    def reload(self, options: TLSOptions | None = None) -> bool:
        """Reads the files again, or others; says whether anything has changed.

        New connections have the new certificate then, and all others stay as they are. Raises
        `ConfigError` when what is there is wrong; what was loaded before stays.
        """
        options = self._options if options is None else options
        stamp = _stamp(options)
        try:
            loaded = _load(options)
        except ConfigError:
            if options == self._options:  # `look` need not say the same again
                self._tried = stamp
            raise
        is_new = (options, stamp) != (self._options, self._tried)
        self._options, self._tried, self._wrong = options, stamp, None
        self._take(loaded)
        return is_new

    def start_watching(self) -> None:
        """Has the files looked at every few seconds, until `stop_watching`."""
        loop = asyncio.get_running_loop()

        def look() -> None:
            self._timer = loop.call_later(LOOK_EVERY, look)
            self.look()

        self._timer = loop.call_later(LOOK_EVERY, look)

    def stop_watching(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def look(self) -> None:
        """Takes what has changed; and warns of a certificate that is near its end."""
        stamp = _stamp(self._options)
        if stamp != self._tried:
            try:
                self._take(_load(self._options))
            except ConfigError as error:
                # Files are replaced one after the other: the next look may find them right.
                if stamp == self._wrong:
                    self._tried = stamp
                    log.error("the certificate of before is kept, the new one is wrong: %s", error)
                self._wrong = stamp
            else:
                self._tried, self._wrong = stamp, None
                log.info("the certificate in %s has been replaced", self._options.cert)
        self._warn_of_end()

    def _take(self, loaded: tuple[ssl.SSLContext, float]) -> None:
        self._context, self.ends_at = loaded
        self._is_end_told = False
        self._warn_of_end()

    def _warn_of_end(self) -> None:
        left = self.ends_at - self._clock()
        if left < NEAR_ITS_END and not self._is_end_told:
            self._is_end_told = True
            log.warning(
                "the certificate in %s ends in %.1f days: replace the file, and it is taken",
                self._options.cert,
                left / 86400,
            )


def _stamp(options: TLSOptions) -> Stamp:
    files = (options.cert, options.key, options.client_ca)
    return tuple(None if path is None else _stamp_of(path) for path in files)


def _stamp_of(path: FilePath) -> tuple[int, ...]:
    try:
        found = os.stat(path)
    except OSError as error:
        return (error.errno or 0,)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _load(options: TLSOptions) -> tuple[ssl.SSLContext, float]:
    """The context, and when its certificate ends, in seconds since 1970."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[options.min_version]
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(["h2"])
    load_pair(context, options.cert, options.key)
    ends_at = _prove(context, options.cert)
    if options.client_ca is not None:
        load_authorities(context, options.client_ca)
        is_required = options.require_client_cert
        context.verify_mode = ssl.CERT_REQUIRED if is_required else ssl.CERT_OPTIONAL
    return context, ends_at


def _prove(context: ssl.SSLContext, cert: FilePath) -> float:
    """Shakes hands in memory with a client that believes this very certificate.

    Returns when it ends. Raises `ConfigError` for one that no client would take, whatever it
    believes: it is over, or not for servers.
    """
    believing = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    believing.check_hostname = False
    believing.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    believing.load_verify_locations(cert)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = believing.wrap_bio(to_client, to_server)
    server = context.wrap_bio(to_server, to_client, server_side=True)
    unfinished = [client, server]
    try:
        while unfinished:
            unfinished = [each for each in unfinished if not _shakes_hands(each)]
    except ssl.SSLCertVerificationError as error:
        raise pem_error(cert, f"no client would take it: {error.verify_message}") from None
    except ssl.SSLError as error:
        raise pem_error(cert, f"no handshake is possible with it: {error.reason}") from None
    found = client.getpeercert() or {}
    return float(ssl.cert_time_to_seconds(cast(str, found["notAfter"])))


def _shakes_hands(side: ssl.SSLObject) -> bool:
    """Whether its handshake is done."""
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True
