"""Test helpers for embedders and for authors of brokers. The library itself does not use them."""

from .broker_contract import BrokerContract
from .doubles import FakeClock, Recorder

__all__ = ["BrokerContract", "FakeClock", "Recorder"]
