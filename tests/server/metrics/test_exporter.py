"""Tests of server/metrics/exporter.py, over HTTP."""

from __future__ import annotations

import asyncio
import logging
import socket

import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from chatify_stream import ListenError
from chatify_stream.server.metrics import exporter as module
from chatify_stream.server.metrics.exporter import Endpoint

from .scraping import SECONDS, Scrape, get


def make(registry: CollectorRegistry | None = None, word: str = "SERVING") -> Endpoint:
    registry = registry or CollectorRegistry()
    return Endpoint("127.0.0.1", 0, registry, lambda: (word == "SERVING", word))


@pytest.fixture
def registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    Gauge("answer", "of everything", registry=registry).set(42)
    return registry


async def test_the_formats(registry: CollectorRegistry) -> None:
    """The format is Prometheus' text, or OpenMetrics if the client accepts it."""
    endpoint = make(registry)
    try:
        response, text = await get(endpoint.port)
        assert response.headers["Content-Type"].startswith("text/plain; version=")
        assert Scrape(text).value("answer") == 42
        accept = "application/openmetrics-text; version=1.0.0"
        response, text = await get(endpoint.port, headers={"Accept": accept})
        assert response.headers["Content-Type"].startswith("application/openmetrics-text")
        assert text.endswith("# EOF\n")
        [family] = text_string_to_metric_families(text)
        assert family.name == "answer"
    finally:
        await endpoint.close()


@pytest.mark.parametrize(("word", "status"), [("SERVING", 200), ("NOT_SERVING", 503)])
async def test_health(word: str, status: int) -> None:
    """The page shows the status of the server."""
    endpoint = make(word=word)
    try:
        response, text = await get(endpoint.port, "/healthz")
    finally:
        await endpoint.close()
    assert (response.status, text) == (status, f"{word}\n")


async def test_other_paths() -> None:
    """Other paths are not found."""
    endpoint = make()
    try:
        response, text = await get(endpoint.port, "/")
    finally:
        await endpoint.close()
    assert (response.status, text) == (404, "not found; try /metrics or /healthz\n")


async def test_a_collector_that_fails(
    registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    """An error of a collector is logged and kept from the client; the next request is served."""

    class Failing(Collector):
        def collect(self) -> list[object]:  # type: ignore[override]
            raise RuntimeError("a secret")

    failing = Failing()
    registry.register(failing)
    endpoint = make(registry)
    try:
        response, text = await get(endpoint.port)
        assert response.status == 500
        assert "secret" not in text
        registry.unregister(failing)
        response, _ = await get(endpoint.port)
        assert response.status == 200
    finally:
        await endpoint.close()
    [record] = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "a secret"


async def test_a_port_that_is_taken() -> None:
    """A port in use raises ListenError with the address."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        with pytest.raises(ListenError, match=f"127.0.0.1:{port}"):
            Endpoint("127.0.0.1", port, CollectorRegistry(), lambda: (True, ""))


async def test_an_unknown_host() -> None:
    """A host that is not of this machine raises ListenError with the address."""
    with pytest.raises(ListenError, match=r"192\.0\.2\.1:0"):
        Endpoint("192.0.2.1", 0, CollectorRegistry(), lambda: (True, ""))


async def test_too_many_at_once() -> None:
    """Beside 16 requests connections are closed; when one ends there is room again."""
    endpoint = make()
    silent = []
    try:
        for _ in range(16):
            silent.append(await asyncio.open_connection("127.0.0.1", endpoint.port))
        with pytest.raises(OSError):  # noqa: PT011 - the reset may come at any point
            await get(endpoint.port, "/healthz")
        silent.pop()[1].close()
        async with asyncio.timeout(SECONDS):
            while True:
                try:
                    response, _ = await get(endpoint.port, "/healthz")
                    break
                except OSError:
                    continue
        assert response.status == 200
    finally:
        for _, writer in silent:
            writer.close()
        await endpoint.close()


async def test_a_silent_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that sends nothing is disconnected; by default after 5 seconds."""
    assert module._Handler.timeout == 5
    monkeypatch.setattr(module._Handler, "timeout", 0.05)
    endpoint = make()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
        async with asyncio.timeout(SECONDS):
            assert await reader.read() == b""
        writer.close()
    finally:
        await endpoint.close()


async def test_closing() -> None:
    """After close the port is not listened on."""
    endpoint = make()
    port = endpoint.port
    await endpoint.close()
    with pytest.raises(ConnectionRefusedError):
        await get(port)
