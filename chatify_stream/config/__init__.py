"""Configuration: frozen, checked settings from a TOML file, the environment and flags."""

from .loader import CONFIG_VARIABLE, Loaded, load
from .renderer import dump_settings, render_default, render_effective, restore_settings
from .section import Setting
from .settings import (
    AuthSettings,
    ClientSettings,
    GatewaySettings,
    LimitSettings,
    LogSettings,
    MetricsSettings,
    RoomSettings,
    ServerSettings,
    Settings,
    TLSSettings,
    TracingSettings,
    UsageSettings,
    all_settings,
)

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
