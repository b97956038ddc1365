"""By which setting somebody was cut off or refused. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import fields

from ..usage import UsageLimits

__all__ = ["CONNECTION_LIMITS", "SLOW_READERS", "limit_hits"]

REFUSALS = ("max_connections", "max_connections_per_address", "connection_rate_per_address")
"""Limits by which a connection is refused."""

USES = tuple(field.name for field in fields(UsageLimits) if "_per_" in field.name)

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
"""By the reason why a connection was ended."""

SESSION_LIMITS = {
    "slow_reader": "rooms.max_outbox",
    "stalled": "limits.write_timeout",
    "too_large": "rooms.max_message_size",
}
"""By the reason why a session of a room was ended."""

SLOW_READERS = ("slow_reader", "stalled", "overtaken")


def limit_hits(
    connections_refused: Mapping[str, int],
    connections_ended: Mapping[str, int],
    sessions_ended: Mapping[str, int],
    uses_refused: Mapping[str, int],
) -> Counter[str]:
    """How often each setting cut or refused somebody; 0 for those that did not."""
    hits = Counter({f"limits.{limit}": connections_refused.get(limit, 0) for limit in REFUSALS})
    hits.update({f"usage.{limit}": uses_refused.get(limit, 0) for limit in USES})
    for limits, ended in ((CONNECTION_LIMITS, connections_ended), (SESSION_LIMITS, sessions_ended)):
        for reason, limit in limits.items():
            hits[limit] += ended.get(reason, 0)
    return hits
