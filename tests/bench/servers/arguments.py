"""The command line of the servers, and TLS for those on asyncio."""

from __future__ import annotations

import argparse
import ssl
from dataclasses import dataclass
from pathlib import Path

CHAT = "/service.v1.Service/Chat"
FANOUT = "/bench.Fanout/Chat"
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


def parse_tls() -> TLS | None:
    """What the command line asks for: None is without TLS."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--certificate", type=Path)
    parser.add_argument("--key", type=Path)
    arguments = parser.parse_args()
    if arguments.certificate is None:
        return None
    return TLS(arguments.certificate, arguments.key)


def say_listening(port: int) -> None:
    print(f"listening on 127.0.0.1:{port}", flush=True)
