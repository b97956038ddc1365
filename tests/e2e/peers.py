"""gRPC's own implementations as peers: where they are, how they are built and called.

A peer whose tool is missing is skipped on a developer's machine and fails on CI, where `CI` is
set. Builds are cheap to repeat: Go has its build cache, and Node's packages are installed again
only when their lock file changed.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ..support.tools import find_tool
from .processes import ListeningProcess, Process, ProcessFailed

HERE = Path(__file__).parent
PROTO = HERE.parents[1] / "proto"
GO = HERE / "go"
NODE = HERE / "node"
TOOLS = (
    "github.com/fullstorydev/grpcurl/cmd/grpcurl",
    "github.com/summerwind/h2spec/cmd/h2spec",
)
GRPC_GO = "google.golang.org/grpc"
CERTIFIED_NAME = "foo.test.google.fr"
"""A host that the certificate of grpc-go's tests is for."""

BUILD_SECONDS = 900
RUN_SECONDS = 90


@dataclass(frozen=True)
class Report:
    """What a client process said about its call."""

    events: list[dict[str, Any]]
    exit_code: int

    @property
    def replies(self) -> list[str]:
        return [event["message"] for event in self.events if event["event"] == "reply"]

    @property
    def health(self) -> dict[str, str]:
        return {
            event["service"]: event["status"] for event in self.events if event["event"] == "health"
        }

    @property
    def code(self) -> str:
        """The call's status by its name in the gRPC specification."""
        return self.events[-1]["code"]

    @property
    def message(self) -> str:
        return self.events[-1]["message"]


class ClientProcess(Process):
    """A client process that is watched while its call is open."""

    def read_event(self) -> dict[str, Any]:
        """The next event of the report."""
        line = self.read_line()
        if line is None:
            raise ProcessFailed("no event any more", self)
        return json.loads(line)


@dataclass(frozen=True)
class PeerClient:
    """A client process: the Go and the Node client take the same modes and options."""

    command: tuple[str | Path, ...]
    options: tuple[str | Path, ...] = ()

    def _argv(self, mode: str, address: str, args: tuple[str, ...]) -> list[str | Path]:
        return [*self.command, mode, "--addr", address, *self.options, *args]

    def run(self, mode: str, address: str, *args: str) -> Report:
        """Make the call, and wait for its end."""
        done = run_command(*self._argv(mode, address, args))
        events = [json.loads(line) for line in done.stdout.splitlines()]
        if not events or events[-1]["event"] != "end":
            raise AssertionError(f"no status reported: {done.stdout[-2000:]}\n{done.stderr}")
        return Report(events, done.returncode)

    def start(self, mode: str, address: str, *args: str) -> "ClientProcess":
        """The call as a process whose report is read line by line."""
        return ClientProcess(*self._argv(mode, address, args), interactive=True)


def run_command(
    *argv: str | Path, cwd: Path | None = None, timeout: float = RUN_SECONDS
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=timeout,
        check=False,
    )


def build(*argv: str | Path, cwd: Path) -> str:
    """Runs a tool that has to succeed; returns its stdout."""
    done = run_command(*argv, cwd=cwd, timeout=BUILD_SECONDS)
    if done.returncode != 0:
        command = " ".join(map(str, argv))
        pytest.fail(f"{command}: exit code {done.returncode}\n{done.stderr}", pytrace=False)
    return done.stdout


def build_go_peers() -> Path:
    """The folder with the binaries `client`, `server`, `table`, and those of the tools."""
    return _build_go(GO / "bin", "./client", "./server", "./table", *TOOLS)


def build_go_interop() -> Path:
    """The folder with grpc-go's own interop programs, `client` and `server`."""
    packages = (f"{GRPC_GO}/interop/client", f"{GRPC_GO}/interop/server")
    return _build_go(GO / "bin" / "interop", *packages)


def _build_go(binaries: Path, *packages: str) -> Path:
    binaries.mkdir(parents=True, exist_ok=True)
    build(find_tool("go"), "build", "-o", f"{binaries}/", *packages, cwd=GO)
    return binaries


def grpc_go_certificates() -> Path:
    """The folder with the `ca.pem`, `server1.pem` and `server1.key` of grpc-go's tests."""
    go_list = (find_tool("go"), "list", "-m", "-f", "{{.Dir}}", GRPC_GO)
    return Path(build(*go_list, cwd=GO).strip()) / "testdata"


def go_client(binaries: Path) -> PeerClient:
    return PeerClient((binaries / "client",))


def go_server(binaries: Path) -> ListeningProcess:
    return ListeningProcess(binaries / "server")


def go_interop_server(binaries: Path, *args: str | Path) -> ListeningProcess:
    """grpc-go's interop server, on all interfaces; its log says on which port."""
    return ListeningProcess(
        binaries / "server",
        "--port=0",
        *args,
        env={"GRPC_GO_LOG_SEVERITY_LEVEL": "info"},
        merge_stderr=True,
    )


def build_node_client() -> PeerClient:
    node, npm = find_tool("node"), find_tool("npm")
    # npm writes this file last, so it also tells an installation that was broken off.
    installed = NODE / "node_modules" / ".package-lock.json"
    lock = NODE / "package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        build(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=NODE)
    return PeerClient((node, NODE / "client.mjs"), ("--proto", PROTO))


def grpcio_server(compression: str = "identity") -> ListeningProcess:
    return ListeningProcess(sys.executable, HERE / "grpcio_server.py", compression)
