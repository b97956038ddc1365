"""Who is measured: servers under the same load, and clients of the same server."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.e2e.peers import GO, build, run_command
from tests.support.tools import find_tool

__all__ = [
    "GRPCIO",
    "GRPCIO_SYNC",
    "GRPCLIB",
    "GRPC_GO",
    "NAMES",
    "OURS",
    "Pair",
    "Who",
    "build_binaries",
    "grpc_go_version",
    "make_certificate",
    "pairs",
]

OURS = "chatify-stream"
GRPCLIB = "plain grpclib"
GRPCIO = "grpcio asyncio"
GRPCIO_SYNC = "grpcio sync"
GRPC_GO = "grpc-go"
NAMES = (OURS, GRPCLIB, GRPCIO, GRPCIO_SYNC, GRPC_GO)

PYTHON_SERVERS = {
    OURS: "ours",
    GRPCLIB: "plain_grpclib",
    GRPCIO: "grpcio_asyncio",
    GRPCIO_SYNC: "grpcio_sync",
}
PYTHON_CLIENTS = {
    OURS: "ours",
    GRPCLIB: "plain_grpclib",
    GRPCIO: "grpcio_asyncio",
}

Who = Literal["servers", "servers with rooms", "clients", "our server"]


@dataclass(frozen=True)
class Pair:
    """The commands of a server and of what puts load on it; one of the two is measured."""

    server: tuple[str, ...]
    load: tuple[str, ...]


def pairs(who: Who, binaries: Path) -> dict[str, Pair]:
    """By the name of what is measured: servers under load from Go, or clients of a server in Go."""
    go_server, go_load = (str(binaries / "peer"),), (str(binaries / "load"),)
    if who == "clients":
        clients = {name: _python("clients", it) for name, it in PYTHON_CLIENTS.items()}
        return {name: Pair(go_server, it) for name, it in (clients | {GRPC_GO: go_load}).items()}
    servers = {name: _python("servers", it) for name, it in PYTHON_SERVERS.items()}
    if who == "our server":
        return {OURS: Pair(servers[OURS], go_load)}
    if who == "servers with rooms":
        del servers[GRPCIO_SYNC]
    return {name: Pair(it, go_load) for name, it in (servers | {GRPC_GO: go_server}).items()}


def _python(kind: str, module: str) -> tuple[str, ...]:
    return (sys.executable, "-m", f"tests.bench.{kind}.{module}")


def build_binaries() -> Path:
    """The folder with the load client and the server in Go. From the second time on it is quick."""
    binaries = GO / "bin"
    binaries.mkdir(exist_ok=True)
    build(find_tool("go"), "build", "-o", f"{binaries}/", "./bench/load", "./bench/peer", cwd=GO)
    return binaries


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that is signed by itself, and its key, by Go's own tool."""
    go = find_tool("go")
    root = run_command(go, "env", "GOROOT").stdout.strip()
    tool = Path(root) / "src" / "crypto" / "tls" / "generate_cert.go"
    build(go, "run", tool, "--host", "127.0.0.1", "--ecdsa-curve", "P256", cwd=folder)
    return folder / "cert.pem", folder / "key.pem"


def grpc_go_version() -> str:
    module = "google.golang.org/grpc"
    listed = run_command(find_tool("go"), "list", "-m", "-f", "{{.Version}}", module, cwd=GO)
    return listed.stdout.strip().removeprefix("v")
