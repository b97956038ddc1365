"""Tests of chat/ending.py."""

from __future__ import annotations

import pytest

from chatify_stream.errors import Status
from chatify_stream.rooms import EndingReason

VALUES = {"why": "because", "limit": 10, "id": "a", "offset": 3}


@pytest.mark.parametrize("reason", EndingReason)
def test_every_row(reason: EndingReason) -> None:
    """Every row says how its session ends: with a text, unless all is well."""
    ending = reason(**VALUES)
    status, _, reconnect = reason.value
    assert (ending.reason, ending.status, ending.reconnect) == (
        reason.name.lower(),
        status,
        reconnect,
    )
    assert (ending.status is Status.OK) == (ending.text == "")


def test_the_table() -> None:
    """Coming back helps where it is told, and nowhere else, under the status that is promised."""
    rows = {reason.name: (reason.value[0].name, reason.value[2]) for reason in EndingReason}
    assert rows == {
        "DONE": ("OK", False),
        "LEFT": ("CANCELLED", True),
        "BAD_REQUEST": ("INVALID_ARGUMENT", False),
        "ID_CONFLICT": ("INVALID_ARGUMENT", False),
        "REFUSED": ("PERMISSION_DENIED", False),
        "FORBIDDEN": ("PERMISSION_DENIED", False),
        "EXPIRED": ("UNAUTHENTICATED", True),
        "UNCHECKED": ("UNAVAILABLE", True),
        "BAD_MESSAGE": ("INTERNAL", False),
        "TOO_LARGE": ("RESOURCE_EXHAUSTED", False),
        "OVER_LIMIT": ("RESOURCE_EXHAUSTED", True),
        "SLOW_READER": ("RESOURCE_EXHAUSTED", True),
        "STALLED": ("RESOURCE_EXHAUSTED", True),
        "OVERTAKEN": ("RESOURCE_EXHAUSTED", True),
        "DRAINING": ("UNAVAILABLE", True),
        "BROKER_AWAY": ("UNAVAILABLE", True),
        "LOG_RESET": ("UNAVAILABLE", True),
        "SENT_AWAY": ("PERMISSION_DENIED", False),
        "SENT_BACK": ("UNAVAILABLE", True),
        "FAILED": ("INTERNAL", True),
    }


def test_what_is_said_of_the_one_case() -> None:
    """The text has what is to be known of it, also where that has braces or no ASCII."""
    ending = EndingReason.ID_CONFLICT(id="{世界}", offset=7)
    assert ending.text == (
        "the id '{世界}' was published with another text, at offset 7; a new message needs a new id"
    )
    assert EndingReason.SENT_BACK(why="update {1}").text == "disconnected: update {1}; come back"


def test_each_is_another_one() -> None:
    """Rows with the same values would be one reason, counted together."""
    assert len({reason.name for reason in EndingReason}) == len(EndingReason.__members__)
