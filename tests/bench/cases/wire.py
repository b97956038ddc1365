"""The transport: messages that are echoed, or go to a group that does nothing with them."""

from __future__ import annotations

from ..peers import GRPC_GO, GRPCIO, GRPCLIB
from .case import BESIDE, Case, Target

__all__ = ["WIRE_CASES"]

WIRE_CASES = (
    Case(
        *("flood", "flood, 1 stream", "msg/s"),
        ("flood",),
        targets=(Target(25, GRPCIO), Target(15, GRPCLIB), Target(0.5, GRPC_GO)),
    ),
    Case(
        *("flood-1k", "flood of 1 kB, 1 stream", "MB/s"),
        ("flood", "--size", "1024", "--window", "2048"),
        "megabytes_per_second",
    ),
    Case(
        *("flood-64k", "flood of 64 kB, 1 stream", "MB/s"),
        ("flood", "--size", "65536", "--window", "256"),
        "megabytes_per_second",
        targets=(Target(1, GRPCIO),),
    ),
    Case(
        *("flood-10x10", "flood, 10 connections × 10 streams", "msg/s"),
        ("flood", "--connections", "10", "--streams", "10", "--window", "128"),
        targets=(Target(5, GRPCIO),),
    ),
    Case(
        *("pingpong", "ping-pong, 1 connection: p50", "µs"),
        ("pingpong",),
        "p50_us",
        targets=(Target(1, GRPCIO),),
        less_is_better=True,
    ),
    Case(
        *("pingpong-50", "ping-pong, 50 connections", "msg/s"),
        ("pingpong", "--connections", "50"),
        targets=(Target(1.4, GRPCIO),),
    ),
    Case(
        *("calls", "calls of 1 message, 16 at once on 1 connection", "calls/s"),
        ("calls", "--streams", "16"),
        targets=(Target(1.5, GRPCIO),),
    ),
    Case(
        *("fanout-100", "fan-out, 100 connections", "deliveries/s"),
        ("fanout", "--connections", "100", "--window", "64"),
        targets=(Target(12, GRPCIO), Target(0.8, GRPC_GO)),
    ),
    Case(
        *("fanout-10x50", "fan-out, 10 connections × 50 streams", "deliveries/s"),
        ("fanout", "--connections", "10", "--streams", "50", "--window", "64"),
    ),
    Case(
        *("memory", "memory of an idle stream with its connection", "kB"),
        ("idle", "--connections", "2000"),
        "server_kb_per_stream",
        targets=(Target(28),),
        less_is_better=True,
    ),
    Case(
        *("flood-time", "flood, 1 stream: time", "server's µs a message"),
        ("flood",),
        "server_us_per_message",
        less_is_better=True,
        who="our server",
        longer=3,
    ),
    Case(
        *("flood-metrics", "the same, with metrics: time", "server's µs a message"),
        ("flood",),
        "server_us_per_message",
        targets=(Target(1.03, BESIDE),),
        less_is_better=True,
        who="our server",
        server=("--metrics-port", "{metrics}"),
        beside="flood-time",
        longer=3,
    ),
    Case(*("flood-tls", "flood, 1 stream, TLS", "msg/s"), ("flood",), tls=True),
    Case(
        *("pingpong-tls", "ping-pong, 1 connection, TLS: p50", "µs"),
        ("pingpong",),
        "p50_us",
        less_is_better=True,
        tls=True,
    ),
    Case(
        *("client-flood", "client: flood, 1 stream", "msg/s"),
        ("flood",),
        targets=(Target(10, GRPCIO),),
        who="clients",
    ),
    Case(
        *("client-pingpong", "client: ping-pong: p50", "µs"),
        ("pingpong",),
        "p50_us",
        less_is_better=True,
        who="clients",
    ),
)
