"""Options of the commands that call a server: TLS and the token, from the settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..client import Channel, ClientTLS, client_tls
from ..config import ClientSettings, GatewaySettings
from ..errors import ConfigError, ConfigProblem, Status, UnavailableError, UsageError

TLS_KEYS = ("ca", "cert", "key", "server_name", "insecure_skip_verify")
"""Settings that have an effect only with TLS."""

MAX_TOKEN_SIZE = 16 * 1024
"""Bytes. The default limit of a server for all headers of a call is the same."""


def tls_from_settings(settings: ClientSettings | GatewaySettings) -> ClientTLS | None:
    """Return the TLS options for a channel, or None if TLS is off.

    Raises `ConfigError` if settings contradict each other, or have no effect because TLS is off.
    """
    section = "gateway" if isinstance(settings, GatewaySettings) else "client"
    if not settings.tls:
        for key in TLS_KEYS:
            if getattr(settings, key):
                raise _problem(f"{section}.{key}", "has no effect without TLS; add --tls")
        return None
    if settings.key is not None and settings.cert is None:
        raise _problem(f"{section}.key", f"requires a certificate; set {section}.cert")
    if settings.insecure_skip_verify and settings.ca is not None:
        raise _problem(
            f"{section}.insecure_skip_verify",
            f"cannot be combined with {section}.ca; remove one of them",
        )
    return client_tls(**{key: getattr(settings, key) for key in TLS_KEYS})


def open_channel(settings: ClientSettings) -> Channel:
    """Return a channel to the server, not yet connected. Raises `ConfigError`."""
    return Channel(
        target=settings.target,
        connect_timeout=settings.connect_timeout,
        ssl=tls_from_settings(settings),
    )


def _problem(source: str, text: str) -> ConfigError:
    return ConfigError([ConfigProblem(source, text)])


def token_from_settings(settings: ClientSettings) -> str | Callable[[], str] | None:
    """Return the token as the clients accept it. Raises `UsageError` if it is set twice."""
    if settings.token_file is None:
        return settings.token
    if settings.token is not None:
        raise UsageError("client.token: cannot be combined with client.token_file; remove one")
    return token_from_file(settings.token_file)


def token_from_file(path: str) -> Callable[[], str]:
    """Return a function that reads the token for each call, so the file can be renewed.

    The function raises `UnavailableError` if the file cannot be read or contains no token.
    """

    def read() -> str:
        try:
            with Path(path).open("rb") as file:
                data = file.read(MAX_TOKEN_SIZE + 1)
        except OSError as error:
            raise UnavailableError(
                Status.UNAVAILABLE, f"token file {path}: cannot be read: {error.strerror}"
            ) from error
        token = data.decode("ascii", "replace").strip()
        if not token or len(data) > MAX_TOKEN_SIZE:
            raise UnavailableError(
                Status.UNAVAILABLE,
                f"token file {path}: must contain a token of at most {MAX_TOKEN_SIZE} bytes",
            )
        return token

    return read
