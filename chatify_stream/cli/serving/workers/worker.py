"""A worker process: `Worker`, its handle in the supervisor, and `main`, its program.

The supervisor sends the settings as the first line of the worker's standard input, and keeps the
pipe open. If the supervisor dies, the pipe ends, and the worker stops as on SIGTERM. The worker
prints the lines that `serve` prints; the first one says that it listens.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress

from ....config import Settings, dump_settings, restore_settings
from ...exit_codes import report_errors
from ...logs.setup import ServerLog
from ..run import run_server

COMMAND = (sys.executable, "-m", "chatify_stream.cli.serving.workers.worker")

START_TIMEOUT = 60.0
"""Seconds for a worker to listen."""

KILL_DELAY = 5.0
"""Seconds for a worker to end after its grace period, before it is killed."""

MAX_READ = 1 << 20
"""Bytes; more than all settings need."""


class Worker:
    """A worker, in the process of the supervisor.

    It has its own session, so that Ctrl-C in a terminal reaches only the supervisor.
    """

    def __init__(self, process: Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, settings: Settings) -> Worker:
        """Start a worker, and wait until it listens or has ended; `status` tells which.

        Raises `TimeoutError` after a minute, when it has killed the worker.
        """
        process = await asyncio.create_subprocess_exec(
            *COMMAND, stdin=PIPE, stdout=PIPE, start_new_session=True
        )
        worker = cls(process)
        try:
            async with asyncio.timeout(START_TIMEOUT):
                assert process.stdin is not None  # noqa: S101 - PIPE
                assert process.stdout is not None  # noqa: S101
                process.stdin.write(f"{dump_settings(settings)}\n".encode())
                with suppress(ConnectionError):
                    await process.stdin.drain()
                if not await process.stdout.readline():
                    await process.wait()
        except BaseException:
            await worker.kill()
            raise
        return worker

    @property
    def pid(self) -> int:
        """The process ID."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """The exit status, or minus the number of a fatal signal. None while the worker runs."""
        return self._process.returncode

    async def wait(self) -> int:
        """Wait until the worker has ended, and return its status."""
        return await self._process.wait()

    async def kill(self) -> None:
        """Send SIGKILL, and wait until the worker has ended."""
        with suppress(ProcessLookupError):
            self._process.kill()
        await self.wait()

    async def stop(self, grace: float) -> None:
        """Send SIGTERM, wait for the worker, and kill it if it exceeds `grace` seconds.

        The worker drains; after a second SIGTERM it stops immediately.
        """
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(grace + KILL_DELAY):
                await self.wait()
        except TimeoutError:
            await self.kill()


@report_errors
def main() -> None:
    """Run the worker until SIGTERM, or until the supervisor has ended."""
    settings = restore_settings(_read_line())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the supervisor handles it
    with ServerLog(settings.log) as server_log:
        asyncio.run(_serve(settings, server_log))


async def _serve(settings: Settings, server_log: ServerLog) -> None:
    asyncio.get_running_loop().add_reader(0, _stop_at_end_of_input)
    await run_server(settings, server_log, reuse_port=True)


def _read_line() -> str:
    """Read a line without reading ahead."""
    line = b""
    while not line.endswith(b"\n") and (data := os.read(0, MAX_READ)):
        line += data
    return line.decode()


def _stop_at_end_of_input() -> None:
    if not os.read(0, MAX_READ):
        asyncio.get_running_loop().remove_reader(0)
        signal.raise_signal(signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
