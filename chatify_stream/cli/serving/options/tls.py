"""`[tls]`, and the PROXY protocol: how connections come in."""

from __future__ import annotations

from collections.abc import Sequence

from ....config import ServerSettings, TLSSettings
from ....errors import ConfigError, ConfigProblem
from ....server import TLSOptions

__all__ = ["proxies_of", "tls_of"]


def tls_of(settings: TLSSettings) -> TLSOptions | None:
    """The settings as the server takes them; None when there is no certificate.

    Raises `ConfigError` for settings that are of no use.
    """
    if settings.cert is None:
        for key in ("key", "client_ca", "require_client_cert"):
            if getattr(settings, key):
                raise _problem(f"tls.{key}", "without tls.cert there is no TLS: set it, too")
        return None
    if settings.require_client_cert and settings.client_ca is None:
        raise _problem("tls.require_client_cert", "say by tls.client_ca who may sign them")
    return TLSOptions(
        cert=settings.cert,
        key=settings.key,
        client_ca=settings.client_ca,
        require_client_cert=settings.require_client_cert,
        min_version=settings.min_version,
    )


def proxies_of(settings: ServerSettings) -> Sequence[str] | None:
    """Whose connections begin with a header of the PROXY protocol; None for nobody's.

    Raises `ConfigError` when that is not said.
    """
    if not settings.proxy_protocol:
        return None
    if not settings.trusted_proxies:
        raise _problem(
            "server.proxy_protocol",
            "say by server.trusted_proxies from where; 0.0.0.0/0 and ::/0 are everywhere, and "
            "then who reaches the port can come from any address that he likes",
        )
    return settings.trusted_proxies


def _problem(source: str, text: str) -> ConfigError:
    return ConfigError([ConfigProblem(source, text)])
