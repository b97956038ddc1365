"""The short form of the fuzz run; `tox -e fuzz` is the long one."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest

from chatify_stream.wire.connection.inbox import Inbox
from chatify_stream.wire.connection.protocol import WireProtocol
from chatify_stream.wire.connection.stream import CallStream
from chatify_stream.wire.connection.write_buffer import WriteBuffer
from chatify_stream.wire.protobuf.codec import ProtoCodec
from chatify_stream.wire.server.calls import Calls, RefusalPacing

from .run import TARGETS, input_of, run

INPUTS = 150
"""Of each kind."""


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_a_peer_sends_does_harm(target: str) -> None:
    """Whatever comes, no error escapes, no call hangs, and nothing is left."""
    first, step = TARGETS.index(target), len(TARGETS)
    fault, outcomes = run(1, range(first, step * INPUTS, step))
    assert fault is None, str(fault)
    assert len(outcomes) > 1, "the inputs have no effect"


def test_an_input_is_known_by_its_number() -> None:
    """The same seed and number make the same input, now and later."""
    for number in range(len(TARGETS) * 5):
        assert input_of(7, number)[0] == input_of(7, number)[0]


def raise_key_error(*args: Any) -> None:
    raise KeyError


def do_nothing(*args: Any) -> None:
    pass


def very_late(*args: Any) -> float:
    return 10.0**6


def spin(self: WriteBuffer) -> None:
    asyncio.get_running_loop().call_soon(spin, self)


def leave_a_task(self: CallStream) -> None:
    asyncio.get_running_loop().create_task(asyncio.sleep(10**6))


@pytest.mark.parametrize(
    ("owner", "name", "planted", "found"),
    [
        (ProtoCodec, "malformed", raise_key_error, r"not \(\[\], 13\)|KeyError"),
        (WireProtocol, "ping_received", raise_key_error, "in the loop"),
        (Inbox, "eof", do_nothing, "hang"),
        (RefusalPacing, "delay", very_late, "hang"),
        (Calls, "cancel", do_nothing, "hang|the handler failed|are left"),
        (CallStream, "end_received", leave_a_task, "left"),
        (WriteBuffer, "unblock", spin, "does not come to rest"),
    ],
)
def test_a_fault_is_seen(
    monkeypatch: pytest.MonkeyPatch,
    owner: type,
    name: str,
    planted: Callable[..., object],
    found: str,
) -> None:
    """A fault that is planted is found, and its input is told."""
    monkeypatch.setattr(owner, name, planted)
    fault, _ = run(1, range(3000))
    assert fault is not None
    assert re.search(found, fault.what)
    again, _ = run(1, [fault.number])
    assert again is not None
    assert re.search(found, again.what)
    assert f"--only {fault.number}" in str(fault)
