"""The figures of `top` from two snapshots of the metrics."""

import math

import pytest

from chatify_stream.cli.commands.top_metrics import Figure, Sample, Snapshot, figures


def snapshot(at: float = 0.0, **values: float) -> Snapshot:
    return Snapshot((Sample(name, {}, value) for name, value in values.items()), at)


def figure(name: str, now: Snapshot, before: Snapshot | None = None) -> Figure | None:
    return next((each for each in figures(now, before) if each.name == name), None)


def test_a_rate() -> None:
    """A rate is the growth of a counter per second; the first snapshot has none."""
    before = snapshot(10.0, grpc_server_msg_received_total=1000)
    now = snapshot(12.0, grpc_server_msg_received_total=4000)
    assert figure("messages received", before) == Figure("messages received", "1,000", "")
    assert figure("messages received", now, before) == (
        "messages received",
        "4,000",
        "1,500/s",
        False,
    )


def test_a_server_that_was_started_anew() -> None:
    """A counter that went back has no rate."""
    before = snapshot(10.0, chatify_sent_bytes_total=4000)
    assert figure("bytes sent", snapshot(11.0, chatify_sent_bytes_total=5), before) == Figure(
        "bytes sent", "5 B"
    )


def test_labels_are_summed() -> None:
    """A counter is summed over methods; sessions are separate by kind."""
    samples = [
        Sample("grpc_server_msg_sent_total", {"grpc_method": "Chat"}, 3),
        Sample("grpc_server_msg_sent_total", {"grpc_method": "Check"}, 4),
        Sample("chatify_sessions", {"kind": "room"}, 5),
        Sample("chatify_sessions", {"kind": "direct"}, 6),
        Sample("chatify_room_resumes_total", {"recovered": "true"}, 7),
        Sample("chatify_room_resumes_total", {"recovered": "false"}, 8),
    ]
    now = Snapshot(samples, 0.0)
    values = {each.name: each.value for each in figures(now, None)}
    assert values["messages sent"] == "7"
    assert (values["sessions, room"], values["sessions, direct"]) == ("5", "6")
    assert (values["resumes, complete"], values["resumes, incomplete"]) == ("7", "8")


def test_the_event_loop() -> None:
    """The lag is the mean of the interval; a high lag and a stall are alarming."""
    lag = "chatify_event_loop_lag_seconds"
    before = snapshot(0.0, **{f"{lag}_sum": 1.0, f"{lag}_count": 10})
    now = snapshot(2.0, **{f"{lag}_sum": 1.002, f"{lag}_count": 12})
    assert figure("event loop lag", before) == ("event loop lag", "100.0 ms", "", False)
    assert figure("event loop lag", now, before) == ("event loop lag", "1.0 ms", "", False)
    assert figure("event loop lag", before, now) == ("event loop lag", "100.0 ms", "", False)
    slow = snapshot(2.0, **{f"{lag}_sum": 2.5, f"{lag}_count": 11})
    assert figure("event loop lag", slow, before) == ("event loop lag", "1.5 s", "", True)
    stall = snapshot(2.0, chatify_event_loop_stalled_seconds=3.21)
    assert figure("event loop", stall) == ("event loop", "blocked for 3.2 s", "", True)


def test_the_broker() -> None:
    """Calls of the broker are shown if there are any, and new errors are alarming."""
    assert figure("broker calls", snapshot()) is None
    call = "chatify_broker_call_seconds"
    before = snapshot(0.0, **{f"{call}_sum": 0.0, f"{call}_count": 0})
    now = snapshot(2.0, **{f"{call}_sum": 0.008, f"{call}_count": 4})
    assert figure("broker calls", now, before) == (
        "broker calls",
        "2.0 ms",
        "2/s",
        False,
    )
    errors = figure("broker errors", now, before)
    assert errors is not None
    assert not errors.is_alarming
    failed = snapshot(4.0, **{f"{call}_count": 4, "chatify_broker_errors_total": 3})
    errors = figure("broker errors", failed, now)
    assert errors is not None
    assert errors.is_alarming


def test_the_limits() -> None:
    """At most five exceeded limits are shown, the most exceeded first."""
    samples = [
        Sample("chatify_limit_hits_total", {"limit": f"l{number}"}, number) for number in range(9)
    ]
    names = [each.name for each in figures(Snapshot(samples, 0.0), None)]
    assert names[-5:] == ["limit l8", "limit l7", "limit l6", "limit l5", "limit l4"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1500, "1.5 kB"),
        (25e6, "25 MB"),
        (4e15, "4,000 TB"),
        (math.nan, "? TB"),
    ],
)
def test_bytes(value: float, shown: str) -> None:
    """In the unit that leaves few digits."""
    found = figure("buffered for clients", snapshot(chatify_room_outbox_bytes=value))
    assert found is not None
    assert found.value == shown
