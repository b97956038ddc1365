"""Tests of client/channel.py. tests/server/tracing tests a traced call."""

from __future__ import annotations

import sys

import pytest

from chatify_stream import Channel, UsageError
from chatify_stream.client.channel import load_trace_context


def test_no_span() -> None:
    """Without a current span there is no trace metadata."""
    assert load_trace_context()() == {}


async def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without OpenTelemetry, creating the channel fails and names the extra."""
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(UsageError, match=r"pip install 'chatify-stream\[tracing\]'"):
        Channel("127.0.0.1", 1, tracing=True)
