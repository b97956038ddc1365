"""Run one chat server with the settings until a signal stops it."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial

from ...address import Address
from ...assembly import ChatServer
from ...config import Settings
from ...config.settings import reply_template
from ...errors import UsageError
from ...limits import Limits, UsageLimits
from ..logs.setup import ServerLog, log_uncaught_errors
from . import options
from .reload import Part, Reloader, reload_on_hangup
from .signals import serve_until_stopped

OBJECTS_BETWEEN_COLLECTIONS = 50_000

log = logging.getLogger(__name__)


def make_server(settings: Settings) -> ChatServer:
    """Return the server that the settings describe. Raises `ConfigError`."""
    return ChatServer(
        reply=reply_template(settings.server.reply),
        paths=settings.server.paths,
        reflection=settings.server.reflection,
        limits=options.options_from(settings.limits, Limits),
        rooms=options.room_options(settings.rooms),
        auth=options.authenticator(settings.auth),
        access_log=settings.log.access,
        log_stalls=settings.log.stall,
        metrics=options.metrics_options(settings.metrics),
        tracing=options.tracing_options(settings.tracing),
        tls=options.tls_options(settings.tls),
        proxy_protocol_from=options.proxy_networks(settings.server),
        usage=options.options_from(settings.usage, UsageLimits),
        address_header=options.address_header(settings),
    )


async def run_server(
    settings: Settings,
    server_log: ServerLog,
    read: Callable[[], Settings] | None = None,
    *,
    reuse_port: bool = False,
) -> None:
    """Run a server until a signal stops it.

    `read` returns the current settings, which SIGHUP reloads; without it, SIGHUP is not handled.
    With `reuse_port`, other processes may listen on the same ports.
    """
    log_uncaught_errors(asyncio.get_running_loop())
    server = make_server(settings)
    collect_garbage_less_often()

    def more_lines() -> list[str]:
        if warning := options.open_access_warning(settings):
            log.warning("%s", warning)
        metrics_port = None if settings.metrics.port is None else server.metrics_port
        return listening_lines(settings, server.rooms_port, metrics_port)

    async with AsyncExitStack() as stack:
        if read is not None:
            reloader = Reloader(read, settings, _parts(server, server_log, settings))
            await stack.enter_async_context(reload_on_hangup(reloader))
        start = partial(server.start, reuse_port=reuse_port)
        host, port, grace = settings.server.host, settings.server.port, settings.server.grace
        await serve_until_stopped(server, host, port, grace, more_lines, start)
    log.info("stopped")


def listening_lines(settings: Settings, rooms_port: int, metrics_port: int | None) -> list[str]:
    """Return the addresses of the Rooms service and the metrics, if they have their own ports."""
    lines, rooms = [], settings.rooms
    if rooms.enabled and rooms.service and rooms.port is not None:
        lines.append(f"the rooms service on {Address(rooms.host, rooms_port)}")
    if metrics_port is not None:
        lines.append(f"metrics on {Address(settings.metrics.host, metrics_port)}")
    return lines


def collect_garbage_less_often() -> None:
    """Run Python's cyclic garbage collector after 50,000 new objects instead of 700.

    Thousands of streams create 700 objects all the time, which doubles the cost of a message. A
    closed stream leaves almost no reference cycles behind.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)


def _parts(server: ChatServer, server_log: ServerLog, settings: Settings) -> list[Part]:
    """Return the parts of the server that SIGHUP reloads. `settings` are those in effect."""
    auth_settings = settings.auth
    uses_tls = settings.tls.cert is not None
    usage_names = [f"usage.{field.name}" for field in dataclasses.fields(UsageLimits)]

    async def auth(settings: Settings) -> str | None:
        nonlocal auth_settings
        server.auth, have_keys_changed = options.reload_authenticator(
            server.auth, auth_settings, settings.auth
        )
        auth_settings = settings.auth
        return "the token keys" if have_keys_changed else None

    async def log_settings(settings: Settings) -> None:
        server_log.change(settings.log)

    async def tls(settings: Settings) -> str | None:
        new = options.tls_options(settings.tls)
        if new is None or not uses_tls:
            raise UsageError("TLS cannot be turned on or off by a reload; restart the server")
        return "the certificate" if server.reload_tls(new) else None

    async def limits(settings: Settings) -> None:
        server.limits = options.options_from(settings.limits, Limits)

    async def usage(settings: Settings) -> None:
        server.usage = options.options_from(settings.usage, UsageLimits)

    return [
        Part(("log.level", "log.format", "log.rate"), log_settings),
        Part(("limits",), limits),
        Part(usage_names, usage),
        Part(("auth",), auth, has_files=True),
        Part(("tls",), tls, has_files=uses_tls),
    ]
