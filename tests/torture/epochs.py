"""What is wrong when Redis has lost messages, of what clients were told. No I/O.

Messages may be lost with it, and none of that may be silent: each room goes on in a new epoch, and
each client is told of it before anything of it comes. Between two such breaks nothing is missing,
nothing comes again, and one position is one message, to everybody, for ever.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from .checker import Delivery, Record, faults_of_log

__all__ = ["epochs_told", "unannounced"]


def epochs_told(record: Record) -> list[str]:
    """The new epochs that a client was told of, one after the other."""
    return [each.newest[0] for each in record.breaks if each.newest[0] != each.expected[0]]


def unannounced(
    logs: Mapping[str, Sequence[Delivery]], records: Sequence[Record], losses: int
) -> list[str]:
    """Everything that is wrong, in words, after so many losses. The logs are those of the end."""
    found: list[str] = []
    for room, log in logs.items():
        found += faults_of_log(room, log)
    said: dict[tuple[str, str, int], Delivery] = {}
    for record in records:
        log = logs[record.room]
        found += _silent(record)
        found += _contradictions(record, said)
        found += _at_the_end(record, log)
        told = epochs_told(record)
        if len(told) != losses:
            found.append(f"{_who(record)} was told of {len(told)} epochs, there were {losses}")
    return found


def _silent(record: Record) -> Iterator[str]:
    """Where a client was led on without a word."""
    breaks = iter([*record.breaks, None])
    next_break = next(breaks)
    due: tuple[str, int] | None = None
    left: set[str] = set()
    for number, delivery in enumerate([*record.delivered, None]):
        while next_break is not None and next_break.at <= number:
            if due is not None and next_break.expected != due:
                yield f"{_who(record)} was told to miss {next_break.expected}, and {due} was due"
            epoch, offset = next_break.newest
            if epoch == next_break.expected[0]:
                yield f"{_who(record)} missed messages of the same log: {next_break}"
            left.add(next_break.expected[0])
            if epoch in left:
                yield f"{_who(record)} was sent back to the epoch {epoch}"
            due = epoch, offset + 1
            next_break = next(breaks)
        if delivery is not None:
            position = delivery.epoch, delivery.offset
            if due is not None and position != due:
                yield f"{_who(record)} got {position} in the place of {due}"
            due = delivery.epoch, delivery.offset + 1


def _contradictions(record: Record, said: dict[tuple[str, str, int], Delivery]) -> Iterator[str]:
    """Where one position is two messages. `said` is what others got."""
    for delivery in record.delivered:
        key = record.room, delivery.epoch, delivery.offset
        other = said.setdefault(key, delivery)
        if other != delivery:
            yield f"{_who(record)} got {delivery}, and another {other}"


def _at_the_end(record: Record, log: Sequence[Delivery]) -> Iterator[str]:
    """What is not as it is in the log, of the epoch that is left."""
    epoch = log[0].epoch if log else ""
    for message_id, (text, of, offset) in record.acknowledged.items():
        promised = Delivery(of, offset, record.user, message_id, text)
        if of == epoch and log[offset - 1 : offset] != [promised]:
            yield f"{_who(record)} was acknowledged {promised}, which is not in the log"
    for delivery in record.delivered:
        at = delivery.offset
        if delivery.epoch == epoch and log[at - 1 : at] != [delivery]:
            yield f"{_who(record)} got {delivery}, which is not in the log"
    if log and record.delivered[-1:] != [log[-1]]:
        yield f"{_who(record)} has not got the last message"


def _who(record: Record) -> str:
    return f"{record.room}: {record.user}"
