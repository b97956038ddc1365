"""The promises of rooms, tested with random sequences of events.

The broker lags behind its log. Sessions join, resume, read slowly or not at all, and leave, in any
order. The invariants hold after each step.
"""

from __future__ import annotations

from itertools import pairwise

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from chatify_stream.rooms import (
    DisconnectReason,
    Draft,
    Hub,
    Log,
    Publication,
    Retention,
    Room,
    can_resume,
    chunks,
)
from chatify_stream.rooms.position import Position

from .clients import Client

NAME = "lobby"
OUTBOX = 40
KEPT = 12
PAGE = 3


class Session:
    """A session as the server runs it, with its client."""

    def __init__(self, room: Room, after: Position) -> None:
        self.room = room
        self.client = Client(limit=OUTBOX)
        self.client.member.epoch, self.client.member.offset = after
        self.began = after

    @property
    def got(self) -> list[int]:
        return [int(each) for each in self.client.got]


class Promises(RuleBasedStateMachine):
    sessions = Bundle("sessions")
    positions = Bundle("positions")

    @initialize()
    def begin(self) -> None:
        self.epochs = 0
        self.asked: list[Room] = []
        self.hub = Hub(self.asked.append)
        self.new_log()
        self.open: list[Session] = []

    def new_log(self) -> None:
        self.epochs += 1
        self.log = Log(f"epoch-{self.epochs}", Retention(count=KEPT))
        self.undelivered: list[Publication] = []
        self.delivered = Position(f"epoch-{self.epochs}", 0)

    # The broker.

    @rule(count=st.integers(1, 5))
    def publish(self, count: int) -> None:
        """Append messages to the log. The hub does not get them yet."""
        _, added = self.log.publish([Draft("ada", "x", "", 1)] * count, 1)
        self.undelivered += added

    @rule(count=st.integers(1, 5))
    def deliver(self, count: int) -> None:
        """Deliver some of the messages to the hub."""
        part, self.undelivered = self.undelivered[:count], self.undelivered[count:]
        if part:
            self.delivered = Position(self.delivered.epoch, part[-1].offset)
            self.hub.published(NAME, part)

    @rule()
    def flush(self) -> None:
        for room in self.asked:
            room.flush()
        self.asked.clear()

    @rule()
    def lose_the_log(self) -> None:
        """Lose the log, begin a new epoch and report it to the hub."""
        self.new_log()
        self.hub.begins_at(NAME, self.delivered)

    # Sessions.

    @rule(target=sessions)
    def join(self) -> Session:
        return self.enter(None)

    @rule(target=sessions, position=consumes(positions))
    def resume(self, position: Position) -> Session:
        return self.enter(position)

    def enter(self, resume: Position | None) -> Session:
        room = self.hub.hold(NAME)
        if room.position is None:
            self.hub.begins_at(NAME, self.delivered)
        begins = room.newest
        if resume is not None:
            page = self.log.read(1, after=0, before=begins.offset + 1, limit=1, newest=False)
            if can_resume(resume, begins, page.oldest):
                begins = resume
        session = Session(room, begins)
        self.open.append(session)
        return session

    @rule(session=sessions)
    def catch_up(self, session: Session) -> None:
        """Make the session live, or send a page of the messages that it missed."""
        member, room = session.client.member, session.room
        if session not in self.open or member.is_live or member.disconnect:
            return
        if room.admit(member):
            return
        if member.epoch != room.epoch:
            member.end(DisconnectReason.LOG_RESET())
            return
        page = self.log.read(
            1, after=member.offset, before=room.offset + 1, limit=PAGE, newest=False
        )
        if not can_resume(member.position, page.newest, page.oldest):
            member.end(DisconnectReason.HISTORY_TRIMMED())
            return
        for chunk in chunks(map(member.encoding.publication, page.publications), member.offset):
            session.client.got += chunk.frames.decode().split(";")[:-1]
            member.sent(chunk)

    @rule(session=sessions)
    def stop_reading(self, session: Session) -> None:
        session.client.takes = False

    @rule(session=sessions)
    def read_one(self, session: Session) -> None:
        session.client.read_one()

    @rule(session=sessions)
    def read_all(self, session: Session) -> None:
        session.client.read_all()

    @rule(target=positions, session=consumes(sessions))
    def leave(self, session: Session) -> object:
        """Leave at the position of the last message that the client got."""
        if session not in self.open:
            return multiple()
        self.open.remove(session)
        session.room.dismiss(session.client.member)
        if self.hub.release(session.room):
            self.hub.forget(session.room)
        return session.client.member.position

    # The promises.

    @invariant()
    def each_once_and_in_order(self) -> None:
        """A session has received every message from its first position to its current position."""
        for session in self.open:
            member = session.client.member
            assert member.epoch == session.began.epoch
            assert session.got == list(range(session.began.offset + 1, member.offset + 1))

    @invariant()
    def nothing_is_held_beyond_the_bound(self) -> None:
        for session in self.open:
            member = session.client.member
            waiting = list(member.outbox._chunks) if member.outbox else []
            assert member.backlog == sum(len(chunk.frames) for chunk in waiting)
            assert member.backlog <= OUTBOX or len(waiting) == 1
            assert all(a.offset < b.offset for a, b in pairwise(waiting))
            assert member.disconnect is None or not waiting

    @precondition(lambda self: not self.undelivered)
    @rule()
    def all_is_quiet(self) -> None:
        """When everything is delivered and read, every live session is at the newest message."""
        self.flush()
        for session in self.open:
            if session.client.member.is_live:
                session.client.read_all()
                assert session.client.member.position == self.log.newest

    def teardown(self) -> None:
        for session in self.open:
            session.room.dismiss(session.client.member)
            if self.hub.release(session.room):
                assert self.hub.forget(session.room)
        assert len(self.hub) == 0


TestPromises = Promises.TestCase
TestPromises.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
