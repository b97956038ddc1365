"""grpc-go's interop client passes its cases at our server."""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from chatify_stream.wire import Server

from ..e2e.peers import CERTIFIED_NAME, run_command
from .service import serving

SECONDS = 120
# Whether a case succeeds must not depend on how busy the machine is.
SOAK = (
    f"--soak_overall_timeout_seconds={SECONDS}",
    f"--soak_per_iteration_max_acceptable_latency_ms={SECONDS * 1000}",
)
# The only way to the load reports is a load balancer.
LOAD_BALANCER = (
    '--service_config_json={"loadBalancingConfig":[{"test_backend_metrics_load_balancer":{}}]}',
)

CASES: dict[str, tuple[str, ...]] = {
    "empty_unary": (),
    "large_unary": (),
    "client_streaming": (),
    "server_streaming": (),
    "ping_pong": (),
    "empty_stream": (),
    "timeout_on_sleeping_server": (),
    "cancel_after_begin": (),
    "cancel_after_first_response": (),
    "status_code_and_message": (),
    "special_status_message": (),
    "custom_metadata": (),
    "unimplemented_method": (),
    "unimplemented_service": (),
    "pick_first_unary": (),
    "orca_per_rpc": LOAD_BALANCER,
    "orca_oob": LOAD_BALANCER,
    "rpc_soak": ("--soak_iterations=1000", "--soak_num_threads=4", *SOAK),
    "channel_soak": ("--soak_iterations=100", *SOAK),
}

LEFT_OUT = {
    "compute_engine_creds": "asks the metadata server of Google's cloud for a token",
    "compute_engine_channel_credentials": "asks the metadata server of Google's cloud for a token",
    "google_default_credentials": "needs an account of Google's cloud",
    "service_account_creds": "needs the key of an account of Google's cloud",
    "jwt_token_creds": "needs the key of an account of Google's cloud",
    "per_rpc_creds": "needs the key of an account of Google's cloud",
    "oauth2_auth_token": "needs the key of an account of Google's cloud",
}


@dataclass(frozen=True)
class Peers:
    """Our server, and what the client needs to know to reach it."""

    server: Server
    client: tuple[str | Path, ...]

    async def run(self, case: str) -> tuple[int | None, str]:
        """Exit code and log of the client."""
        process = await asyncio.create_subprocess_exec(
            *self.client,
            f"--test_case={case}",
            *CASES[case],
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(SECONDS):
                log, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return process.returncode, log.decode()


@pytest.fixture
async def peers(
    request: pytest.FixtureRequest,
    go_interop: Path,
    certificates: Path,
    server_tls: ssl.SSLContext,
) -> AsyncIterator[Peers]:
    tls = request.param == "tls"
    async with serving(server_tls if tls else None) as server:
        client = [go_interop / "client", "--server_host=127.0.0.1", f"--server_port={server.port}"]
        if tls:
            client += ["--use_tls", "--use_test_ca", f"--ca_file={certificates / 'ca.pem'}"]
            client += [f"--server_host_override={CERTIFIED_NAME}"]
        yield Peers(server, tuple(client))


# A thousand calls over TLS would show nothing new.
RUNS = [("plaintext", case) for case in CASES] + [
    ("tls", case) for case in CASES if case != "rpc_soak"
]


@pytest.mark.parametrize(("peers", "case"), RUNS, indirect=["peers"])
async def test_case(case: str, peers: Peers, caplog: pytest.LogCaptureFixture) -> None:
    """The client is content, and nothing of its calls is left at the server, nor logged by it."""
    caplog.set_level(logging.INFO, "chatify_stream")
    exit_code, log = await peers.run(case)
    assert exit_code == 0, log[-10_000:]
    async with asyncio.timeout(SECONDS):
        while peers.server.connections or peers.server.open_calls:
            await asyncio.sleep(0)
    assert caplog.records == []


def test_every_case_is_known(go_interop: Path) -> None:
    """Each case that the client offers is run, or it is said why not."""
    usage = run_command(go_interop / "client", "-help").stderr
    offered = re.findall(r"^\s+(\w+) ?: ", usage.partition("Valid options are:")[2], re.MULTILINE)
    assert len(offered) > 20
    assert set(offered) <= CASES.keys() | LEFT_OUT.keys()
