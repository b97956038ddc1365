"""Tests of server/tracing.py: the spans of messages."""

from __future__ import annotations

import asyncio

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from chatify_stream import TracingOptions, UsageError
from chatify_stream.server.tracing import Tracing


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


def make(exporter: InMemorySpanExporter, *draws: float) -> Tracing:
    """Return spans with a ratio of one half and these random numbers."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    drawn = iter(draws)
    return Tracing(TracingOptions(0.5, provider), draw=lambda: next(drawn))


def test_sampling(exporter: InMemorySpanExporter) -> None:
    """A message gets a span if its random number is below the ratio."""
    reply = make(exporter, 0.4, 0.6, 0.5).reply(str.upper)
    assert [reply(name) for name in "abc"] == ["A", "B", "C"]
    assert len(exporter.get_finished_spans()) == 1


async def test_an_awaited_reply(exporter: InMemorySpanExporter) -> None:
    """The span of a reply that is awaited ends with the reply."""
    gate = asyncio.Event()

    async def later(name: str) -> str:
        await gate.wait()
        return name

    made = make(exporter, 0).reply(later)("a")
    assert not isinstance(made, str)
    waiting = asyncio.ensure_future(made)
    await asyncio.sleep(0)
    assert not exporter.get_finished_spans()
    gate.set()
    assert await waiting == "a"
    assert len(exporter.get_finished_spans()) == 1


def test_a_failure(exporter: InMemorySpanExporter) -> None:
    """A failure is recorded by its class, without its text, which may contain the message."""

    def fail(name: str) -> str:
        raise ValueError(name)

    with pytest.raises(ValueError, match="secret"):
        make(exporter, 0).reply(fail)("secret")
    [span] = exporter.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "ValueError"
    assert "secret" not in span.to_json()


@pytest.mark.parametrize("ratio", [-0.1, 1.1, "1", float("nan")])
def test_wrong_options(ratio: float) -> None:
    """A ratio outside 0 to 1 is rejected."""
    with pytest.raises(UsageError, match="from 0 to 1"):
        TracingOptions(message_sampling=ratio)
