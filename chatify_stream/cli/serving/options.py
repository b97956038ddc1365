"""Options of the server, made from the settings: one function for each part of `ChatServer`.

Every function raises `ConfigError` for settings that contradict each other, or that have no effect
because another setting is missing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TypeVar

from ... import config
from ...address import is_loopback
from ...auth import Authenticator, CertificateAuthenticator, JwtAuthenticator
from ...errors import ConfigError, ConfigProblem, UsageError
from ...limits import Limits, UsageLimits
from ...rooms import Retention, RetentionRule
from ...server import AddressHeader, RoomOptions, TLSOptions
from ...server.telemetry import MetricsOptions, TracingOptions

T = TypeVar("T", Limits, UsageLimits, TLSOptions)


def options_from(settings: object, kind: type[T]) -> T:
    """Return options with the values of the settings of the same names."""
    return kind(**{field.name: getattr(settings, field.name) for field in dataclasses.fields(kind)})


def tls_options(settings: config.TLSSettings) -> TLSOptions | None:
    """Return the TLS options, or None without a certificate."""
    if settings.cert is None:
        for key in ("key", "client_ca", "require_client_cert"):
            if getattr(settings, key):
                raise _problem(f"tls.{key}", "has no effect without a certificate; set tls.cert")
        return None
    if settings.require_client_cert and settings.client_ca is None:
        raise _problem("tls.require_client_cert", "requires a CA; set tls.client_ca")
    return options_from(settings, TLSOptions)


def proxy_networks(settings: config.ServerSettings) -> Sequence[str] | None:
    """Return the networks whose connections start with a PROXY header, or None."""
    if not settings.proxy_protocol:
        return None
    if not settings.trusted_proxies:
        raise _problem(
            "server.proxy_protocol",
            "requires trusted proxies; set server.trusted_proxies (0.0.0.0/0 and ::/0 trust every "
            "address: anyone who can reach the port can then claim any client address)",
        )
    return settings.trusted_proxies


def address_header(settings: config.Settings) -> AddressHeader | None:
    """Return the header in which trusted proxies send the client address, or None."""
    name, trusted = settings.usage.address_header, settings.server.trusted_proxies
    if name is None:
        return None
    if not trusted:
        raise _problem(
            "usage.address_header", "requires trusted proxies; set server.trusted_proxies"
        )
    return AddressHeader(name, trusted)


def room_options(settings: config.RoomSettings) -> RoomOptions | None:
    """Return the options of rooms, or None if rooms are off."""
    if not settings.enabled:
        return None
    return RoomOptions(
        broker=settings.broker,
        retention=Retention(settings.retention_count, settings.retention_age),
        retention_rules=[
            RetentionRule(pattern, Retention(count, age))
            for pattern, count, age in settings.retention
        ],
        max_message_size=settings.max_message_size,
        max_outbox=settings.max_outbox,
        service=settings.service,
        service_host=settings.host,
        service_port=settings.port,
    )


def metrics_options(settings: config.MetricsSettings) -> MetricsOptions | None:
    """Return the options of the metrics endpoint, or None without a port."""
    return None if settings.port is None else MetricsOptions(settings.port, settings.host)


def tracing_options(settings: config.TracingSettings) -> TracingOptions | bool:
    """Return the options of tracing, or False if tracing is off."""
    return settings.enabled and TracingOptions(message_sampling=settings.message_sampling)


def authenticator(settings: config.AuthSettings) -> Authenticator | None:
    """Return the authenticator, or None if authentication is off."""
    has_keys = settings.secret_file is not None or settings.keys is not None
    if has_keys and settings.mode != "jwt":
        raise _problem("auth", 'auth.secret_file and auth.keys require auth.mode = "jwt"; set it')
    if settings.mode == "jwt" and not has_keys:
        problem = 'auth.mode = "jwt" requires a key; set auth.secret_file or auth.keys'
        raise _problem("auth", problem)
    try:
        if settings.mode == "jwt":
            return JwtAuthenticator(
                secret_file=settings.secret_file,
                keys=settings.keys,
                audience=settings.audience,
                issuer=settings.issuer,
                leeway=settings.leeway,
                default_rights=settings.default_rights,
                admins=settings.admins,
            )
        if settings.mode == "certificate":
            return CertificateAuthenticator(
                user=settings.certificate_user,
                default_rights=settings.default_rights,
                admins=settings.admins,
            )
    except UsageError as error:
        raise _problem("auth", str(error)) from error
    return None


def reload_authenticator(
    current: Authenticator | None, old: config.AuthSettings, new: config.AuthSettings
) -> tuple[Authenticator | None, bool]:
    """Return the authenticator for new settings, and whether the keys in its files changed.

    The current one is returned, with its keys read again, if the settings are the same. It stays
    unchanged if `ConfigError` or `UsageError` is raised.
    """
    if old != new:
        return authenticator(new), False
    return current, isinstance(current, JwtAuthenticator) and current.reload()


def open_access_warning(settings: config.Settings) -> str | None:
    """Return a warning for a server without authentication that other machines can reach."""
    if settings.auth.mode != "off" or is_loopback(settings.server.host):
        return None
    return (
        f"authentication is off and the server listens on {settings.server.host}: anyone who can "
        "reach this port can read and write every room under any name; "
        "set auth.mode to require authentication"
    )


def _problem(source: str, text: str) -> ConfigError:
    return ConfigError([ConfigProblem(source, text)])
