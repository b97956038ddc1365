"""`chatify-stream serve`: run the chat server."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from ...config import Settings
from ..exit_codes import report_errors
from ..options import SERVE, load_settings, settings_options


@click.command()
@settings_options(*SERVE)
@report_errors
def serve(config_file: Path | None, **flags: Any) -> None:
    """Run the chat server until Ctrl-C or SIGTERM.

    The server prints "listening on HOST:PORT" once it accepts connections. Most limits, and the
    retention of rooms, have no flags; `chatify-stream config init` lists them. SIGHUP reloads the
    configuration and applies every setting that does not require a restart. With several --workers,
    SIGHUP replaces them one after the other.
    """
    # Here, so that --help and wrong flags do not wait for the server to be imported.
    from ..logs.setup import ServerLog
    from ..serving.run import run_server
    from ..serving.workers.supervisor import run_workers

    def read() -> Settings:
        return load_settings(config_file, flags).settings

    settings = read()
    with ServerLog(settings.log) as server_log:
        if settings.server.workers > 1:
            asyncio.run(run_workers(settings, read))
        else:
            asyncio.run(run_server(settings, server_log, read))
