"""Tests of LeanEvent in wire/connection/connection.py: it behaves like asyncio.Event."""

from __future__ import annotations

import asyncio

import pytest

from chatify_stream.wire.connection.connection import LeanEvent


@pytest.mark.parametrize("kind", [LeanEvent, asyncio.Event])
class TestFlag:
    async def test_who_waits_is_woken(self, kind: type[LeanEvent]) -> None:
        """All who wait go on, once it is set; who comes later does not wait."""
        flag = kind()
        waiting = [asyncio.create_task(flag.wait()) for _ in range(3)]
        await asyncio.sleep(0)
        assert not flag.is_set()
        flag.set()
        flag.set()
        assert flag.is_set()
        assert await asyncio.gather(*waiting) == [True] * 3
        assert await flag.wait()

    async def test_set_and_cleared_at_once(self, kind: type[LeanEvent]) -> None:
        """Who waited when it was set goes on, even if it is cleared before."""
        flag = kind()
        waiting = asyncio.create_task(flag.wait())
        await asyncio.sleep(0)
        flag.set()
        flag.clear()
        assert await asyncio.wait_for(waiting, 10)
        again = asyncio.create_task(flag.wait())
        await asyncio.sleep(0)
        assert not again.done()
        flag.set()
        assert await again

    async def test_who_is_cancelled(self, kind: type[LeanEvent]) -> None:
        """One that is cancelled waits no more; the others do, whenever it is set."""
        flag = kind()
        first, second = [asyncio.create_task(flag.wait()) for _ in range(2)]
        await asyncio.sleep(0)
        first.cancel()
        flag.set()
        assert await second
        with pytest.raises(asyncio.CancelledError):
            await first


def test_set_from_the_beginning() -> None:
    """A flag may be made set."""
    assert LeanEvent(True).is_set()
