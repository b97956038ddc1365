"""The command line of the servers, and TLS for those on asyncio."""

from __future__ import annotations

import argparse
import ssl
from dataclasses import dataclass
from pathlib import Path

CHAT = "/service.v1.Service/Chat"
FANOUT = "/bench.Fanout/Chat"
ROOMS = "/bench.Rooms/Chat"
GREETING = "welcome"


@dataclass(frozen=True)
class TLS:
    """A server's certificate and its key: PEM files."""

    certificate: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.certificate, self.key)
        context.set_alpn_protocols(["h2"])
        return context


@dataclass(frozen=True)
class Arguments:
    """What the command line asks for."""

    tls: TLS | None
    broker: str
    """Where the logs of the rooms are; only our server has such."""
    metrics_port: int | None
    """Where our server serves metrics."""


def parse_arguments() -> Arguments:
    parser = argparse.ArgumentParser()
    parser.add_argument("--certificate", type=Path)
    parser.add_argument("--key", type=Path)
    parser.add_argument("--broker", default="memory://")
    parser.add_argument("--metrics-port", type=int)
    parsed = parser.parse_args()
    tls = None if parsed.certificate is None else TLS(parsed.certificate, parsed.key)
    return Arguments(tls, parsed.broker, parsed.metrics_port)


def say_listening(port: int) -> None:
    print(f"listening on 127.0.0.1:{port}", flush=True)
