"""Tests of server/usage.py, with a fake clock."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatify_stream import Rate, Status, StatusError, UsageError, UsageLimits
from chatify_stream.limits import NO_LIMITS
from chatify_stream.server.usage import (
    MAX_IDLE,
    Accounts,
    Usage,
    Visit,
    over_count,
    over_rate,
    too_large,
)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def usage_of(clock: Clock, **limits: Any) -> Usage:
    return Usage(limits_of(**limits), clock=clock)


def limits_of(**limits: Any) -> UsageLimits:
    return UsageLimits(**{**dict.fromkeys(UsageLimits.__dataclass_fields__), **limits})


def enter(usage: Usage, user: str | None = "ada", room: str | None = None, **more: str) -> Visit:
    return usage.enter(user, more.get("address", "192.0.2.1"), room, joins=room is not None)


def refused(action: Callable[[], object]) -> StatusError:
    with pytest.raises(StatusError) as caught:
        action()
    return caught.value


def sent(visit: Visit, number: int, size: int = 1) -> tuple[int, StatusError | None]:
    """Return how many messages were accepted, and the error for the rest."""
    assert visit.meter is not None
    messages = [bytes(size)] * number
    error = visit.meter(messages)
    return len(messages), error


class TestMessages:
    def test_of_a_session(self, clock: Clock) -> None:
        """Sessions have separate limits, and the error has the time to wait."""
        usage = usage_of(clock, messages_per_session=Rate(5, 2.0))
        first, second = enter(usage), enter(usage)
        assert sent(first, 3) == (3, None)
        number, error = sent(first, 4)
        assert number == 2
        assert error is not None
        assert error.retry_after == 2.5
        assert sent(second, 5) == (5, None)

    def test_of_a_user(self, clock: Clock) -> None:
        """The sessions of one user share a limit, whatever their addresses."""
        usage = usage_of(clock, messages_per_user=Rate(4, 1.0))
        first, second = enter(usage), enter(usage, address="192.0.2.2")
        assert sent(first, 3) == (3, None)
        assert sent(second, 3)[0] == 1
        assert sent(enter(usage, "bob"), 4) == (4, None)
        assert usage.statistics().refused == {"messages_per_user": 1}

    def test_of_an_address(self, clock: Clock) -> None:
        """The sessions of one address share a limit; an IPv6 block counts as one address."""
        usage = usage_of(clock, bytes_per_address=Rate(100, 1.0))
        first = enter(usage, "ada", address="2001:db8::1")
        second = enter(usage, None, address="2001:db8::2")
        assert sent(first, 2, 30) == (2, None)
        assert sent(second, 2, 30)[0] == 1
        assert sent(enter(usage, address="2001:db8:0:1::"), 3, 30) == (3, None)

    def test_all_or_none(self, clock: Clock) -> None:
        """A message that one bucket rejects takes nothing from the others."""
        usage = usage_of(
            clock, messages_per_user=Rate(10, 0.001), bytes_per_session=Rate(20, 0.001)
        )
        assert sent(enter(usage), 5, 10)[0] == 2
        assert sent(enter(usage), 9, 1)[0] == 8

    def test_once_refused(self, clock: Clock) -> None:
        """After a rejected message all later ones are rejected, also when tokens are available."""
        usage = usage_of(clock, messages_per_session=Rate(1, 1.0))
        visit = enter(usage)
        assert sent(visit, 2)[0] == 1
        clock.now += 1000
        number, error = sent(visit, 1)
        assert (number, error is not None) == (0, True)
        assert usage.statistics().refused == {"messages_per_session": 1}

    def test_too_large(self, clock: Clock) -> None:
        """A message larger than the burst is rejected without a time to try again."""
        visit = enter(usage_of(clock, bytes_per_session=Rate(10, 1.0)))
        number, error = sent(visit, 1, 11)
        assert number == 0
        assert error is not None
        assert error.retry_after is None

    @pytest.mark.parametrize(
        ("rate", "size", "wait"),
        [(Rate(100, 50.0), 1, 2.0), (Rate(1000, 1.0), 1, 60.0), (Rate(1000, 1.0), 500, 500.0)],
    )
    def test_the_time_to_wait(self, clock: Clock, rate: Rate, size: int, wait: float) -> None:
        """The time to wait is until the bucket is full, but rarely more than a minute."""
        visit = enter(usage_of(clock, bytes_per_session=rate))
        assert sent(visit, 1, rate.burst) == (1, None)
        _, error = sent(visit, 1, size)
        assert error is not None
        assert error.retry_after == wait

    def test_nobody_wants_to_know(self, clock: Clock) -> None:
        """Without a limit of messages nothing is counted."""
        usage = usage_of(clock, joins_per_user=Rate(1, 1.0), messages_per_user=Rate(1, 1.0))
        assert enter(usage, None).meter is None
        assert enter(usage_of(clock)).meter is None

    @given(
        session=st.integers(1, 8),
        user=st.integers(1, 12),
        size=st.integers(20, 200),
        steps=st.lists(
            st.tuples(st.integers(0, 16), st.integers(0, 2), st.lists(st.integers(0, 40))),
            max_size=30,
        ),
    )
    def test_never_more_than_the_limits(
        self,
        session: int,
        user: int,
        size: int,
        steps: list[tuple[int, int, list[int]]],
    ) -> None:
        """In any period at most the number of messages that the limits allow is accepted."""
        clock = Clock()
        usage = usage_of(
            clock,
            messages_per_session=Rate(session, 1.0),
            messages_per_user=Rate(user, 2.0),
            bytes_per_user=Rate(size, 8.0),
        )
        visits = [enter(usage) for _ in range(3)]
        taken: list[tuple[float, int, int, int]] = []
        for eighths, which, sizes in steps:
            clock.now += eighths / 8
            meter = visits[which].meter
            assert meter is not None
            messages = [bytes(each) for each in sizes]
            error = meter(messages)
            assert (error is None) == (len(messages) == len(sizes)) or not sizes
            taken.append((clock.now, which, len(messages), sum(map(len, messages))))
            if error is not None:
                visits[which].leave()
                visits[which] = enter(usage)  # whose own bucket is a new one
                taken = [(now, -1 if of == which else of, *more) for now, of, *more in taken]
        for start in range(len(taken)):
            stretch = [each[2:] for each in taken[start:]]
            times = [now - taken[start][0] for now, *_ in taken[start:]]
            own: dict[int, int] = {}
            for elapsed, (_, of, number, _), numbers, sizes_ in zip(
                times,
                taken[start:],
                accumulate(number for number, _ in stretch),
                accumulate(total for _, total in stretch),
                strict=True,
            ):
                own[of] = own.get(of, 0) + number
                assert numbers <= user + 2 * elapsed
                assert sizes_ <= size + 8 * elapsed
                assert of < 0 or own[of] <= session + elapsed


class TestSessionsAndRooms:
    def test_joins(self, clock: Clock) -> None:
        """A burst of joins is accepted, then joins at the given rate; direct sessions are free."""
        usage = usage_of(clock, joins_per_user=Rate(2, 0.5))
        for _ in range(2):
            enter(usage, room="lobby").leave()
        assert refused(lambda: enter(usage, room="lobby")).retry_after == 2
        enter(usage).leave()
        clock.now += 2
        enter(usage, room="lobby")

    def test_joins_of_a_room_whose_name_is_wrong(self, clock: Clock) -> None:
        """Joins whose room name is invalid count, too."""
        usage = usage_of(clock, joins_per_address=Rate(1, 0.5))
        usage.enter(None, "192.0.2.1", None, joins=True).leave()
        with pytest.raises(StatusError, match="rooms that an address joins"):
            usage.enter(None, "192.0.2.1", None, joins=True)

    def test_a_join_is_taken_from_all_or_none(self, clock: Clock) -> None:
        """A join that the address limit rejects takes nothing from the user's limit."""
        usage = usage_of(clock, joins_per_user=Rate(2, 0.001), joins_per_address=Rate(1, 0.001))
        enter(usage, room="a")
        refused(lambda: enter(usage, room="a"))
        enter(usage, room="a", address="192.0.2.2")

    def test_rooms(self, clock: Clock) -> None:
        """A user may be in a number of rooms at the same time, with any number of sessions each."""
        usage = usage_of(clock, rooms_per_user=2)
        visits = [enter(usage, room=room) for room in ("a", "b", "a")]
        error = refused(lambda: enter(usage, room="c"))
        assert "rooms that a user is in: at most 2 at a time" in str(error.message)
        visits[0].leave()
        refused(lambda: enter(usage, room="c"))
        visits[2].leave()
        enter(usage, room="c")
        assert usage.statistics().refused == {"rooms_per_user": 2}

    def test_sessions(self, clock: Clock) -> None:
        """A number of sessions may be open at the same time, in rooms or not."""
        usage = usage_of(clock, sessions_per_user=2, sessions_per_address=3)
        first = enter(usage, room="a")
        enter(usage)
        refused(lambda: enter(usage))
        enter(usage, "bob")
        refused(lambda: enter(usage, "eve"))
        first.leave()
        enter(usage)
        assert usage.statistics().refused == {"sessions_per_user": 1, "sessions_per_address": 1}

    def test_who_is_not_known(self, clock: Clock) -> None:
        """User limits do not apply to unknown users, nor address limits to unknown addresses."""
        usage = usage_of(clock, sessions_per_user=1, sessions_per_address=1)
        assert [enter(usage, None, address="") for _ in range(3)]
        assert usage.statistics().accounts == 0


