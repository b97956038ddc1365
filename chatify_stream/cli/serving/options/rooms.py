"""`[rooms]`: the rooms and their broker."""

from __future__ import annotations

from ....config import RoomSettings
from ....rooms import Retention, RetentionRule
from ....server import RoomOptions

__all__ = ["rooms_of"]


def rooms_of(settings: RoomSettings) -> RoomOptions | None:
    """The settings as the server takes them; None when rooms are turned off."""
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
