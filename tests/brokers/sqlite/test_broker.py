"""Tests of brokers/sqlite/broker.py: the contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chatify_stream.brokers.sqlite import SQLiteBroker
from chatify_stream.testing import BrokerContract


class TestContract(BrokerContract):
    durable = True

    @pytest.fixture(autouse=True)
    def _path(self, tmp_path: Path) -> None:
        self.path = tmp_path / "chat.db"

    async def make_broker(self, **options: Any) -> SQLiteBroker:
        return SQLiteBroker(self.path, **options)