class TestMemory:
    def test_it_returns(self, clock: Clock) -> None:
        """An account is removed once its user has left and its buckets are full."""
        usage = usage_of(clock, messages_per_user=Rate(10, 1.0), joins_per_address=Rate(5, 1.0))
        visits = [enter(usage, f"user-{n}", "room", address=f"192.0.2.{n}") for n in range(200)]
        for visit in visits:
            sent(visit, 5)
        assert usage.statistics().accounts == 400
        for visit in visits:
            visit.leave()
        assert usage.statistics().accounts == 400
        clock.now += 2
        assert usage.statistics().accounts == 200
        clock.now += 3
        assert usage.statistics().accounts == 0

    def test_a_session_that_was_refused(self, clock: Clock) -> None:
        """A rejected session leaves nothing behind."""
        usage = usage_of(clock, rooms_per_user=1, sessions_per_address=5)
        visit = enter(usage, room="a")
        for _ in range(10):
            refused(lambda: enter(usage, room="b"))
        visit.leave()
        assert usage.statistics().accounts == 0

    def test_a_flood_of_addresses(self, clock: Clock) -> None:
        """The number of stored accounts is bounded; accounts with a session are never dropped."""
        usage = usage_of(clock, joins_per_address=Rate(1, 0.0001))
        enter(usage, None, "room", address="192.0.2.1")
        for n in range(MAX_IDLE + 500):
            enter(usage, None, "room", address=f"2001:db8:{n:x}::1").leave()
        assert usage.statistics().accounts == MAX_IDLE + 1
        refused(lambda: enter(usage, None, "room", address="192.0.2.1"))

    def test_who_comes_back_is_remembered(self, clock: Clock) -> None:
        """Leaving and returning does not fill the buckets."""
        usage = usage_of(clock, messages_per_user=Rate(10, 1.0))
        for number, left in ((6, 6), (6, 4)):
            visit = enter(usage)
            assert sent(visit, number)[0] == left
            visit.leave()

    @given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.integers(0, 3))))
    def test_accounts_are_those_of_who_is_there(self, steps: list[tuple[int, bool, int]]) -> None:
        """An account exists while a session is open, and its counts are right."""
        accounts, limits, now = Accounts("user", max_idle=2), limits_of(), 0.0
        open_: dict[str, int] = {}
        for number, comes, later in steps:
            key, now = str(number), now + later
            if comes:
                account = accounts.open(key, limits)
                account.bucket("joins", Rate(3, 0.5), limits, now)
                open_[key] = open_.get(key, 0) + 1
                assert account.sessions == open_[key]
            elif open_.get(key):
                accounts.close(key, now)
                open_[key] -= 1
            there = sum(1 for sessions in open_.values() if sessions)
            assert there <= len(accounts) <= there + 2


