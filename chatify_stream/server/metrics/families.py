"""Define the metrics: their names, help texts and labels, and their values at one moment.

Dashboards and alert rules hold these names. Every family is exported from the start, also without
a sample, so that a query finds the same metrics on each server. No label holds a text that a client
sent, because that would make an unbounded number of time series.

The functions are pure: they take counters and return metric families of prometheus_client.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.utils import floatToGoString

from ..._version import __version__
from ...rooms import DisconnectReason
from ...wire import ServerStatistics
from ..rooms import RoomStatistics
from ..usage import UsageLimits
from .counts import BrokerTimes, CallCounts, Histogram

__all__ = [
    "CONNECTION_LIMITS",
    "SLOW_READERS",
    "broker_families",
    "call_families",
    "ended_connections",
    "limit_hits",
    "process_families",
    "refused_connections",
    "room_families",
    "server_families",
    "stall_families",
]

CONNECT_LIMITS = ("max_connections", "max_connections_per_address", "connection_rate_per_address")
"""Limits that reject a connection when it is accepted."""

USAGE_LIMITS = tuple(field.name for field in fields(UsageLimits) if "_per_" in field.name)

CONNECTION_LIMITS = {
    "too_many_pings": "limits.pings",
    "too_many_resets": "limits.resets",
    "too_many_settings": "limits.settings",
    "too_many_glitches": "limits.glitches",
    "too_many_refusals": "limits.refusals",
    "too_large_headers": "limits.max_header_list_size",
    "max_control_backlog": "limits.max_control_backlog",
    "cut_ungreeted": "limits.handshake_timeout",
    "no_calls": "limits.first_call_timeout",
    "cut_dead": "limits.keepalive_timeout",
    "cut_stalled": "limits.write_timeout",
    "max_age": "limits.max_connection_age",
}
"""The setting behind each reason why a connection was ended."""

SESSION_LIMITS = {
    "slow_reader": "rooms.max_outbox",
    "stalled": "limits.write_timeout",
    "too_large": "rooms.max_message_size",
}
"""The setting behind each reason why a session of a room was ended."""

SLOW_READERS = ("slow_reader", "stalled", "overtaken")
"""The reasons why a session was ended because its client read too slowly."""


def limit_hits(
    connections_refused: Mapping[str, int],
    connections_ended: Mapping[str, int],
    sessions_ended: Mapping[str, int],
    usage_refused: Mapping[str, int],
) -> Counter[str]:
    """Return how often each setting rejected a call or connection, or ended it.

    The keys are the names of the settings. A setting that was never exceeded counts 0.
    """
    hits = Counter(
        {f"limits.{limit}": connections_refused.get(limit, 0) for limit in CONNECT_LIMITS}
    )
    hits.update({f"usage.{limit}": usage_refused.get(limit, 0) for limit in USAGE_LIMITS})
    for limits, ended in ((CONNECTION_LIMITS, connections_ended), (SESSION_LIMITS, sessions_ended)):
        for reason, limit in limits.items():
            hits[limit] += ended.get(reason, 0)
    return hits


T = TypeVar("T")
Family = TypeVar("Family", CounterMetricFamily, GaugeMetricFamily)

Samples = Mapping[Any, float]
"""Values by label values: texts, or tuples of texts if there are several labels."""


def call_families(calls: CallCounts) -> Iterator[Metric]:
    """Yield the metrics of each method that is served."""
    labels = ("grpc_type", "grpc_service", "grpc_method")
    started = {each.labels: each.started for each in calls}
    yield _counter("grpc_server_started", "Calls that were started.", started, *labels)
    yield _counter(
        "grpc_server_handled",
        "Calls that have ended, by the status sent to the client; Canceled if none was sent.",
        {(*each.labels, code): n for each in calls for code, n in each.handled.items()},
        *labels,
        "grpc_code",
    )
    messages = {each.labels: each.messages for each in calls}
    yield _counter(
        "grpc_server_msg_received",
        "Messages received from clients.",
        {method: received for method, (received, _) in messages.items()},
        *labels,
    )
    yield _counter(
        "grpc_server_msg_sent",
        "Messages sent to clients.",
        {method: sent for method, (_, sent) in messages.items()},
        *labels,
    )
    yield _histogram(
        "grpc_server_handling_seconds",
        "Duration of calls in seconds, from start to end.",
        {each.labels: each.seconds for each in calls if each.seconds.count},
        *labels,
    )


def server_families(servers: Sequence[ServerStatistics]) -> Iterator[Metric]:
    """Yield the metrics of connections and calls, on all ports."""
    yield _gauge(
        "chatify_build_info",
        "Always 1; the label is the version of the server.",
        {__version__: 1},
        "version",
    )
    yield _gauge(
        "chatify_connections", "Open connections.", sum(each.connections for each in servers)
    )
    yield _counter(
        "chatify_connections_opened",
        "Connections that were accepted.",
        sum(each.connections_opened for each in servers),
    )
    yield _counter(
        "chatify_connections_refused",
        "Connections that a limit rejected when they were accepted.",
        sum(each.connections_refused for each in servers),
    )
    yield _counter(
        "chatify_connections_ended",
        "Connections that the server ended because of a limit or a protocol error.",
        ended_connections(servers),
        "reason",
    )
    yield _counter(
        "chatify_received_bytes",
        "Bytes received from clients.",
        sum(each.bytes_received for each in servers),
    )
    yield _counter(
        "chatify_sent_bytes", "Bytes sent to clients.", sum(each.bytes_sent for each in servers)
    )
    yield _gauge("chatify_calls", "Open calls.", sum(each.calls for each in servers))
    yield _counter(
        "chatify_calls_ended",
        "Calls that have ended, also of unknown methods; RESET if no status was sent.",
        _sum(each.calls_ended for each in servers),
        "status",
    )


def room_families(direct: int, rooms: RoomStatistics) -> Iterator[Metric]:
    """Yield the metrics of sessions and rooms. `direct` is the number of direct sessions."""
    yield _gauge(
        "chatify_sessions",
        "Open Chat streams, by kind: direct or room.",
        {"direct": direct, "room": rooms.sessions},
        "kind",
    )
    yield _gauge("chatify_rooms", "Rooms with at least one session on this server.", rooms.rooms)
    yield _counter(
        "chatify_room_sessions_opened", "Sessions of rooms that were opened.", rooms.sessions_opened
    )
    reasons = {reason.label: 0 for reason in DisconnectReason}
    yield _counter(
        "chatify_room_sessions_ended",
        "Sessions of rooms that have ended.",
        {**reasons, **rooms.sessions_ended},
        "reason",
    )
    yield _counter(
        "chatify_room_slow_readers",
        "Sessions of rooms that were ended because the client read too slowly.",
        sum(rooms.sessions_ended.get(reason, 0) for reason in SLOW_READERS),
    )
    yield _counter(
        "chatify_room_resumes",
        "Sessions that asked to resume; recovered is true if no message was lost.",
        {"true": rooms.resumes.get(True, 0), "false": rooms.resumes.get(False, 0)},
        "recovered",
    )
    yield _counter(
        "chatify_room_messages_published",
        "Messages published in rooms, on this server.",
        rooms.messages_published,
    )
    yield _counter(
        "chatify_room_deliveries",
        "Deliveries of messages to sessions: each message counts once per session.",
        rooms.deliveries,
    )
    yield _gauge(
        "chatify_room_outbox_bytes",
        "Bytes in the outboxes of sessions, waiting for their clients to read.",
        rooms.outbox_bytes,
    )


def broker_families(times: BrokerTimes, is_available: bool | None) -> Iterator[Metric]:
    """Yield the metrics of the broker and its calls; `is_available` is None without rooms."""
    yield _gauge(
        "chatify_broker_available",
        "1 while the broker is known to be available, else 0; only with rooms.",
        {} if is_available is None else is_available,
    )
    yield _histogram(
        "chatify_broker_call_seconds",
        "Duration of calls of the broker, in seconds.",
        times.seconds,
        "call",
    )
    yield _counter(
        "chatify_broker_errors", "Calls of the broker that failed.", times.errors, "call"
    )


def process_families(
    hits: Mapping[str, int], expires_at: float | None, lag: Histogram
) -> Iterator[Metric]:
    """Yield the metrics of exceeded limits (see `limit_hits`), the certificate and the event loop.

    `expires_at` is None without TLS.
    """
    yield _counter(
        "chatify_limit_hits",
        "Calls, connections and sessions that a limit rejected or ended, by its setting.",
        hits,
        "limit",
    )
    yield _gauge(
        "chatify_tls_certificate_expiry_timestamp_seconds",
        "Expiry of the server's certificate, in seconds since 1970; only with TLS.",
        {} if expires_at is None else expires_at,
    )
    yield _histogram(
        "chatify_event_loop_lag_seconds",
        "Lag of the event loop in seconds, measured once a second.",
        lag,
    )


def stall_families(seconds: float) -> Iterator[Metric]:
    """Yield the metric of a stall of the event loop, also while the loop is blocked."""
    yield _gauge(
        "chatify_event_loop_stalled_seconds",
        "Seconds that the event loop has been blocked; 0 while it runs.",
        seconds,
    )


def refused_connections(servers: Iterable[ServerStatistics]) -> Counter[str]:
    """Return the number of rejected connections, by the limit."""
    return _sum(each.connections_refused_by for each in servers)


def ended_connections(servers: Iterable[ServerStatistics]) -> Counter[str]:
    """Return the number of connections that the server ended, by the reason."""
    ended = Counter(dict.fromkeys(CONNECTION_LIMITS, 0))
    for reason, number in _sum(each.connections_ended for each in servers).items():
        ended["too_large_headers" if reason.startswith("headers of") else reason] += number
    return ended


def _sum(counters: Iterable[Mapping[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for each in counters:
        total.update(each)
    return total


def _counter(name: str, text: str, samples: Samples | float, *labels: str) -> CounterMetricFamily:
    return _filled(CounterMetricFamily(name, text, labels=labels), samples)


def _gauge(name: str, text: str, samples: Samples | float, *labels: str) -> GaugeMetricFamily:
    return _filled(GaugeMetricFamily(name, text, labels=labels), samples)


def _filled(family: Family, samples: Samples | float) -> Family:
    for values, value in _by_labels(samples):
        family.add_metric(values, value)
    return family


def _histogram(
    name: str, text: str, histograms: Mapping[Any, Histogram] | Histogram, *labels: str
) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, text, labels=labels)
    for values, histogram in _by_labels(histograms):
        bounds = [*map(floatToGoString, histogram.bounds), "+Inf"]
        buckets = list(zip(bounds, histogram.cumulative, strict=True))
        family.add_metric(values, buckets, histogram.sum)
    return family


def _by_labels(values: Mapping[Any, T] | T) -> Iterator[tuple[Sequence[str], T]]:
    """Yield each value with its label values; a value that is not in a mapping has no labels."""
    for labels, value in values.items() if isinstance(values, Mapping) else [((), values)]:
        yield (labels,) if isinstance(labels, str) else labels, value
