"""Configuration: a TOML file, the environment and flags, made into frozen, checked settings."""

from __future__ import annotations

from .loader import CONFIG_VARIABLE, Loaded, load
from .renderer import render_default, render_effective
from .settings import (
    AuthSettings,
    ClientSettings,
    GatewaySettings,
    LimitSettings,
    LogSettings,
    MetricsSettings,
    RoomSettings,
    ServerSettings,
    Setting,
    Settings,
    TLSSettings,
    TracingSettings,
    UsageSettings,
    all_settings,
)
from .transfer import dump_settings, restore_settings

__all__ = [
    "CONFIG_VARIABLE",
    "AuthSettings",
    "ClientSettings",
    "GatewaySettings",
    "LimitSettings",
    "Loaded",
    "LogSettings",
    "MetricsSettings",
    "RoomSettings",
    "ServerSettings",
    "Setting",
    "Settings",
    "TLSSettings",
    "TracingSettings",
    "UsageSettings",
    "all_settings",
    "dump_settings",
    "load",
    "render_default",
    "render_effective",
    "restore_settings",
]
