"""`chatify-stream gateway`: run the HTTP gateway."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import click

from ...config import GatewaySettings
from ..client_options import tls_from_settings, token_from_file
from ..exit_codes import report_errors, require_extra
from ..logs.setup import configure_logging
from ..options import LOG, load_settings, settings_options
from ..serving.signals import serve_until_stopped

__all__ = ["gateway"]

log = logging.getLogger(__name__)


@click.command()
@settings_options("gateway", *LOG)
@report_errors
def gateway(config_file: Path | None, **flags: Any) -> None:
    """Run the HTTP gateway until Ctrl-C or SIGTERM.

    GET /helloworld/NAME sends NAME to the chat server and responds with its reply. The gateway
    prints "listening on HOST:PORT" once it accepts connections.
    """
    settings = load_settings(config_file, flags).settings
    configure_logging(settings.log)
    asyncio.run(_serve(settings.gateway))


async def _serve(settings: GatewaySettings) -> None:
    with require_extra("gateway", "the gateway"):
        from ...gateway import GatewayServer, create_app
    token = None if settings.token_file is None else token_from_file(settings.token_file)
    app = create_app(
        settings.target,
        settings.timeout,
        settings.balancing,
        token,
        tls_from_settings(settings),
    )
    server = GatewayServer(app)
    await serve_until_stopped(server, settings.host, settings.port, settings.grace)
    log.info("stopped")
