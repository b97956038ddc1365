"""`[usage]`: how much one session, one user and one address may do, and who names addresses."""

from __future__ import annotations

import dataclasses
from typing import Any

from ....config import Settings, UsageSettings
from ....errors import ConfigError, ConfigProblem
from ....server import AddressHeader, UsageLimits
from ....wire import Rate

__all__ = ["address_header_of", "usage_of"]


def usage_of(settings: UsageSettings) -> UsageLimits:
    """The settings as the server takes them: the names are the same, rates have a class there."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(UsageLimits):
        value = getattr(settings, field.name)
        values[field.name] = Rate(*value) if isinstance(value, tuple) else value
    return UsageLimits(**values)


def address_header_of(settings: Settings) -> AddressHeader | None:
    """None when no header is believed. Raises `ConfigError` when nobody says whose is."""
    name, trusted = settings.usage.address_header, settings.server.trusted_proxies
    if name is None:
        return None
    if not trusted:
        text = "say by server.trusted_proxies whose header is believed"
        raise ConfigError([ConfigProblem("usage.address_header", text)])
    return AddressHeader(name, trusted)
