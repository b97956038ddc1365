from __future__ import annotations

from collections.abc import Iterator

import pytest

from .servers import RedisServer, redis_server


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[RedisServer]:
    """One that tests share, with prefixes of their own; none of them ends it."""
    with redis_server() as server:
        yield server
