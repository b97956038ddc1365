"""One worker: `python -m chatify_stream.cli.serving.workers.worker`, which its supervisor starts.

Rules: the settings come as the first line of stdin, which stays open as long as the supervisor
lives; at its end the worker stops as on SIGTERM. Its stdout is that of `serve`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from ....config import Settings, restore_settings
from ...exit_codes import reporting_errors
from ...logs.setup import ServerLog
from ..run import run_server

__all__ = ["main"]

LINE = 1 << 20
"""Bytes, which are more than all settings take."""


@reporting_errors
def main() -> None:
    """Serves until SIGTERM, or until the supervisor is gone."""
    settings = restore_settings(_read_line())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the supervisor replaces it, when that is asked
    with ServerLog(settings.log) as server_log:
        asyncio.run(_serve(settings, server_log))


async def _serve(settings: Settings, server_log: ServerLog) -> None:
    asyncio.get_running_loop().add_reader(0, _stop_at_the_end)
    await run_server(settings, server_log, reuse_port=True)


def _read_line() -> str:
    """Without reading ahead."""
    line = b""
    while not line.endswith(b"\n") and (data := os.read(0, LINE)):
        line += data
    return line.decode()


def _stop_at_the_end() -> None:
    if not os.read(0, LINE):
        asyncio.get_running_loop().remove_reader(0)
        signal.raise_signal(signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
