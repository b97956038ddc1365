"""`chatify-stream serve`: runs the chat server."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from ...config import Settings
from ..exit_codes import reporting_errors
from ..logs.setup import ServerLog
from ..options import SERVE, load_settings, settings_options
from ..serving.run import run_server
from ..serving.workers import run_workers

__all__ = ["serve"]


@click.command()
@settings_options(*SERVE)
@reporting_errors
def serve(config_file: Path | None, **flags: Any) -> None:
    """Run the chat server until Ctrl-C or SIGTERM.

    Prints "listening on HOST:PORT" once it accepts connections. Most limits, and how much rooms
    keep, have no flags; `chatify-stream config init` lists them. SIGHUP has the configuration read
    again, and what can change without a restart changes; with several --workers, it replaces them
    one after the other.
    """

    def read() -> Settings:
        return load_settings(config_file, flags).settings

    settings = read()
    with ServerLog(settings.log) as server_log:
        if settings.server.workers > 1:
            asyncio.run(run_workers(settings, read))
        else:
            asyncio.run(run_server(settings, server_log, read))
