"""Settings on their way to another process."""

from __future__ import annotations

import dataclasses

from chatify_stream.config import (
    LimitSettings,
    RoomSettings,
    ServerSettings,
    Settings,
    dump_settings,
    restore_settings,
)


def test_defaults() -> None:
    """Dumped settings are one line, and are restored unchanged."""
    line = dump_settings(Settings())
    assert "\n" not in line
    assert restore_settings(line) == Settings()


def test_every_kind() -> None:
    """Values of every kind are restored, including no limit and special characters."""
    settings = dataclasses.replace(
        Settings(),
        server=ServerSettings(
            host="::1",
            grace=0.5,
            reply='{name}: "你好"\n\\ \U0001f600',
            paths=("/a.B/C", "/D/E"),
            reflection=True,
        ),
        limits=LimitSettings(max_connections=None, keepalive_time=None, pings=(7, 0.25)),
        rooms=RoomSettings(retention=(("a*", 10, 60.0), ("b", 0, 1.5)), port=9100),
    )
    assert restore_settings(dump_settings(settings)) == settings
