"""For those who test against this library, or who write a broker. Not used by it."""

from __future__ import annotations

from .broker_contract import BrokerContract
from .clock import FakeClock
from .recorder import Recorder

__all__ = ["BrokerContract", "FakeClock", "Recorder"]
