"""What the promises of rooms say of what was recorded. No I/O.

Each client records what it was acknowledged, and what it was given, in the order in which that
came; at the end the log of each room is read. From these alone the checker finds what is lost,
doubled, out of order, made up, or missing at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Break", "Delivery", "Record", "faults", "faults_of_log"]


class Delivery(NamedTuple):
    """A message as a client got it, or as it stands in the log."""

    epoch: str
    offset: int
    sender: str
    id: str
    text: str


class Break(NamedTuple):
    """What a client was told of messages that it may have missed."""

    at: int
    """How many messages it had got by then."""
    expected: tuple[str, int]
    """The epoch and offset that were due."""
    newest: tuple[str, int]
    """Those after which it goes on."""


@dataclass
class Record:
    """What one client has seen of its room."""

    room: str
    user: str
    acknowledged: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    """By id: the text, and the epoch and offset that the server gave it."""
    delivered: list[Delivery] = field(default_factory=list)
    breaks: list[Break] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    """What could not be sent, and why."""


def faults(logs: Mapping[str, Sequence[Delivery]], records: Sequence[Record]) -> list[str]:
    """Everything that is wrong, in words; nothing when all promises were kept."""
    found: list[str] = []
    for room, log in logs.items():
        found += faults_of_log(room, log)
    for record in records:
        log = logs[record.room]
        found += _lost(record, log)
        found += _wrongly_delivered(record, log)
    return found


def faults_of_log(room: str, log: Sequence[Delivery]) -> Iterator[str]:
    """A hole, a message that is there twice, and a second epoch."""
    where: dict[tuple[str, str], int] = {}
    for expected, entry in enumerate(log, start=1):
        if entry.offset != expected:
            yield f"{room}: the log has offset {entry.offset} in the place of {expected}"
        key = (entry.sender, entry.id)
        if entry.id and key in where:
            yield f"{room}: {key} is in the log twice, at {where[key]} and {entry.offset}"
        where[key] = entry.offset
    if len({entry.epoch for entry in log}) > 1:
        yield f"{room}: the log has several epochs"


def _lost(record: Record, log: Sequence[Delivery]) -> Iterator[str]:
    for message_id, (text, epoch, offset) in record.acknowledged.items():
        promised = Delivery(epoch, offset, record.user, message_id, text)
        entry = log[offset - 1] if 0 < offset <= len(log) else None
        if entry != promised:
            yield f"{record.room}: acknowledged to {record.user} was {promised}, there is {entry}"


def _wrongly_delivered(record: Record, log: Sequence[Delivery]) -> Iterator[str]:
    who = f"{record.room}: {record.user}"
    expected = record.delivered[0].offset if record.delivered else 1
    for delivery in record.delivered:
        if delivery.offset != expected:
            yield f"{who} got offset {delivery.offset} in the place of {expected}"
        entry = log[delivery.offset - 1] if 0 < delivery.offset <= len(log) else None
        if delivery != entry:
            yield f"{who} got {delivery}, and in the log is {entry}"
        expected = delivery.offset + 1
    if expected != len(log) + 1:
        yield f"{who} has got nothing after offset {expected - 1}; the log goes on to {len(log)}"
    for missed in record.breaks:
        yield f"{who} was told that it missed {missed.expected} to {missed.newest}"
    for failure in record.failed:
        yield f"{who} could not send {failure}"
