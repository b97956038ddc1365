"""Tests of assembly/observability.py: extras that are not installed."""

from __future__ import annotations

import sys

import pytest

from chatify_stream import ChatServer, MetricsOptions, UsageError


@pytest.mark.parametrize(
    ("module", "package", "options"),
    [
        ("metrics", "prometheus_client", {"metrics": MetricsOptions(port=0)}),
        ("tracing", "opentelemetry", {"tracing": True}),
    ],
)
def test_a_missing_extra(
    module: str,
    package: str,
    options: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without the extra, making the server raises an error that says what to install."""
    for name in list(sys.modules):
        if name == package or name.startswith((f"{package}.", f"chatify_stream.server.{module}")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        UsageError, match=rf"{package}; install it: pip install 'chatify-stream\[{module}\]'"
    ):
        ChatServer(**options)  # type: ignore[arg-type]
