"""Attacks on a server with TLS: on TLS itself, and some of the others inside it."""

from __future__ import annotations

import ssl
from dataclasses import replace

from ..wire.raw import GREETING
from . import floods, headers, resets, tokens  # noqa: F401  # they fill the table
from .attacker import Attacker, call, message
from .flow import GZIP, answers_left_in_the_socket
from .minting import bearer
from .sites import TLS
from .table import ATTACKS, Form, attack

RECORD = 16384

for name in (
    "invalid tokens",
    "malformed tokens",
    "ping flood",
    "rapid reset",
    "headers over the limit",
):
    inside = f"{name} inside tls"
    ATTACKS[inside] = replace(ATTACKS[name], name=inside, site=TLS)


def record(kind: int, body: bytes) -> bytes:
    """As TLS 1.2 has it, and TLS 1.3 pretends to."""
    return bytes([kind, 3, 3]) + len(body).to_bytes(2, "big") + body


HANDSHAKE, APPLICATION_DATA = 22, 23


class ByHand:
    """A client's TLS over the connection of an attacker, who may say other things meanwhile."""

    def __init__(self, peer: Attacker) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing)
        self._peer = peer
        peer.read_otherwise = self._incoming.write

    def hello(self) -> bytes:
        """How the handshake begins."""
        assert not self._is_done()
        return self._outgoing.read()

    async def shake_hands(self) -> None:
        while not self._is_done():
            await self._peer.send(self._outgoing.read())
            await self._peer.until(lambda: self._incoming.pending > 0)
        await self._peer.send(self._outgoing.read())

    def sealed(self, data: bytes) -> bytes:
        """In records."""
        self._tls.write(data)
        return self._outgoing.read()

    def _is_done(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True


@attack("closed", takes_time=True, site=TLS, in_the_clear=True, greeting=b"")
async def a_slow_client_hello(peer: Attacker, form: Form) -> str:
    await peer.drip(ByHand(peer).hello(), form.drip)
    return await peer.end()


@attack("closed", takes_time=True, site=TLS, in_the_clear=True, greeting=b"")
async def a_handshake_that_is_not_ended(peer: Attacker, form: Form) -> str:
    """The server has done its part of it, and waits."""
    await peer.send(ByHand(peer).hello())
    return await peer.end()


@attack("closed", site=TLS, in_the_clear=True, greeting=b"")
async def a_client_hello_of_16_megabytes(peer: Attacker, form: Form) -> str:
    await peer.send(record(HANDSHAKE, b"\x01\xff\xff\xff\x03\x03" + bytes(RECORD - 6)))
    await peer.flood(record(HANDSHAKE, bytes(RECORD)), form.times(1000))
    return await peer.end()


@attack("closed", together=100, site=TLS, in_the_clear=True, greeting=b"")
async def garbage_in_the_handshake(peer: Attacker, form: Form) -> str:
    """Records that are empty, of kinds that there are not, and of another protocol inside one."""
    for wrong in (
        record(HANDSHAKE, b"") * 1000,
        record(20, b"\1") * 100_000,
        record(21, b"\1\0") * 1000,
        record(99, b"x"),
        record(HANDSHAKE, b"GET / HTTP/1.1\r\n\r\n"),
        b"\x16\x03\x03\xff\xff" + bytes(70_000),
    ):
        async with peer.another(b"") as another:
            await another.send(ByHand(another).hello()[:100] if wrong[0] == 21 else b"", wrong)
            await another.end()
    peer.transport.abort()
    return await peer.end()


@attack("closed", together=100, site=TLS, in_the_clear=True, greeting=b"")
async def garbage_after_the_handshake(peer: Attacker, form: Form) -> str:
    """A record that nobody has sealed."""
    await ByHand(peer).shake_hands()
    await peer.flood(record(APPLICATION_DATA, bytes(RECORD)), form.times(1000))
    return await peer.end()


@attack("OK", together=100, site=TLS)
async def handshakes_that_are_broken_off(peer: Attacker, form: Form) -> str:
    """Each once the server has done its part, which costs it the most."""
    for _ in range(form.times(50)):
        async with peer.another(b"") as another:
            await another.send(ByHand(another).hello())
            await another.until(lambda another=another: another.bytes > 0)  # type: ignore[misc]
    await peer.send(call(1, bearer()), message(1, ends=True))
    return await peer.answer(1)


@attack("OK", together=100, site=TLS)
async def records_of_one_byte(peer: Attacker, form: Form) -> str:
    for stream_id in range(1, 2 * form.times(100), 2):
        for byte in call(stream_id, bearer()) + message(stream_id, ends=True):
            await peer.send(bytes([byte]))
        seen = await peer.answer(stream_id)
    return seen


@attack(
    "closed",
    takes_time=True,
    together=5,
    site=TLS,
    in_the_clear=True,
    greeting=b"",
)
async def answers_that_are_not_read_inside_tls(peer: Attacker, form: Form) -> str:
    tls = ByHand(peer)
    await tls.shake_hands()
    await peer.send(tls.sealed(GREETING))
    return await answers_left_in_the_socket(peer, form, GZIP, bearer(), sealed=tls.sealed)
