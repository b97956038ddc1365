"""`chatify-stream check`: check the health of a server, for probes and for people."""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import click

from ...config import ClientSettings, Settings
from ...errors import CallError, DeadlineExceededError, Status
from ...messages.grpc.health import v1
from ...wire import Cardinality
from ..client_options import open_channel
from ..exit_codes import CALL_FAILED, CommandError, exit_status
from ..options import LOG, with_settings
from ..output import aligned, safe_json

CHECK_PATH = "/grpc.health.v1.Health/Check"

PROBE_TIMEOUT = 5.0
"""Seconds, if no timeout is set: a probe must not wait forever."""

SERVING = v1.HealthCheckResponseServingStatus.SERVING


@dataclass(frozen=True)
class _Health:
    """The answer of a server."""

    target: str
    service: str
    status: str
    version: str | None
    """None if the server does not send it."""
    tls: str | None
    """The version of TLS; None for plaintext."""
    certificate_expires: str | None
    """ISO 8601. None without TLS, or if the certificate was not verified."""
    connect_ms: float
    """Name lookup, TCP, TLS and the HTTP/2 SETTINGS of the server."""
    answer_ms: float
    """From request to response, on the open connection."""


@click.command()
@click.option(
    "--service",
    default="",
    metavar="NAME",
    help="Check one service, such as service.v1.Service, instead of the whole server. "
    "service.v1.Service/rooms also reports whether the broker of the rooms is available.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@with_settings("client", *LOG)
def check(service: str, as_json: bool, settings: Settings) -> None:
    """Check the health of a server (grpc.health.v1).

    Without --timeout, wait at most 5 seconds.

    Exit status: 0 the server is serving; 2 wrong flags or configuration; 3 the --timeout passed;
    4 the server cannot be reached; 5 the server is not serving, or answered with an error; 130
    interrupted.
    """
    try:
        health = asyncio.run(_check(settings.client, service))
    except CallError as error:
        if as_json:
            click.echo(safe_json({"target": settings.client.target, "error": str(error)}))
        raise CommandError(str(error), exit_status(error)) from error
    click.echo(safe_json(asdict(health)) if as_json else "\n".join(_lines(health)))
    if health.status != SERVING.name:
        raise CommandError(f"{health.target} is {health.status}", CALL_FAILED)


async def _check(settings: ClientSettings, service: str) -> _Health:
    timeout = settings.timeout or PROBE_TIMEOUT
    async with open_channel(settings) as channel:
        began = time.perf_counter()
        try:
            async with asyncio.timeout(timeout):
                await channel.connect()
        except TimeoutError:
            text = f"{channel.target} did not answer within {timeout:g} s"
            raise DeadlineExceededError(Status.DEADLINE_EXCEEDED, text) from None
        connected = time.perf_counter()
        types = v1.HealthCheckRequest, v1.HealthCheckResponse
        call = channel.request(CHECK_PATH, Cardinality.UNARY_UNARY, *types, timeout=timeout)
        async with call as stream:
            await stream.send_message(v1.HealthCheckRequest(service=service), end=True)
            answer = await stream.recv_message()
            answered = time.perf_counter()
            await stream.recv_trailing_metadata()
            metadata = stream.trailing_metadata
            version = None if metadata is None else metadata.get("chatify-version")
            certificate = (stream.peer.cert() if stream.peer else None) or {}
            return _Health(
                target=channel.target,
                service=service,
                status=v1.HealthCheckResponseServingStatus(answer.status).name,
                version=None if version is None else str(version),
                tls=stream.tls_version,
                certificate_expires=_expiry(certificate.get("notAfter")),
                connect_ms=round(1000 * (connected - began), 3),
                answer_ms=round(1000 * (answered - connected), 3),
            )


def _expiry(not_after: str | None) -> str | None:
    """Convert the time format of certificates to ISO 8601."""
    if not_after is None:
        return None
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(not_after), UTC).isoformat()


def _lines(health: _Health) -> list[str]:
    rows = (
        ("service", health.service or None),
        ("status", health.status),
        ("version", health.version),
        ("TLS", health.tls or "none"),
        ("certificate until", health.certificate_expires),
        ("connecting", f"{health.connect_ms:.1f} ms"),
        ("answer", f"{health.answer_ms:.1f} ms"),
    )
    shown = [("", name, value) for name, value in rows if value is not None]
    return [health.target, *aligned(shown)]
