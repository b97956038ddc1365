"""What `serve` makes of the settings: one module a section, each with what the server takes."""

from __future__ import annotations

from .limits import limits_of
from .rooms import rooms_of

__all__ = ["limits_of", "rooms_of"]
