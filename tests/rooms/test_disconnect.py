"""Tests of rooms/disconnect.py."""

from __future__ import annotations

import pytest

from chatify_stream.errors import Status
from chatify_stream.rooms import DisconnectReason

VALUES = {"why": "because", "limit": 10, "id": "a", "offset": 3}


@pytest.mark.parametrize("reason", DisconnectReason)
def test_every_row(reason: DisconnectReason) -> None:
    """Every reason makes a `Disconnect` from its row, with a text unless the status is OK."""
    disconnect = reason(**VALUES)
    label, status, _, reconnect = reason.value
    assert (disconnect.reason, disconnect.status, disconnect.reconnect) == (
        label,
        status,
        reconnect,
    )
    assert reason.label == label
    assert (disconnect.status is Status.OK) == (disconnect.text == "")


def test_the_table() -> None:
    """The names in metrics and logs, the statuses and the advice to reconnect are fixed."""
    rows = {reason.label: (reason.value[1].name, reason.value[3]) for reason in DisconnectReason}
    assert rows == {
        "done": ("OK", False),
        "left": ("CANCELLED", True),
        "bad_request": ("INVALID_ARGUMENT", False),
        "id_conflict": ("INVALID_ARGUMENT", False),
        "refused": ("PERMISSION_DENIED", False),
        "forbidden": ("PERMISSION_DENIED", False),
        "expired": ("UNAUTHENTICATED", True),
        "unchecked": ("UNAVAILABLE", True),
        "bad_message": ("INTERNAL", False),
        "too_large": ("RESOURCE_EXHAUSTED", False),
        "over_limit": ("RESOURCE_EXHAUSTED", True),
        "slow_reader": ("RESOURCE_EXHAUSTED", True),
        "stalled": ("RESOURCE_EXHAUSTED", True),
        "overtaken": ("RESOURCE_EXHAUSTED", True),
        "draining": ("UNAVAILABLE", True),
        "broker_away": ("UNAVAILABLE", True),
        "log_reset": ("UNAVAILABLE", True),
        "sent_away": ("PERMISSION_DENIED", False),
        "sent_back": ("UNAVAILABLE", True),
        "failed": ("INTERNAL", True),
    }


def test_text() -> None:
    """The values are put into the text unchanged, even with braces or in another script."""
    disconnect = DisconnectReason.ID_CONFLICT(id="{世界}", offset=7)
    assert disconnect.text == (
        "the id '{世界}' was published with another text, at offset 7; a new message needs a new id"
    )
    assert DisconnectReason.RECONNECT_REQUESTED(why="update {1}").text == (
        "disconnected: update {1}; reconnect"
    )


def test_no_aliases() -> None:
    """Every member is a reason of its own; equal rows would be counted together."""
    assert len({reason.label for reason in DisconnectReason}) == len(DisconnectReason.__members__)
