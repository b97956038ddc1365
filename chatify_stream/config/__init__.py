"""Configuration: a TOML file, the environment and flags, made into frozen, checked settings."""

from __future__ import annotations

from .loading import CONFIG_VARIABLE, Loaded, load
from .rendering import render_default, render_effective
from .settings import (
    ClientSettings,
    GatewaySettings,
    LimitSettings,
    LogSettings,
    RoomSettings,
    ServerSettings,
    Setting,
    Settings,
    all_settings,
)

__all__ = [
    "CONFIG_VARIABLE",
    "ClientSettings",
    "GatewaySettings",
    "LimitSettings",
    "Loaded",
    "LogSettings",
    "RoomSettings",
    "ServerSettings",
    "Setting",
    "Settings",
    "all_settings",
    "load",
    "render_default",
    "render_effective",
]
