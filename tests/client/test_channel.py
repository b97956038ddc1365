"""The trace that a call belongs to; tests/server/tracing has it with a server that traces."""

from __future__ import annotations

import sys

import pytest

from chatify_stream import Channel, UsageError
from chatify_stream.client.channel import load_trace_context


def test_no_span() -> None:
    """Where no span is current, none is named."""
    assert load_trace_context()() == {}


async def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The channel says what to install, when it is made."""
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(UsageError, match=r"pip install 'chatify-stream\[tracing\]'"):
        Channel("127.0.0.1", 1, tracing=True)
