"""The figures that `top` shows, from two snapshots of a metrics endpoint. No I/O.

A rate is the growth of a counter between the snapshots, per second. A counter that decreased has
no rate: the server was restarted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

MAX_LIMITS = 5
"""Limits shown: those that were exceeded most often."""
Show = Callable[[float], str]


class Sample(NamedTuple):
    """One sample of the endpoint."""

    name: str
    labels: Mapping[str, str]
    value: float


class Figure(NamedTuple):
    """A line of the view."""

    name: str
    value: str
    rate: str = ""
    is_alarming: bool = False


class Snapshot:
    """The samples of the endpoint at a time `at`, in seconds of a monotonic clock."""

    def __init__(self, samples: Iterable[Sample], at: float) -> None:
        self.at = at
        self._samples: dict[str, list[Sample]] = {}
        for sample in samples:
            self._samples.setdefault(sample.name, []).append(sample)

    def samples(self, name: str) -> Sequence[Sample]:
        return self._samples.get(name, ())

    def value(self, name: str, **labels: str) -> float:
        """Return the sum of the samples with these labels."""
        return sum(
            sample.value for sample in self.samples(name) if labels.items() <= sample.labels.items()
        )

    def label(self, name: str, label: str) -> str:
        """Return a label of the first sample, or an empty string."""
        return next((sample.labels.get(label, "") for sample in self.samples(name)), "")


def figures(now: Snapshot, before: Snapshot | None) -> Iterator[Figure]:
    """Yield the lines of the view, from top to bottom."""

    def rate(metric: str, show: Show, **labels: str) -> str:
        if before is None or now.at <= before.at:
            return ""
        grown = now.value(metric, **labels) - before.value(metric, **labels)
        return "" if grown < 0 else f"{show(grown / (now.at - before.at))}/s"

    def counter(name: str, metric: str, show: Show = _number, **labels: str) -> Figure:
        return Figure(name, show(now.value(metric, **labels)), rate(metric, show, **labels))

    def gauge(name: str, metric: str, counter: str) -> Figure:
        return Figure(name, _number(now.value(metric)), rate(counter, _number))

    yield gauge("connections", "chatify_connections", "chatify_connections_opened_total")
    yield gauge("calls", "chatify_calls", "grpc_server_started_total")
    for sample in now.samples("chatify_sessions"):
        yield Figure(f"sessions, {sample.labels.get('kind', '?')}", _number(sample.value))
    yield Figure("rooms", _number(now.value("chatify_rooms")))
    yield counter("messages received", "grpc_server_msg_received_total")
    yield counter("messages sent", "grpc_server_msg_sent_total")
    yield counter("published in rooms", "chatify_room_messages_published_total")
    yield counter("deliveries in rooms", "chatify_room_deliveries_total")
    yield counter("bytes received", "chatify_received_bytes_total", _bytes)
    yield counter("bytes sent", "chatify_sent_bytes_total", _bytes)
    yield Figure("buffered for clients", _bytes(now.value("chatify_room_outbox_bytes")))
    yield counter("slow readers disconnected", "chatify_room_slow_readers_total")
    yield counter("resumes, complete", "chatify_room_resumes_total", recovered="true")
    yield counter("resumes, incomplete", "chatify_room_resumes_total", recovered="false")
    stalled = now.value("chatify_event_loop_stalled_seconds")
    lag = _mean(now, before, "chatify_event_loop_lag_seconds")
    if stalled > 0:
        yield Figure("event loop", f"blocked for {stalled:.1f} s", "", True)
    else:
        yield Figure("event loop lag", _seconds(lag), "", lag is not None and lag > 0.1)
    if now.samples("chatify_broker_call_seconds_count"):
        mean = _mean(now, before, "chatify_broker_call_seconds")
        calls = rate("chatify_broker_call_seconds_count", _number)
        yield Figure("broker calls", _seconds(mean), calls)
        errors = counter("broker errors", "chatify_broker_errors_total")
        yield errors._replace(is_alarming=errors.rate not in ("", "0/s"))
    limits = sorted(now.samples("chatify_limit_hits_total"), key=lambda each: -each.value)
    for sample in limits[:MAX_LIMITS]:
        if sample.value:
            limit = sample.labels.get("limit", "?")
            yield counter(f"limit {limit}", "chatify_limit_hits_total", limit=limit)


def _mean(now: Snapshot, before: Snapshot | None, histogram: str) -> float | None:
    """Return the mean of the observations since `before`, or of all if there are none."""
    count, total = now.value(f"{histogram}_count"), now.value(f"{histogram}_sum")
    if before is not None:
        new = count - before.value(f"{histogram}_count")
        if new > 0:
            return (total - before.value(f"{histogram}_sum")) / new
    return total / count if count else None


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "?"
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def _bytes(value: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{_number(value)} {unit}"
        value /= 1000
    return f"{_number(value)} TB"


def _seconds(value: float | None) -> str:
    if value is None:
        return "?"
    return f"{1000 * value:.1f} ms" if value < 1 else f"{value:.1f} s"
