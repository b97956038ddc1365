"""Surveys among servers, and the availability of the storage."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from ..doubles import Recorder
from .basis import Basis

EVERY_BYTE = bytes(range(256))


class Survey(Basis):
    async def test_survey_without_other_servers(self) -> None:
        """A survey without other servers has no answers and does not reach its sender."""
        async with self.opened() as (broker, recorder), asyncio.timeout(self.timeout):
            assert await broker.survey(EVERY_BYTE) == ([], 0)
            assert recorder.commands == []

    async def test_survey_reaches_all_others(self) -> None:
        """Every other server receives any bytes once, and its answer is returned."""
        if not self.shared:
            return
        async with AsyncExitStack() as stack, asyncio.timeout(self.timeout):
            opened = [await stack.enter_async_context(self.opened()) for _ in range(3)]
            for index, (broker, own) in enumerate(opened):
                for command in (b"", EVERY_BYTE, b"%d" % index):
                    assert await broker.survey(command) == ([command[::-1]] * 2, 0)
                    for _, recorder in opened:
                        assert recorder.commands == ([] if recorder is own else [command])
                        recorder.commands.clear()

    async def test_concurrent_surveys(self) -> None:
        """Each survey gets the answers to its own command."""
        if not self.shared:
            return
        async with self.opened() as one, self.opened() as other, asyncio.timeout(self.timeout):
            commands = [b"%d" % number for number in range(200)]
            surveys = [broker.survey(each) for broker, _ in (one, other) for each in commands]
            answers = await asyncio.gather(*surveys)
            assert answers == [([each[::-1]], 0) for each in commands * 2]
            assert sorted(one[1].commands) == sorted(other[1].commands) == sorted(commands)

    async def test_after_another_was_closed(self) -> None:
        """A survey does not wait for a server that was closed."""
        if not self.shared:
            return
        async with self.opened() as (broker, _), asyncio.timeout(self.timeout):
            async with self.opened() as (_, gone):
                pass
            while await broker.survey(b"hello") != ([], 0):  # noqa: ASYNC110 - no event exists
                await asyncio.sleep(0.01)
            assert gone.commands == []

    async def test_availability(self) -> None:
        """A broker is available only while it is open."""
        broker = await self.make_broker(clock=self.clock)
        assert not broker.is_available
        await broker.open(Recorder())
        try:
            async with asyncio.timeout(self.timeout):
                while not broker.is_available:  # noqa: ASYNC110 - no event exists
                    await asyncio.sleep(0.01)
        finally:
            await broker.close()
        assert not broker.is_available
