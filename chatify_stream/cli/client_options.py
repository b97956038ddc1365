"""The token that the client commands show to the server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..client import ClientTLS, client_tls
from ..config import ClientSettings, GatewaySettings
from ..errors import ConfigError, ConfigProblem, Status, UnavailableError, UsageError

__all__ = ["client_tls_of", "token_from_file", "token_of"]


def client_tls_of(settings: ClientSettings | GatewaySettings) -> ClientTLS | None:
    """The settings as a channel takes them; None for no TLS.

    Raises `ConfigError`, also for settings that are of no use.
    """
    section = "gateway" if isinstance(settings, GatewaySettings) else "client"
    if not settings.tls:
        for key in ("ca", "cert", "key", "server_name", "insecure_skip_verify"):
            if getattr(settings, key):
                raise _problem(f"{section}.{key}", "this is for TLS, which is off: add --tls")
        return None
    if settings.key is not None and settings.cert is None:
        raise _problem(f"{section}.key", f"it goes with a certificate: set {section}.cert, too")
    if settings.insecure_skip_verify and settings.ca is not None:
        raise _problem(
            f"{section}.insecure_skip_verify", f"it looks at no {section}.ca: take one of them"
        )
    return client_tls(
        ca=settings.ca,
        cert=settings.cert,
        key=settings.key,
        server_name=settings.server_name,
        insecure_skip_verify=settings.insecure_skip_verify,
    )


def _problem(source: str, text: str) -> ConfigError:
    return ConfigError([ConfigProblem(source, text)])


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
