"""Attacks on the beginning of a connection."""

from __future__ import annotations

from ..wire.raw import GREETING
from .attacker import Attacker, call, message
from .table import Form, attack

TLS_HELLO = bytes.fromhex("1603010200010001fc0303") + bytes(502)


@attack("closed", takes_time=True, greeting=b"")
async def nothing_said(peer: Attacker, form: Form) -> str:
    return await peer.end()


@attack("closed", takes_time=True, greeting=b"")
async def slow_preface(peer: Attacker, form: Form) -> str:
    await peer.drip(GREETING[:24] * 1000, form.drip)
    return await peer.end()


@attack("closed", takes_time=True, greeting=GREETING[:24])
async def preface_without_settings(peer: Attacker, form: Form) -> str:
    return await peer.end()


@attack(
    "GOAWAY NO_ERROR no_calls", takes_time=True, greeting=GREETING[:24] + b"\0\x40\0\4\0\0\0\0\0"
)
async def slow_settings(peer: Attacker, form: Form) -> str:
    await peer.drip(bytes(16384), form.drip)
    return await peer.end()


@attack("GOAWAY PROTOCOL_ERROR", greeting=b"")
async def another_protocol(peer: Attacker, form: Form) -> str:
    await peer.send(b"GET / HTTP/1.1\r\nHost: attacked.example\r\n\r\n")
    return (await peer.end())[:21]


@attack("GOAWAY PROTOCOL_ERROR", greeting=b"")
async def tls_to_a_port_without_it(peer: Attacker, form: Form) -> str:
    await peer.send(TLS_HELLO)
    return (await peer.end())[:21]


@attack("GOAWAY NO_ERROR no_calls", takes_time=True)
async def greeting_and_no_call(peer: Attacker, form: Form) -> str:
    peer.answers_pings = True
    return await peer.end()


@attack("closed", takes_time=True)
async def half_open(peer: Attacker, form: Form) -> str:
    """A call, and then silence, also to a PING."""
    await peer.send(call(1), message(1))
    return await peer.end()
