"""TLS of the commands that talk to a server."""

from __future__ import annotations

from ..client import ClientTLS, client_tls
from ..config import ClientSettings, GatewaySettings
from ..errors import ConfigError, ConfigProblem

__all__ = ["client_tls_of"]


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
