"""Tests of testing/broker_contract: each way to break a promise fails it."""

from __future__ import annotations

import asyncio
import unittest
from collections.abc import Sequence
from typing import Any

import pytest

from chatify_stream.brokers import Answers, Broker, MemoryBroker, RoomPage, Subscriber
from chatify_stream.errors import BrokerError
from chatify_stream.rooms import Draft, LogPage, Outcome, Receipt, Retention
from chatify_stream.testing import BrokerContract


def test_with_unittest() -> None:
    """The contract needs no pytest."""

    class Contract(BrokerContract, unittest.IsolatedAsyncioTestCase):
        async def make_broker(self, **options: Any) -> Broker:
            return MemoryBroker(**options)

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Contract).run(result)
    assert result.wasSuccessful()
    assert result.testsRun > 40


def test_no_test_hides_another() -> None:
    """Each test of the parts is one of the whole."""
    parts = [name for part in BrokerContract.__mro__ for name in vars(part)]
    names = [name for name in parts if name.startswith("test_")]
    assert sorted(names) == sorted(set(names))


class NoDedupe(MemoryBroker):
    async def publish(self, room: str, drafts: Sequence[Draft]) -> list[Receipt]:
        return await super().publish(room, [draft._replace(id="") for draft in drafts])


class DuplicateForConflict(MemoryBroker):
    async def publish(self, room: str, drafts: Sequence[Draft]) -> list[Receipt]:
        receipts = await super().publish(room, drafts)
        return [
            r._replace(outcome=Outcome.DUPLICATE) if r.outcome is Outcome.CONFLICT else r
            for r in receipts
        ]


class OneByOne(MemoryBroker):
    """Its calls are not atomic."""

    async def publish(self, room: str, drafts: Sequence[Draft]) -> list[Receipt]:
        receipts = []
        for draft in drafts:
            receipts += await super().publish(room, [draft])
            await asyncio.sleep(0)
        return receipts


class Telling(MemoryBroker):
    """Its subscriber is told something else."""

    async def open(self, subscriber: Subscriber) -> None:
        self.real = subscriber
        await super().open(self)  # type: ignore[arg-type]

    def begins_at(self, room: str, position: Any) -> None:
        self.real.begins_at(room, position)

    def published(self, room: str, publications: Sequence[Any]) -> None:
        self.real.published(room, publications)

    def presence_changed(self, room: str, user: str, joined: bool) -> None:
        self.real.presence_changed(room, user, joined)


class ToldTwice(Telling):
    def published(self, room: str, publications: Sequence[Any]) -> None:
        self.real.published(room, publications)
        self.real.published(room, publications)


class ToldBackwards(Telling):
    def published(self, room: str, publications: Sequence[Any]) -> None:
        self.real.published(room, publications[::-1])


class NeverTold(Telling):
    def published(self, room: str, publications: Sequence[Any]) -> None:
        pass


class BeginsTooEarly(Telling):
    def begins_at(self, room: str, position: Any) -> None:
        self.real.begins_at(room, position._replace(offset=max(0, position.offset - 1)))


class EverySessionJoins(Telling):
    async def enter(self, room: str, user: str, session_id: str) -> None:
        await super().enter(room, user, session_id)
        self.real.presence_changed(room, user, True)


class StaysSubscribed(MemoryBroker):
    async def unsubscribe(self, room: str) -> None:
        pass


class IgnoresBefore(MemoryBroker):
    async def read(self, room: str, **options: Any) -> LogPage:
        return await super().read(room, **{**options, "before": None})


class NewestFirst(MemoryBroker):
    async def read(self, room: str, **options: Any) -> LogPage:
        page = await super().read(room, **options)
        return page._replace(publications=page.publications[::-1])


class KeepsEverything(MemoryBroker):
    def __init__(self, retention: Retention | None = None, rules: Any = (), **rest: Any) -> None:
        super().__init__(None, (), **rest)


class IgnoresRules(MemoryBroker):
    def __init__(self, retention: Retention | None = None, rules: Any = (), **rest: Any) -> None:
        super().__init__(retention, (), **rest)


class UnsortedRooms(MemoryBroker):
    async def rooms(self, **options: Any) -> RoomPage:
        page = await super().rooms(**options)
        return page._replace(rooms=page.rooms[::-1])


class NoMoreRooms(MemoryBroker):
    async def rooms(self, **options: Any) -> RoomPage:
        return (await super().rooms(**options))._replace(has_more=False)


class NeverClosed(MemoryBroker):
    async def close(self) -> None:
        pass


class ClosedOnce(MemoryBroker):
    async def close(self) -> None:
        self._open_subscriber()
        await super().close()


class SurveysItself(MemoryBroker):
    async def survey(self, command: bytes) -> Answers:
        return Answers([self._open_subscriber().on_survey(command)], 0)


class AlwaysAvailable(MemoryBroker):
    is_available = True


class Strips(MemoryBroker):
    async def publish(self, room: str, drafts: Sequence[Draft]) -> list[Receipt]:
        return await super().publish(room, [d._replace(text=d.text.strip()) for d in drafts])


FAULTS: dict[type[MemoryBroker], str] = {
    NoDedupe: "test_the_same_again",
    DuplicateForConflict: "test_another_text",
    OneByOne: "test_messages_of_one_call_follow_each_other",
    ToldTwice: "test_told_in_order",
    ToldBackwards: "test_told_in_order",
    NeverTold: "test_told_in_order",
    BeginsTooEarly: "test_begins",
    EverySessionJoins: "test_a_user_with_two_sessions",
    StaysSubscribed: "test_unsubscribe",
    IgnoresBefore: "test_every_form",
    NewestFirst: "test_every_form",
    KeepsEverything: "test_by_number",
    IgnoresRules: "test_rules",
    UnsortedRooms: "test_pages",
    NoMoreRooms: "test_pages",
    NeverClosed: "test_used_while_it_is_not_open",
    ClosedOnce: "test_twice",
    SurveysItself: "test_survey_without_other_servers",
    AlwaysAvailable: "test_availability",
    Strips: "test_what_a_message_may_be",
}


@pytest.mark.parametrize(("broker_class", "name"), FAULTS.items())
async def test_a_broker_that_breaks_one(broker_class: type[MemoryBroker], name: str) -> None:
    """The test of a promise fails where it is broken."""

    class Contract(BrokerContract):
        timeout = 0.2

        async def make_broker(self, **options: Any) -> Broker:
            return broker_class(**options)

    with pytest.raises((AssertionError, BrokerError, ExceptionGroup)):
        await getattr(Contract(), name)()


async def test_a_broker_that_is_not_durable() -> None:
    """What is said to be durable has to be."""

    class Contract(BrokerContract):
        durable = True

        async def make_broker(self, **options: Any) -> Broker:
            return MemoryBroker(**options)

    for name in (
        "test_opened_again",
        "test_ids_after_it_was_opened_again",
        "test_while_others_publish",
    ):
        with pytest.raises((AssertionError, IndexError)):
            await getattr(Contract(), name)()
