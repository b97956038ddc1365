"""Define the metrics: their names, help texts and labels, and their values at one moment.

Dashboards and alert rules hold these names. Every family is exported from the start, also without
a sample, so that a query finds the same metrics on each server. No label holds a text that a client
sent, because that would make an unbounded number of time series.

The functions are pure: they take counters and return values, and then metric families of
prometheus_client.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from prometheus_client import Metric, core
from prometheus_client.utils import floatToGoString

from ..._version import __version__
from ...limits import UsageLimits
from ...rooms import DisconnectReason
from ...wire import ServerStatistics
from ..rooms import RoomStatistics
from .counts import BrokerTimes, CallCounts, Histogram

METHOD = ("grpc_type", "grpc_service", "grpc_method")

COUNTERS = {
    "grpc_server_started": ["Calls that were started.", *METHOD],
    "grpc_server_handled": [
        "Calls that have ended, by the status sent to the client; Canceled if none was sent.",
        *METHOD,
        "grpc_code",
    ],
    "grpc_server_msg_received": ["Messages received from clients.", *METHOD],
    "grpc_server_msg_sent": ["Messages sent to clients.", *METHOD],
    "chatify_connections_opened": ["Connections that were accepted."],
    "chatify_connections_refused": ["Connections that a limit rejected when they were accepted."],
    "chatify_connections_ended": [
        "Connections that the server ended because of a limit or a protocol error.",
        "reason",
    ],
    "chatify_received_bytes": ["Bytes received from clients."],
    "chatify_sent_bytes": ["Bytes sent to clients."],
    "chatify_calls_ended": [
        "Calls that have ended, also of unknown methods; RESET if no status was sent.",
        "status",
    ],
    "chatify_room_sessions_opened": ["Sessions of rooms that were opened."],
    "chatify_room_sessions_ended": ["Sessions of rooms that have ended.", "reason"],
    "chatify_room_slow_readers": [
        "Sessions of rooms that were ended because the client read too slowly."
    ],
    "chatify_room_resumes": [
        "Sessions that asked to resume; recovered is true if no message was lost.",
        "recovered",
    ],
    "chatify_room_messages_published": ["Messages published in rooms, on this server."],
    "chatify_room_deliveries": [
        "Deliveries of messages to sessions: each message counts once per session."
    ],
    "chatify_broker_errors": ["Calls of the broker that failed.", "call"],
    "chatify_limit_hits": [
        "Calls, connections and sessions that a limit rejected or ended, by its setting.",
        "limit",
    ],
}
"""By name, the help text and then the labels."""

GAUGES = {
    "chatify_build_info": ["Always 1; the label is the version of the server.", "version"],
    "chatify_connections": ["Open connections."],
    "chatify_calls": ["Open calls."],
    "chatify_sessions": ["Open Chat streams, by kind: direct or room.", "kind"],
    "chatify_rooms": ["Rooms with at least one session on this server."],
    "chatify_room_outbox_bytes": [
        "Bytes in the outboxes of sessions, waiting for their clients to read."
    ],
    "chatify_broker_available": [
        "1 while the broker is known to be available, else 0; only with rooms."
    ],
    "chatify_tls_certificate_expiry_timestamp_seconds": [
        "Expiry of the server's certificate, in seconds since 1970; only with TLS."
    ],
    "chatify_event_loop_stalled_seconds": [
        "Seconds that the event loop has been blocked; 0 while it runs."
    ],
}

HISTOGRAMS = {
    "grpc_server_handling_seconds": ["Duration of calls in seconds, from start to end.", *METHOD],
    "chatify_broker_call_seconds": ["Duration of calls of the broker, in seconds.", "call"],
    "chatify_event_loop_lag_seconds": ["Lag of the event loop in seconds, measured once a second."],
}

KINDS: list[tuple[Callable[..., Any], dict[str, list[str]]]] = [
    (core.CounterMetricFamily, COUNTERS),
    (core.GaugeMetricFamily, GAUGES),
    (core.HistogramMetricFamily, HISTOGRAMS),
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


Values = Mapping[str, Any]
"""By the name of a metric, a number or a `Histogram`, or a mapping of these by label values.

