"""`[limits]`: what one client may cost."""

from __future__ import annotations

import dataclasses
from typing import Any

from ....config import LimitSettings
from ....wire import Limits, Rate

__all__ = ["limits_of"]


def limits_of(settings: LimitSettings) -> Limits:
    """The settings as the server takes them: the names are the same, rates have a class there."""
    values: dict[str, Any] = {
        name: Rate(*value) if isinstance(value, tuple) else value
        for name, value in dataclasses.asdict(settings).items()
    }
    return Limits(**values)
