"""Tests of wire/http2/keepalive.py. The tests set the time."""

from __future__ import annotations

import math
from typing import Any

import pytest

from chatify_stream.wire import Limits
from chatify_stream.wire.http2.keepalive import Liveness, Verdict

OFF: dict[str, Any] = {
    "handshake_timeout": None,
    "first_call_timeout": None,
    "keepalive_time": None,
    "write_timeout": None,
}
START = 1000.0


def tracked(jitter: float = 1.0, **limits: Any) -> Liveness:
    return Liveness(Limits(**OFF | limits), START, jitter)


def verdict(watched: Liveness, after: float, unacked_bytes: int = 0) -> Verdict:
    return watched.check(START + after, unacked_bytes)


def test_nothing_is_due_without_limits() -> None:
    """With every limit off no action is ever due."""
    watched = tracked()
    assert watched.due_at == math.inf
    assert verdict(watched, 1e9) is Verdict.KEEP


class TestStart:
    def test_no_handshake(self) -> None:
        """A connection without a preface within handshake_timeout is aborted."""
        watched = tracked(handshake_timeout=10.0)
        assert watched.due_at == START + 10
        assert verdict(watched, 9.9) is Verdict.KEEP
        watched.data_received(START + 9.9)  # bytes, but no preface
        assert verdict(watched, 10) is Verdict.HANDSHAKE_TIMEOUT

    def test_handshake(self) -> None:
        """After the preface and SETTINGS the handshake timeout no longer applies."""
        watched = tracked(handshake_timeout=10.0)
        watched.handshake_done()
        assert verdict(watched, 10) is Verdict.KEEP

    def test_no_call(self) -> None:
        """A connection without a first call is drained, once."""
        watched = tracked(first_call_timeout=10.0)
        assert verdict(watched, 10) is Verdict.DRAIN_IDLE
        assert verdict(watched, 11) is Verdict.KEEP

    def test_a_call(self) -> None:
        """A connection with a call is not drained."""
        watched = tracked(first_call_timeout=10.0)
        watched.call_opened()
        assert verdict(watched, 1e6) is Verdict.KEEP


class TestKeepalive:
    def watched(self) -> Liveness:
        watched = tracked(keepalive_time=30.0, keepalive_timeout=10.0)
        watched.handshake_done()
        return watched

    def test_dead_peer(self) -> None:
        """A silent peer gets one PING. Without an answer the connection is aborted."""
        watched = self.watched()
        assert watched.due_at == START + 30
        assert verdict(watched, 30) is Verdict.PING
        assert watched.due_at == START + 40
        assert verdict(watched, 39) is Verdict.KEEP
        assert verdict(watched, 40) is Verdict.KEEPALIVE_TIMEOUT

    def test_any_data_is_an_answer(self) -> None:
        """Any received data counts as an answer and restarts the keepalive time."""
        watched = self.watched()
        assert verdict(watched, 30) is Verdict.PING
        watched.data_received(START + 35)
        assert verdict(watched, 40) is Verdict.KEEP
        assert watched.due_at == START + 65
        assert verdict(watched, 65) is Verdict.PING

    def test_busy_peer(self) -> None:
        """A peer that sends data gets no PING."""
        watched = self.watched()
        for second in range(20, 200, 20):
            watched.data_received(START + second)
            assert verdict(watched, second + 19) is Verdict.KEEP


class TestWriting:
    def test_a_peer_that_does_not_read(self) -> None:
        """A connection is aborted if the peer reads nothing for write_timeout."""
        watched = tracked(write_timeout=10.0)
        assert watched.due_at == math.inf
        watched.write_blocked(START + 5, 1000)
        assert watched.due_at == START + 15
        assert verdict(watched, 15, 1000) is Verdict.WRITE_TIMEOUT

    def test_a_slow_peer(self) -> None:
        """A peer that reads a little now and then is not aborted."""
        watched = tracked(write_timeout=10.0)
        watched.write_blocked(START, 1000)
        for step in range(1, 9):
            assert verdict(watched, 9.0 * step, 1000 - step) is Verdict.KEEP
        assert verdict(watched, 82, 992) is Verdict.WRITE_TIMEOUT

    def test_more_to_send_is_no_progress(self) -> None:
        """Growth of the buffered data does not count as progress."""
        watched = tracked(write_timeout=10.0)
        watched.write_blocked(START, 1000)
        assert verdict(watched, 9, 2000) is Verdict.KEEP
        assert verdict(watched, 10, 3000) is Verdict.WRITE_TIMEOUT

    def test_a_peer_that_reads_again(self) -> None:
        """The timeout starts again after the peer has caught up."""
        watched = tracked(write_timeout=10.0)
        watched.write_blocked(START, 1000)
        watched.write_unblocked()
        assert watched.due_at == math.inf
        watched.write_blocked(START + 100, 1000)
        assert verdict(watched, 105, 1000) is Verdict.KEEP


class TestAge:
    def test_an_old_connection(self) -> None:
        """A connection is drained at its maximum age. Its calls end after the grace time."""
        watched = tracked(max_connection_age=60.0, max_connection_age_grace=5.0)
        assert verdict(watched, 59) is Verdict.KEEP
        assert verdict(watched, 60) is Verdict.DRAIN_OLD
        assert watched.due_at == START + 65
        assert verdict(watched, 64) is Verdict.KEEP
        assert verdict(watched, 65) is Verdict.END_OLD
        assert watched.due_at == math.inf

    @pytest.mark.parametrize("jitter", [0.9, 1.1])
    def test_jitter(self, jitter: float) -> None:
        """The jitter keeps connections that were opened together from ending together."""
        assert tracked(jitter, max_connection_age=60.0).due_at == START + 60 * jitter


def test_earliest_deadline_wins() -> None:
    """If several deadlines have passed, the earliest one decides."""
    watched = tracked(first_call_timeout=10.2, handshake_timeout=10.0)
    assert verdict(watched, 10.5) is Verdict.HANDSHAKE_TIMEOUT


class TestOverloadedLoop:
    def test_a_peer_that_may_have_answered(self) -> None:
        """A late check restarts the keepalive timeout: the answer may not have been read yet."""
        watched = tracked(keepalive_time=30.0, keepalive_timeout=10.0)
        watched.handshake_done()
        assert verdict(watched, 30) is Verdict.PING
        assert verdict(watched, 45) is Verdict.KEEP
        assert watched.due_at == START + 55
        assert verdict(watched, 55) is Verdict.KEEPALIVE_TIMEOUT

    def test_a_peer_that_may_have_greeted(self) -> None:
        """A late check restarts the handshake timeout, too."""
        watched = tracked(handshake_timeout=10.0)
        assert verdict(watched, 15) is Verdict.KEEP
        assert verdict(watched, 25) is Verdict.HANDSHAKE_TIMEOUT