The keys of such a mapping are texts, or tuples of texts for a metric with several labels.
"""


def metric_families(values: Values) -> Iterator[Metric]:
    """Yield the metrics with these names and values."""
    for name, samples in values.items():
        kind, (text, *labels) = next((kind, table[name]) for kind, table in KINDS if name in table)
        family = kind(name, text, labels=labels)
        for key, value in samples.items() if isinstance(samples, Mapping) else [((), samples)]:
            family.add_metric((key,) if isinstance(key, str) else key, *_sample(value))
        yield family


def _sample(value: float | Histogram) -> tuple[Any, ...]:
    if not isinstance(value, Histogram):
        return (value,)
    bounds = [*map(floatToGoString, value.bounds), "+Inf"]
    return list(zip(bounds, value.cumulative, strict=True)), value.sum


def call_values(calls: CallCounts) -> Values:
    """Return the values for each method that is served."""
    messages = {each.labels: each.messages for each in calls}
    return {
        "grpc_server_started": {each.labels: each.started for each in calls},
        "grpc_server_handled": {
            (*each.labels, code): n for each in calls for code, n in each.handled.items()
        },
        "grpc_server_msg_received": {key: received for key, (received, _) in messages.items()},
        "grpc_server_msg_sent": {key: sent for key, (_, sent) in messages.items()},
        "grpc_server_handling_seconds": {
            each.labels: each.seconds for each in calls if each.seconds.count
        },
    }


def server_values(servers: Sequence[ServerStatistics]) -> Values:
    """Return the values for connections and calls, on all ports."""
    return {
        "chatify_build_info": {__version__: 1},
        "chatify_connections": sum(each.connections for each in servers),
        "chatify_connections_opened": sum(each.connections_opened for each in servers),
        "chatify_connections_refused": sum(each.connections_refused for each in servers),
        "chatify_connections_ended": ended_connections(servers),
        "chatify_received_bytes": sum(each.bytes_received for each in servers),
        "chatify_sent_bytes": sum(each.bytes_sent for each in servers),
        "chatify_calls": sum(each.calls for each in servers),
        "chatify_calls_ended": add_up(each.calls_ended for each in servers),
    }


def room_values(direct: int, rooms: RoomStatistics) -> Values:
    """Return the values for sessions and rooms. `direct` is the number of direct sessions."""
    reasons = {reason.label: 0 for reason in DisconnectReason}
    slow_readers = sum(rooms.sessions_ended.get(reason, 0) for reason in SLOW_READERS)
    resumes = {"true": rooms.resumes.get(True, 0), "false": rooms.resumes.get(False, 0)}
    return {
        "chatify_sessions": {"direct": direct, "room": rooms.sessions},
        "chatify_rooms": rooms.rooms,
        "chatify_room_sessions_opened": rooms.sessions_opened,
        "chatify_room_sessions_ended": {**reasons, **rooms.sessions_ended},
        "chatify_room_slow_readers": slow_readers,
        "chatify_room_resumes": resumes,
        "chatify_room_messages_published": rooms.messages_published,
        "chatify_room_deliveries": rooms.deliveries,
        "chatify_room_outbox_bytes": rooms.outbox_bytes,
    }


def broker_values(times: BrokerTimes, is_available: bool | None) -> Values:
    """Return the values for the broker and its calls; `is_available` is None without rooms."""
    return {
        "chatify_broker_available": {} if is_available is None else is_available,
        "chatify_broker_call_seconds": times.seconds,
        "chatify_broker_errors": times.errors,
    }


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


def ended_connections(servers: Iterable[ServerStatistics]) -> Counter[str]:
    """Return the number of connections that the server ended, by the reason."""
    ended = Counter(dict.fromkeys(CONNECTION_LIMITS, 0))
    for reason, number in add_up(each.connections_ended for each in servers).items():
        ended["too_large_headers" if reason.startswith("headers of") else reason] += number
    return ended


def add_up(counters: Iterable[Mapping[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for each in counters:
        total.update(each)
    return total
