"""Tests of client/reconnect.py."""

from __future__ import annotations

import pytest

from chatify_stream import Backoff, CallError, Status
from chatify_stream.client.reconnect import (
    ROOM_BACKOFF,
    STABLE_SECONDS,
    Reconnection,
    is_retryable,
    server_says_reconnect,
)
from chatify_stream.errors import call_error

BACKOFF = Backoff(initial=1, factor=2, jitter=0.5, maximum=8)


def ended(status: Status = Status.UNAVAILABLE, **metadata: str) -> CallError:
    """Return the error of a session. `reconnect="yes"` sets the trailer `chat-reconnect`."""
    keys = {"reconnect": "chat-reconnect", "retry_after_ms": "retry-after-ms"}
    return call_error(status, "", metadata={keys[key]: value for key, value in metadata.items()})


def reconnection(chance: float = 0.5, *, has_tokens: bool = False) -> Reconnection:
    return Reconnection(BACKOFF, lambda: chance, has_tokens=has_tokens)


class TestWhether:
    @pytest.mark.parametrize(
        ("status", "helps"),
        [
            (Status.CANCELLED, True),
            (Status.UNKNOWN, True),
            (Status.INVALID_ARGUMENT, False),
            (Status.DEADLINE_EXCEEDED, True),
            (Status.NOT_FOUND, False),
            (Status.ALREADY_EXISTS, False),
            (Status.PERMISSION_DENIED, False),
            (Status.RESOURCE_EXHAUSTED, True),
            (Status.FAILED_PRECONDITION, False),
            (Status.ABORTED, True),
            (Status.OUT_OF_RANGE, False),
            (Status.UNIMPLEMENTED, False),
            (Status.INTERNAL, True),
            (Status.UNAVAILABLE, True),
            (Status.DATA_LOSS, False),
            (Status.UNAUTHENTICATED, False),
        ],
    )
    def test_by_status(self, status: Status, helps: bool) -> None:
        """Without advice from the server, the status decides."""
        assert is_retryable(ended(status), has_tokens=True) is helps
        assert is_retryable(ended(status, reconnect="maybe"), has_tokens=True) is helps

    @pytest.mark.parametrize("status", [s for s in Status if s is not Status.OK])
    def test_by_the_server(self, status: Status) -> None:
        """The advice of the server takes precedence over the status."""
        assert is_retryable(ended(status, reconnect="yes"), has_tokens=True) is True
        assert is_retryable(ended(status, reconnect="no"), has_tokens=True) is False

    def test_without_tokens(self) -> None:
        """UNAUTHENTICATED is retried only if the client can get another token."""
        error = ended(Status.UNAUTHENTICATED, reconnect="yes")
        assert is_retryable(error, has_tokens=False) is False

    @pytest.mark.parametrize(("said", "means"), [("yes", True), ("no", False), ("Yes", None)])
    def test_what_is_said(self, said: str, means: bool | None) -> None:
        """The advice is yes, no or missing."""
        assert server_says_reconnect(ended(reconnect=said)) is means

    def test_nothing_is_said(self) -> None:
        """A lost connection has no advice."""
        assert server_says_reconnect(ended()) is None


class TestWhen:
    def test_longer_and_longer(self) -> None:
        """The waits of successive attempts grow up to a limit."""
        attempts = reconnection()
        assert [attempts.delay(ended(), 0) for _ in range(6)] == [1, 2, 4, 8, 8, 8]
        assert attempts.attempt == 6

    @pytest.mark.parametrize(("chance", "delay"), [(0, 0.5), (0.5, 1), (1, 1.5)])
    def test_chance(self, chance: float, delay: float) -> None:
        """Jitter makes a wait longer or shorter."""
        assert reconnection(chance).delay(ended(), 0) == delay

    def test_a_session_that_lasted(self) -> None:
        """After a stable session, the series starts again."""
        attempts = reconnection()
        for _ in range(5):
            attempts.delay(ended(), 0)
        assert attempts.delay(ended(), STABLE_SECONDS) == 1
        assert attempts.attempt == 1

    def test_a_session_that_did_not(self) -> None:
        """Short sessions do not reset the series."""
        attempts = reconnection()
        assert [attempts.delay(ended(), STABLE_SECONDS * 0.99) for _ in range(3)] == [1, 2, 4]

    def test_no_way_back(self) -> None:
        """An error that is not retryable has no next attempt."""
        attempts = reconnection()
        assert attempts.delay(ended(Status.PERMISSION_DENIED), 0) is None
        assert attempts.attempt == 0

    @pytest.mark.parametrize(
        ("said", "delay"),
        [
            ("2000", 2.25),
            ("10", 1),
            ("", 1),
            ("-5000", 1),
            ("5 s", 1),
            ("٣٠٠٠", 1),
            ("9" * 16, 1),
            ("9" * 15, 3600),
        ],
    )
    def test_the_server_wants_time(self, said: str, delay: float) -> None:
        """The server can ask for a longer wait, up to a limit, but not for a shorter wait."""
        assert reconnection().delay(ended(retry_after_ms=said), 0) == delay

    @pytest.mark.parametrize(("chance", "delay"), [(0, 20), (0.5, 22.5), (1, 25)])
    def test_the_server_has_told_many(self, chance: float, delay: float) -> None:
        """Jitter makes the server's wait longer, never shorter."""
        assert reconnection(chance).delay(ended(retry_after_ms="20000"), 0) == delay

    def test_a_token_has_expired(self) -> None:
        """After an expired token, the next attempt is immediate."""
        attempts = reconnection(has_tokens=True)
        expired = ended(Status.UNAUTHENTICATED, reconnect="yes")
        assert attempts.delay(expired, STABLE_SECONDS) == 0
        assert [attempts.delay(expired, 0) for _ in range(3)] == [1, 2, 4]
        assert attempts.delay(expired, STABLE_SECONDS) == 0

    def test_a_token_has_expired_and_the_server_wants_time(self) -> None:
        """After an expired token, the server's wait still applies."""
        attempts = reconnection(has_tokens=True)
        expired = ended(Status.UNAUTHENTICATED, reconnect="yes", retry_after_ms="300")
        assert attempts.delay(expired, STABLE_SECONDS) == 0.3

    def test_the_default(self) -> None:
        """By default, the first wait is below half a second, and no wait is above 23 s."""
        soon, late = Reconnection(ROOM_BACKOFF, lambda: 1), Reconnection(ROOM_BACKOFF, lambda: 1)
        assert soon.delay(ended(), 0) < 0.5
        assert max(late.delay(ended(), 0) for _ in range(50)) < 23