class TestOtherLimits:
    def test_count_for_what_is_open(self, clock: Clock) -> None:
        """New limits apply at once, also to open sessions and stored accounts."""
        usage = usage_of(clock, messages_per_session=Rate(100, 1.0), messages_per_user=Rate(50, 1))
        visit = enter(usage)
        sent(visit, 10)
        usage.limits = limits_of(messages_per_session=Rate(15, 1.0), sessions_per_user=1)
        refused(lambda: enter(usage))
        assert sent(visit, 10)[0] == 5

    def test_turned_off(self, clock: Clock) -> None:
        """Without limits nothing is counted."""
        usage = usage_of(clock, messages_per_session=Rate(1, 0.001), rooms_per_user=1)
        visit = enter(usage, room="a")
        usage.limits = NO_LIMITS
        assert sent(visit, 50) == (50, None)
        enter(usage, room="b").leave()
        visit.leave()
        assert usage.statistics().accounts == 0

    def test_turned_on(self, clock: Clock) -> None:
        """Sessions that began before there were limits of their kind can leave."""
        usage = usage_of(clock)
        before = enter(usage, room="a")
        usage.limits = limits_of(rooms_per_user=1, sessions_per_user=1)
        after = enter(usage, room="b")
        before.leave()
        with suppress(StatusError):
            enter(usage)
            pytest.fail("there is one session already")
        after.leave()
        assert usage.statistics().accounts == 0


