"""Rooms: messages with a sender, an id, an offset and a time, in the room's order."""

from __future__ import annotations

from ..peers import GRPC_GO, GRPCIO
from .case import BESIDE, Case, Target

__all__ = ["ROOM_CASES"]

OURS_ALONE = "our server"

MANY = ("rooms", "--connections", "20", "--streams", "500", "--window", "1", "--members")
STEADY = (
    *("steady", "--connections", "20", "--streams", "50"),
    *("--rate", "25", "--size", "1000", "--window", "16"),
)
PUBLISH = ("publish", "--connections", "50", "--members", "1")

ROOM_CASES = (
    Case(
        *("room-100", "room, 100 connections", "deliveries/s"),
        ("rooms", "--connections", "100", "--window", "64"),
        targets=(Target(8, GRPCIO), Target(0.6, GRPC_GO)),
        who="servers with rooms",
    ),
    Case(
        *("room-10x50", "room, 10 connections × 50 streams", "deliveries/s"),
        ("rooms", "--connections", "10", "--streams", "50", "--window", "64"),
        who="servers with rooms",
    ),
    Case(
        *("large-rooms", "10 rooms × 1,000 members", "server's µs a delivery"),
        (*MANY, "1000"),
        "server_us_per_message",
        less_is_better=True,
        who=OURS_ALONE,
    ),
    Case(
        *("small-rooms", "1,000 rooms × 10 members", "server's µs a delivery"),
        (*MANY, "10"),
        "server_us_per_message",
        targets=(Target(1, BESIDE),),
        less_is_better=True,
        who=OURS_ALONE,
        beside="large-rooms",
    ),
    Case(
        *("publish", "publishing, 50 clients, in memory", "msg/s"),
        PUBLISH,
        who=OURS_ALONE,
    ),
    Case(
        *("publish-sqlite", "publishing, 50 clients, SQLite", "msg/s"),
        PUBLISH,
        targets=(Target(5000),),
        who=OURS_ALONE,
        server=("--broker", "sqlite:///{folder}/rooms.db"),
        beside="publish",
    ),
    Case(
        *("steady", "25 publications/s to 1,000 members: p99", "µs"),
        STEADY,
        "p99_us",
        less_is_better=True,
        who=OURS_ALONE,
        longer=5,
    ),
    Case(
        *("steady-stalled", "the same, 10 of them read nothing: p99", "µs"),
        (*STEADY, "--stalled", "10"),
        "p99_us",
        targets=(Target(1.1, BESIDE),),
        less_is_better=True,
        who=OURS_ALONE,
        beside="steady",
        longer=5,
    ),
    Case(
        *("members", "memory of an idle member, 100 on a connection", "kB"),
        ("members", "--connections", "100", "--streams", "100", "--members", "100"),
        "server_kb_per_stream",
        targets=(Target(25),),
        less_is_better=True,
        who=OURS_ALONE,
    ),
    Case(
        *("members-alone", "memory of an idle member with its connection", "kB"),
        ("members", "--connections", "10000", "--members", "100"),
        "server_kb_per_stream",
        targets=(Target(25),),
        less_is_better=True,
        who=OURS_ALONE,
    ),
)
