"""TLS of the server, with a certificate that can be replaced while the server runs.

A new certificate is used only after it was loaded completely and a test handshake succeeded;
otherwise nothing changes. An open connection keeps the certificate that it began with. Files are
compared by modification time, size and identity, after following symbolic links, so that pointing
a link to another folder counts as a change.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, cast

from ..errors import ConfigError, UsageError
from ..wire.tls.contexts import FilePath, load_authorities, load_pair, pem_error

log = logging.getLogger(__name__)

CHECK_INTERVAL = 5.0
"""Seconds between two checks of the files."""

EXPIRY_WARNING = 14 * 86400.0
"""Seconds before the expiry of the certificate when a warning is logged."""

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""The ciphers of TLS 1.2 that HTTP/2 does not prohibit (RFC 9113, 9.2.2)."""

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

Stamp = tuple[tuple[int, ...] | None, ...]
"""The identity and the modification time of each file."""


@dataclass(frozen=True)
class TLSOptions:
    """The files of a server's TLS, all in PEM format.

    The files are read when the server starts. Raises `UsageError` for options that contradict
    each other.
    """

    cert: FilePath
    """The certificate chain of the server, its own certificate first."""

    key: FilePath | None = None
    """The private key, unencrypted. None if it is in the file `cert`."""

    client_ca: FilePath | None = None
    """The CAs that client certificates must be signed by. None requests no client certificate."""

    require_client_cert: bool = False
    """Reject clients without a certificate; needs `client_ca`."""

    min_version: Literal["1.2", "1.3"] = "1.2"
    """The minimum version of TLS."""

    def __post_init__(self) -> None:
        if self.require_client_cert and self.client_ca is None:
            raise UsageError("require_client_cert needs client_ca; pass the CAs of the clients")
        if self.min_version not in _VERSIONS:
            raise UsageError(f"min_version must be '1.2' or '1.3', not {self.min_version!r}")


class ServerTLS:
    """Provides the context of each handshake, and loads the files again when they change."""

    expires_at: float
    """When the certificate expires, in seconds since 1970."""

    def __init__(self, options: TLSOptions, *, clock: Callable[[], float] = time.time) -> None:
        """Load the files. Raises `ConfigError`, which names the file and the problem.

        `clock` returns seconds since 1970.
        """
        self._options = options
        self._clock = clock
        self._checked = _stamp(options)  # files that were loaded last, or could not be loaded
        self._failed: Stamp | None = None  # files that could not be loaded at the last check
        self._timer: asyncio.TimerHandle | None = None
        self._use(_load(options))

    def context(self) -> ssl.SSLContext:
        """Return the context for a handshake that begins now."""
        return self._context

    def reload(self, options: TLSOptions | None = None) -> bool:
        """Load the files again, or those of `options`; return whether anything has changed.

        Connections that are made afterwards use the new certificate. Raises `ConfigError` if the
        files cannot be used; the certificate in use stays.
        """
        options = self._options if options is None else options
        stamp = _stamp(options)
        try:
            loaded = _load(options)
        except ConfigError:
            if options == self._options:  # the caller has the error, so the log does not need it
                self._checked = stamp
            raise
        has_changed = (options, stamp) != (self._options, self._checked)
        self._options, self._checked, self._failed = options, stamp, None
        self._use(loaded)
        return has_changed

    def start_watching(self) -> None:
        """Check the files every few seconds until `stop_watching`, in the running event loop."""
        self._timer = asyncio.get_running_loop().call_later(CHECK_INTERVAL, self._watch)

    def _watch(self) -> None:
        self.start_watching()
        self.check_files()

    def stop_watching(self) -> None:
        """Stop checking the files. May be called again."""
        if self._timer is not None:
            self._timer.cancel()

    def check_files(self) -> None:
        """Load the files if they have changed, and warn if the certificate expires soon."""
        stamp = _stamp(self._options)
        if stamp != self._checked:
            try:
                self._use(_load(self._options))
            except ConfigError as error:
                # Files are replaced one after the other, so the next check may succeed.
                if stamp == self._failed:
                    self._checked = stamp
                    log.error("new certificate rejected, keeping the previous one: %s", error)
                self._failed = stamp
            else:
                self._checked, self._failed = stamp, None
                log.info("certificate reloaded from %s", self._options.cert)
        self._warn_of_expiry()

    def _use(self, loaded: tuple[ssl.SSLContext, float]) -> None:
        self._context, self.expires_at = loaded
        self._has_warned = False
        self._warn_of_expiry()

    def _warn_of_expiry(self) -> None:
        left = self.expires_at - self._clock()
        if left < EXPIRY_WARNING and not self._has_warned:
            self._has_warned = True
            log.warning(
                "certificate in %s expires in %.1f days; replace the file, it is reloaded then",
                self._options.cert,
                left / 86400,
            )


def _stamp(options: TLSOptions) -> Stamp:
    files = (options.cert, options.key, options.client_ca)
    return tuple(None if path is None else _file_stamp(path) for path in files)


def _file_stamp(path: FilePath) -> tuple[int, ...]:
    try:
        found = os.stat(path)
    except OSError as error:
        return (error.errno or 0,)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _load(options: TLSOptions) -> tuple[ssl.SSLContext, float]:
    """Return the context, and when its certificate expires, in seconds since 1970."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[options.min_version]
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(["h2"])
    load_pair(context, options.cert, options.key)
    expires_at = _test_handshake(context, options.cert)
    if options.client_ca is not None:
        load_authorities(context, options.client_ca)
        is_required = options.require_client_cert
        context.verify_mode = ssl.CERT_REQUIRED if is_required else ssl.CERT_OPTIONAL
    return context, expires_at


def _test_handshake(context: ssl.SSLContext, cert: FilePath) -> float:
    """Perform a handshake in memory with a client that trusts this certificate.

    Returns when the certificate expires. Raises `ConfigError` for a certificate that clients
    reject even if they trust it: it has expired, or is not for servers.
    """
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname = False
    client_context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client_context.load_verify_locations(cert)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server)
    server = context.wrap_bio(to_server, to_client, server_side=True)
    unfinished = [client, server]
    try:
        while unfinished:
            for side in tuple(unfinished):
                with suppress(ssl.SSLWantReadError):
                    side.do_handshake()
                    unfinished.remove(side)
    except ssl.SSLCertVerificationError as error:
        raise pem_error(cert, f"clients would reject it: {error.verify_message}") from None
    except ssl.SSLError as error:
        raise pem_error(cert, f"no handshake is possible with it: {error.reason}") from None
    found = client.getpeercert() or {}
    return float(ssl.cert_time_to_seconds(cast(str, found["notAfter"])))