NAMES = list(UsageLimits.__dataclass_fields__)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("messages_per_user", 5, "messages_per_user: 5 is not a rate; pass a Rate"),
        (
            "bytes_per_session",
            Rate(0, 1),
            "bytes_per_session.burst: 0 is not allowed; pass a whole number",
        ),
        (
            "joins_per_address",
            Rate(1, 0),
            "joins_per_address.per_second: 0 is not allowed; pass a number above",
        ),
        ("rooms_per_user", 0, "rooms_per_user: 0 is not allowed; pass a whole number from 1"),
        (
            "sessions_per_address",
            True,
            "sessions_per_address: True is not allowed; pass a whole number",
        ),
    ],
)
def test_invalid_value(name: str, value: Any, text: str) -> None:
    """An invalid value raises an error that names the limit."""
    with pytest.raises(UsageError, match=text):
        UsageLimits(**{name: value})


@pytest.mark.parametrize("name", NAMES)
def test_none(name: str) -> None:
    """Every limit may be None."""
    assert getattr(UsageLimits(**{name: None}), name) is None


@pytest.mark.parametrize("name", NAMES)
def test_error_names_the_limit(name: str) -> None:
    """The error of each limit names it, its value, and the time of the next attempt."""
    if name.startswith(("rooms", "sessions")):
        error = over_count(name, 7)
        assert "at most 7 at a time; try again in 5 s" in str(error.message)
        assert error.retry_after == 5
    else:
        error = over_rate(name, Rate(7, 0.5), 1.2341)
        assert "the limit is 7, then 0.5/s; try again in 1.235 s" in str(error.message)
        assert error.retry_after == 1.235
    assert error.status is Status.RESOURCE_EXHAUSTED
    assert name.rpartition("_")[2] in str(error.message)


def test_shortest_time() -> None:
    """The time of the next attempt is at least one millisecond."""
    assert over_rate("joins_per_user", Rate(1, 1.0), 0.0).retry_after == 0.001


def test_a_message_that_is_too_large() -> None:
    """The error for a message larger than the burst has no time of a next attempt."""
    error = too_large("bytes_per_user", Rate(10, 1.0), 11)
    assert (error.status, error.retry_after) == (Status.RESOURCE_EXHAUSTED, None)
    assert "the message has 11 bytes; at most 10 are allowed at once" in str(error.message)
