"""`chatify-stream gateway`: run the HTTP gateway."""

from __future__ import annotations

import asyncio
import logging

import click

from ...config import GatewaySettings, Settings
from ..client_options import tls_from_settings, token_from_file
from ..exit_codes import require_extra
from ..options import LOG, with_settings
from ..serving.signals import serve_until_stopped

log = logging.getLogger(__name__)


@click.command()
@with_settings("gateway", *LOG)
def gateway(settings: Settings) -> None:
    """Run the HTTP gateway until Ctrl-C or SIGTERM.

    GET /helloworld/NAME sends NAME to the chat server and responds with its reply. The gateway
    prints "listening on HOST:PORT" once it accepts connections.
    """
    asyncio.run(_serve(settings.gateway))


async def _serve(settings: GatewaySettings) -> None:
    with require_extra("gateway", "the gateway"):
        from ...gateway import GatewayServer, create_app
    token = None if settings.token_file is None else token_from_file(settings.token_file)
    app = create_app(
        settings.target, settings.timeout, settings.balancing, token, tls_from_settings(settings)
    )
    server = GatewayServer(app)
    await serve_until_stopped(server, settings.host, settings.port, settings.grace)
    log.info("stopped")
