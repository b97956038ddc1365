"""Tests of server/metrics/families.py: which setting a hit of a limit counts for."""

from __future__ import annotations

from chatify_stream.config import all_settings
from chatify_stream.rooms import DisconnectReason
from chatify_stream.server.metrics.families import (
    CONNECTION_LIMITS,
    SESSION_LIMITS,
    SLOW_READERS,
    limit_hits,
)
from chatify_stream.wire.http2.keepalive import Verdict


def test_settings() -> None:
    """Every limit is the name of a setting."""
    assert limit_hits({}, {}, {}, {}).keys() <= {setting.name for setting in all_settings()}


def test_reasons() -> None:
    """The reasons exist, and every verdict of keepalive is among them."""
    endings = {reason.label for reason in DisconnectReason}
    assert {*SESSION_LIMITS, *SLOW_READERS} <= endings
    verdicts = {verdict.ended_by for verdict in Verdict if verdict.ended_by}
    assert verdicts
    assert verdicts <= CONNECTION_LIMITS.keys()


def test_sums() -> None:
    """Hits of one setting on connections and on sessions are added up."""
    hits = limit_hits(
        {"max_connections": 3},
        {"cut_stalled": 2, "protocol_error": 9},
        {"stalled": 5, "left": 9, "too_large": 1},
        {"joins_per_user": 4},
    )
    assert {name: number for name, number in hits.items() if number} == {
        "limits.max_connections": 3,
        "usage.joins_per_user": 4,
        "limits.write_timeout": 7,
        "rooms.max_message_size": 1,
    }
