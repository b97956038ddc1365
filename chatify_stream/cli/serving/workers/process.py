"""One worker, as its supervisor sees it: a process that is starting, serves, and ends."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress

from ....config import Settings, dump_settings

__all__ = ["Worker"]

COMMAND = (sys.executable, "-m", "chatify_stream.cli.serving.workers.worker")

START_SECONDS = 60.0
"""For a worker to listen."""

SPARE_SECONDS = 5.0
"""For a worker to end after its grace, before it is killed."""


class Worker:
    """A process of its own session, so that a terminal's Ctrl-C reaches the supervisor alone."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, settings: Settings) -> Worker:
        """A worker that listens, or has ended already, as `status` tells.

        Raises `TimeoutError`, and has killed it, when it does neither within a minute.
        """
        process = await asyncio.create_subprocess_exec(
            *COMMAND, stdin=PIPE, stdout=PIPE, start_new_session=True
        )
        worker = cls(process)
        try:
            async with asyncio.timeout(START_SECONDS):
                assert process.stdin is not None  # noqa: S101 - PIPE
                process.stdin.write(f"{dump_settings(settings)}\n".encode())
                with suppress(ConnectionError):
                    await process.stdin.drain()
                assert process.stdout is not None  # noqa: S101
                if not await process.stdout.readline():
                    await process.wait()
        except BaseException:
            worker.kill()
            await worker.wait()
            raise
        return worker

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Its exit status, or minus the number of the signal that ended it; None while it runs."""
        return self._process.returncode

    async def wait(self) -> int:
        """Its exit status, once it has ended."""
        return await self._process.wait()

    def terminate(self) -> None:
        """Asks it to end; the second time, to do so at once."""
        with suppress(ProcessLookupError):
            self._process.terminate()

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()

    async def stop(self, grace: float) -> None:
        """Has it end within its grace, or kills it."""
        self.terminate()
        try:
            async with asyncio.timeout(grace + SPARE_SECONDS):
                await self.wait()
        except TimeoutError:
            self.kill()
            await self.wait()
