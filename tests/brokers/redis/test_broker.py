"""Tests of brokers/redis/broker.py: the contract."""

from __future__ import annotations

from secrets import token_hex
from typing import Any

import pytest

from chatify_stream.brokers.redis import RedisBroker
from chatify_stream.testing import BrokerContract

from .servers import RedisServer


class TestContract(BrokerContract):
    durable = True
    shared = True

    @pytest.fixture(autouse=True)
    def _url(self, shared_redis: RedisServer) -> None:
        self.url = f"{shared_redis.url}/1?prefix={token_hex(4)}"

    async def make_broker(self, **options: Any) -> RedisBroker:
        return RedisBroker(self.url, **options)
