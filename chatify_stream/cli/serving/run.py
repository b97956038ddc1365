"""Runs one chat server by the settings, until a signal stops it."""

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
from ...config.template import reply_template
from ...errors import UsageError
from ...server import UsageLimits
from ..logs.setup import ServerLog
from ..logs.uncaught import log_faults
from .options import (
    address_header_of,
    auth_of,
    believes_everybody,
    limits_of,
    metrics_of,
    proxies_of,
    reloaded_auth,
    rooms_of,
    tls_of,
    tracing_of,
    usage_of,
)
from .reload import Part, Reloader, reloading_on_hangup
from .signals import serve_until_stopped

__all__ = ["collect_garbage_less_often", "listening_lines", "run_server"]

OBJECTS_BETWEEN_COLLECTIONS = 50_000

log = logging.getLogger(__name__)


async def run_server(
    settings: Settings,
    server_log: ServerLog,
    read: Callable[[], Settings] | None = None,
    *,
    reuse_port: bool = False,
) -> None:
    """Runs it. `read` gives the settings as they are by then, for SIGHUP to reload.

    `reuse_port`: other processes may listen on the same ports.
    """
    log_faults(asyncio.get_running_loop())
    ours = settings.server
    server = ChatServer(
        reply=reply_template(ours.reply),
        paths=ours.paths,
        reflection=ours.reflection,
        limits=limits_of(settings.limits),
        rooms=rooms_of(settings.rooms),
        auth=auth_of(settings.auth),
        access_log=settings.log.access,
        log_stalls=settings.log.stall,
        metrics=metrics_of(settings.metrics),
        tracing=tracing_of(settings.tracing),
        tls=tls_of(settings.tls),
        proxy_protocol_from=proxies_of(settings.server),
        usage=usage_of(settings.usage),
        address_header=address_header_of(settings),
    )
    collect_garbage_less_often()

    def also() -> list[str]:
        if warning := believes_everybody(settings):
            log.warning("%s", warning)
        metrics_port = None if settings.metrics.port is None else server.metrics_port
        return listening_lines(settings, server.rooms_port, metrics_port)

    async with AsyncExitStack() as stack:
        if read is not None:
            reloader = Reloader(read, settings, _parts(server, server_log, settings))
            await stack.enter_async_context(reloading_on_hangup(reloader))
        start = partial(server.start, reuse_port=reuse_port)
        await serve_until_stopped(server, ours.host, ours.port, ours.grace, also, start)
    log.info("stopped")


def listening_lines(settings: Settings, rooms_port: int, metrics_port: int | None) -> list[str]:
    """Where it listens beside its own port."""
    lines, rooms = [], settings.rooms
    if rooms.enabled and rooms.service and rooms.port is not None:
        lines.append(f"the rooms service on {Address(rooms.host, rooms_port)}")
    if metrics_port is not None:
        lines.append(f"metrics on {Address(settings.metrics.host, metrics_port)}")
    return lines


def collect_garbage_less_often() -> None:
    """Python looks for cycles whenever there are 700 new objects, as thousands of streams have.

    That doubles the cost of a message; and a stream that ends leaves hardly a cycle behind.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)


def _parts(server: ChatServer, server_log: ServerLog, settings: Settings) -> list[Part]:
    """What a SIGHUP reloads. `settings` are those in effect."""
    auth_settings = settings.auth
    uses_tls = settings.tls.cert is not None
    usage_names = [f"usage.{field.name}" for field in dataclasses.fields(UsageLimits)]

    async def auth(settings: Settings) -> str | None:
        nonlocal auth_settings
        server.auth, have_keys_changed = reloaded_auth(server.auth, auth_settings, settings.auth)
        auth_settings = settings.auth
        return "the keys of tokens" if have_keys_changed else None

    async def log_settings(settings: Settings) -> None:
        server_log.change(settings.log)

    async def tls(settings: Settings) -> str | None:
        options = tls_of(settings.tls)
        if options is None or not uses_tls:
            raise UsageError("TLS is turned on or off by a restart")
        return "the certificate" if server.reload_tls(options) else None

    async def limits(settings: Settings) -> None:
        server.limits = limits_of(settings.limits)

    async def usage(settings: Settings) -> None:
        server.usage = usage_of(settings.usage)

    return [
        Part(("log.level", "log.format", "log.rate"), log_settings),
        Part(("limits",), limits),
        Part(usage_names, usage),
        Part(("auth",), auth, has_files=True),
        Part(("tls",), tls, has_files=uses_tls),
    ]
