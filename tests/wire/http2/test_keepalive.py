"""Tests of wire/liveness.py, by a clock that the tests set."""

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


def liveness(jitter: float = 1.0, **limits: Any) -> Liveness:
    return Liveness(Limits(**OFF | limits), START, jitter)


def verdict(watched: Liveness, after: float, unsent: int = 0) -> Verdict:
    return watched.verdict(START + after, unsent)


def test_nothing_is_due_without_limits() -> None:
    """With every limit off there is nothing to wait for."""
    watched = liveness()
    assert watched.due_at == math.inf
    assert verdict(watched, 1e9) is Verdict.KEEP


class TestStart:
    def test_no_greeting(self) -> None:
        """A peer that does not begin with a preface in time is cut off."""
        watched = liveness(handshake_timeout=10.0)
        assert watched.due_at == START + 10
        assert verdict(watched, 9.9) is Verdict.KEEP
        watched.heard(START + 9.9)  # bytes, but no preface
        assert verdict(watched, 10) is Verdict.HANDSHAKE_TIMEOUT

    def test_a_greeting(self) -> None:
        """A peer that has begun is not waited for any more."""
        watched = liveness(handshake_timeout=10.0)
        watched.greeted()
        assert verdict(watched, 10) is Verdict.KEEP

    def test_no_call(self) -> None:
        """A connection without a first call is drained, once."""
        watched = liveness(first_call_timeout=10.0)
        assert verdict(watched, 10) is Verdict.DRAIN_IDLE
        assert verdict(watched, 11) is Verdict.KEEP

    def test_a_call(self) -> None:
        """A connection that had a call may stay."""
        watched = liveness(first_call_timeout=10.0)
        watched.called()
        assert verdict(watched, 1e6) is Verdict.KEEP


class TestKeepalive:
    def watched(self) -> Liveness:
        watched = liveness(keepalive_time=30.0, keepalive_timeout=10.0)
        watched.greeted()
        return watched

    def test_a_dead_peer(self) -> None:
        """After silence the peer is sent one PING, and is cut off without an answer."""
        watched = self.watched()
        assert watched.due_at == START + 30
        assert verdict(watched, 30) is Verdict.PING
        assert watched.due_at == START + 40
        assert verdict(watched, 39) is Verdict.KEEP
        assert verdict(watched, 40) is Verdict.KEEPALIVE_TIMEOUT

    def test_any_word_is_an_answer(self) -> None:
        """A peer that says anything lives, and the silence begins anew."""
        watched = self.watched()
        assert verdict(watched, 30) is Verdict.PING
        watched.heard(START + 35)
        assert verdict(watched, 40) is Verdict.KEEP
        assert watched.due_at == START + 65
        assert verdict(watched, 65) is Verdict.PING

    def test_a_busy_peer_is_not_asked(self) -> None:
        """Who speaks is not sent a PING."""
        watched = self.watched()
        for second in range(20, 200, 20):
            watched.heard(START + second)
            assert verdict(watched, second + 19) is Verdict.KEEP


class TestWriting:
    def test_a_peer_that_does_not_read(self) -> None:
        """A peer that takes nothing of what waits for it is cut off."""
        watched = liveness(write_timeout=10.0)
        assert watched.due_at == math.inf
        watched.blocked(START + 5, 1000)
        assert watched.due_at == START + 15
        assert verdict(watched, 15, 1000) is Verdict.WRITE_TIMEOUT

    def test_a_slow_peer(self) -> None:
        """A peer that takes a little, every now and then, is not."""
        watched = liveness(write_timeout=10.0)
        watched.blocked(START, 1000)
        for step in range(1, 9):
            assert verdict(watched, 9.0 * step, 1000 - step) is Verdict.KEEP
        assert verdict(watched, 82, 992) is Verdict.WRITE_TIMEOUT

    def test_more_to_send_is_no_progress(self) -> None:
        """That there is more to send does not mean that the peer reads."""
        watched = liveness(write_timeout=10.0)
        watched.blocked(START, 1000)
        assert verdict(watched, 9, 2000) is Verdict.KEEP
        assert verdict(watched, 10, 3000) is Verdict.WRITE_TIMEOUT

    def test_a_peer_that_reads_again(self) -> None:
        """A peer that has caught up has all the time anew."""
        watched = liveness(write_timeout=10.0)
        watched.blocked(START, 1000)
        watched.unblocked()
        assert watched.due_at == math.inf
        watched.blocked(START + 100, 1000)
        assert verdict(watched, 105, 1000) is Verdict.KEEP


class TestAge:
    def test_an_old_connection(self) -> None:
        """It is drained, and when the grace is over too, its calls are ended; each once."""
        watched = liveness(max_connection_age=60.0, max_connection_age_grace=5.0)
        assert verdict(watched, 59) is Verdict.KEEP
        assert verdict(watched, 60) is Verdict.DRAIN_OLD
        assert watched.due_at == START + 65
        assert verdict(watched, 64) is Verdict.KEEP
        assert verdict(watched, 65) is Verdict.END_OLD
        assert watched.due_at == math.inf

    @pytest.mark.parametrize("jitter", [0.9, 1.1])
    def test_jitter(self, jitter: float) -> None:
        """Connections that were opened together do not all go together."""
        assert liveness(jitter, max_connection_age=60.0).due_at == START + 60 * jitter


def test_the_first_that_is_due_comes_first() -> None:
    """Of several limits that are passed, the one that was passed first counts."""
    watched = liveness(first_call_timeout=10.2, handshake_timeout=10.0)
    assert verdict(watched, 10.5) is Verdict.HANDSHAKE_TIMEOUT


class TestAnOverloadedLoop:
    def test_a_peer_that_may_have_answered(self) -> None:
        """Whoever is looked at too late gets the time again, since nobody may have read."""
        watched = liveness(keepalive_time=30.0, keepalive_timeout=10.0)
        watched.greeted()
        assert verdict(watched, 30) is Verdict.PING
        assert verdict(watched, 45) is Verdict.KEEP
        assert watched.due_at == START + 55
        assert verdict(watched, 55) is Verdict.KEEPALIVE_TIMEOUT

    def test_a_peer_that_may_have_greeted(self) -> None:
        """So does one that has just come."""
        watched = liveness(handshake_timeout=10.0)
        assert verdict(watched, 15) is Verdict.KEEP
        assert verdict(watched, 25) is Verdict.HANDSHAKE_TIMEOUT
