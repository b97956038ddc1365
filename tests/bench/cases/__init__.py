"""What is measured, and how fast we want to be."""

from __future__ import annotations

from .case import BESIDE, Case, Target
from .rooms import ROOM_CASES
from .scaling import SCALING, SCALING_KEY
from .wire import WIRE_CASES

__all__ = ["BESIDE", "CASES", "ROOM_CASES", "SCALING", "SCALING_KEY", "Case", "Target"]

CASES = (*WIRE_CASES, *ROOM_CASES)
