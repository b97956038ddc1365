"""`chatify-stream serve` with metrics and traces, as a process."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from chatify_stream import ChatClient, MetricsOptions, TracingOptions
from chatify_stream.cli.serving.options import metrics_options, tracing_options
from chatify_stream.config import MetricsSettings, TracingSettings
from tests.server.metrics.scraping import Scrape, get

from ..e2e.processes import ServerProcess


def test_metrics_settings() -> None:
    """The settings become the options of the server; without a port there are none."""
    assert metrics_options(MetricsSettings()) is None
    assert metrics_options(MetricsSettings(9100, "::")) == MetricsOptions(9100, "::")


def test_tracing_settings() -> None:
    """The settings become the options of the server, or False if tracing is off."""
    assert tracing_options(TracingSettings(message_sampling=0.5)) is False
    assert tracing_options(TracingSettings(True, 0.5)) == TracingOptions(message_sampling=0.5)


@pytest.mark.process
async def test_serving() -> None:
    """The server prints the address of the metrics, and traces with or without an SDK."""
    with ServerProcess("serve", "--metrics-port", "0", "--tracing") as server:
        async with ChatClient(server.address) as chat:
            await chat.send("Ada")
            await chat.close_and_recv()
        match = re.fullmatch(r"metrics on 127\.0\.0\.1:(\d+)", server.read_line() or "")
        assert match is not None
        _, text = await get(int(match[1]))
        found = Scrape(text)
    assert server.exit_code == 0
    labels = {"grpc_service": "service.v1.Service", "grpc_method": "Chat", "grpc_code": "OK"}
    assert found.value("grpc_server_handled_total", **labels) == 1


@pytest.mark.process
@pytest.mark.parametrize(
    ("package", "flags", "extra"),
    [
        ("prometheus_client", ["--metrics-port", "0"], "metrics"),
        ("opentelemetry", ["--tracing"], "tracing"),
    ],
)
def test_without_the_extra(package: str, flags: list[str], extra: str) -> None:
    """Without the extra, one line says what to install."""
    program = f"""
import sys
sys.modules[{package!r}] = None
sys.argv = ["chatify-stream", "serve", "--port", "0", *{flags!r}]
from chatify_stream.cli import main
main()
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, encoding="utf-8", timeout=60
    )
    assert ran.returncode == 2
    assert f"pip install 'chatify-stream[{extra}]'" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.process
def test_no_cost_when_off() -> None:
    """A server that has neither imports neither."""
    program = """
import sys
from chatify_stream import ChatServer
ChatServer()
found = {"prometheus_client", "opentelemetry"} & sys.modules.keys()
assert not found, found
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=60)
