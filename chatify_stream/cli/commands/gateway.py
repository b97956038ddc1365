"""`chatify-stream gateway`: runs the HTTP gateway."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import click

from ...config import GatewaySettings
from ..client_options import client_tls_of, token_from_file
from ..exit_codes import CommandError, reporting_errors
from ..logs.setup import configure_logging
from ..options import LOG, load_settings, settings_options
from ..serving.signals import serve_until_stopped

__all__ = ["gateway"]

log = logging.getLogger(__name__)


@click.command()
@settings_options("gateway", *LOG)
@reporting_errors
def gateway(config_file: Path | None, **flags: Any) -> None:
    """Run the HTTP gateway until Ctrl-C or SIGTERM.

    GET /helloworld/NAME sends NAME to the chat server and answers with its reply. Prints
    "listening on HOST:PORT" once it accepts connections.
    """
    settings = load_settings(config_file, flags).settings
    configure_logging(settings.log)
    asyncio.run(_serve(settings.gateway))


async def _serve(settings: GatewaySettings) -> None:
    try:
        from ...gateway import GatewayServer, create_app
    except ModuleNotFoundError as error:
        raise CommandError(
            f"the gateway needs {error.name}: pip install 'chatify-stream[gateway]'"
        ) from error
    token = None if settings.token_file is None else token_from_file(settings.token_file)
    app = create_app(
        settings.target,
        settings.timeout,
        settings.balancing,
        token,
        client_tls_of(settings),
    )
    server = GatewayServer(app)
    await serve_until_stopped(server, settings.host, settings.port, settings.grace)
    log.info("stopped")
