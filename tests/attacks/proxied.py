"""Attacks by headers of the PROXY protocol: by a proxy that is believed, and by others."""

from __future__ import annotations

import struct

from ..wire.raw import GREETING
from .attacker import Attacker, call, message
from .sites import BEHIND_A_PROXY, PROXY
from .table import Form, attack

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LINE = b"PROXY TCP4 192.0.2.1 192.0.2.2 1111 2222\r\n"
IPV4 = bytes([192, 0, 2, 1, 192, 0, 2, 2]) + struct.pack("!HH", 1111, 2222)
MOST = 4096
TCP4, UNIX = 0x11, 0x31


def binary(
    body: bytes, *, command: int = 0x21, family: int = TCP4, size: int | None = None
) -> bytes:
    """A header of version 2, whatever it says of itself."""
    stated = len(body) if size is None else size
    return SIGNATURE + struct.pack("!BBH", command, family, stated) + body


def addition(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


WRONG = (
    GREETING,
    b"\0" * 100,
    b"GET / HTTP/1.1\r\n\r\n",
    SIGNATURE[:-1] + b"\0" + bytes(100),
    b"PROXY " + b"x" * 10_000,
    b"PROXY TCP4 " + b"\r\n" * 1000,
    b"PROXY TCP4\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 1111\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 1111 65536\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 -1 2222\r\n",
    b"PROXY TCP4 192.0.2.01 192.0.2.2 1111 2222\r\n",
    b"PROXY TCP4 ::1 ::1 1111 2222\r\n",
    b"PROXY TCP6 fe80::1%lo ::1 1111 2222\r\n",
    b"PROXY TCP6 192.0.2.1 192.0.2.2 1111 2222\r\n",
    b"PROXY UDP4 192.0.2.1 192.0.2.2 1111 2222\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 1111 2222 \x1b[2J\r\n",
    b"PROXY TCP4 \xff\xfe 192.0.2.2 1111 2222\r\n",
    "PROXY TCP4 \u0661.0.2.1 192.0.2.2 1111 2222\r\n".encode(),
    LINE.replace(b"\r\n", b"\n") + GREETING * 10,
    binary(IPV4, command=0x11),
    binary(IPV4, command=0x2F),
    binary(IPV4, family=0x12),
    binary(IPV4, family=0xFF),
    binary(IPV4[:-1]),
    binary(b""),
    binary(IPV4, family=UNIX),
    binary(IPV4, size=0xFFFF),
    binary(IPV4 + addition(4, bytes(MOST))),
    binary(IPV4 + b"\4"),
    binary(IPV4 + b"\4\xff\xff"),
    binary(IPV4 + addition(3, b"")),
    binary(IPV4 + addition(3, bytes(4))),
)


async def is_served(peer: Attacker, stream_id: int = 1) -> str:
    await peer.send(GREETING, call(stream_id), message(stream_id, ends=True))
    return await peer.answer(stream_id)


@attack("closed", together=20, site=BEHIND_A_PROXY, address=PROXY, greeting=b"")
async def proxy_headers_that_are_wrong(peer: Attacker, form: Form) -> str:
    """Of another protocol, too long, cut short, and with fields that are none."""
    for wrong in WRONG:
        async with peer.another(wrong) as another:
            seen = await another.end()
            assert seen == "closed", f"{wrong[:100]!r}: {seen}"
    await peer.send(WRONG[-1])
    return await peer.end()


@attack("closed", site=BEHIND_A_PROXY, address=PROXY, greeting=b"")
async def a_proxy_header_that_never_ends(peer: Attacker, form: Form) -> str:
    await peer.flood(b"PROXY TCP4 " + b" " * 10_000, form.times(1000))
    return await peer.end()


@attack("closed", takes_time=True, site=BEHIND_A_PROXY, address=PROXY, greeting=b"")
async def a_slow_proxy_header(peer: Attacker, form: Form) -> str:
    await peer.drip(binary(IPV4 + addition(4, bytes(MOST - 100))), form.drip)
    return await peer.end()


@attack("closed", takes_time=True, site=BEHIND_A_PROXY, address=PROXY, greeting=b"")
async def a_proxy_that_says_nothing(peer: Attacker, form: Form) -> str:
    return await peer.end()


@attack("closed", takes_time=True, site=BEHIND_A_PROXY, address=PROXY, greeting=LINE)
async def a_proxy_header_and_nothing_more(peer: Attacker, form: Form) -> str:
    return await peer.end()


@attack("OK", together=100, site=BEHIND_A_PROXY, address=PROXY, greeting=b"")
async def a_proxy_header_of_additions(peer: Attacker, form: Form) -> str:
    """As many as there may be, each of nothing."""
    room = MOST - len(binary(IPV4))
    await peer.send(binary(IPV4 + addition(4, b"") * (room // 3)))
    return await is_served(peer)


@attack("OK", together=100, site=BEHIND_A_PROXY, address=PROXY, greeting=b"")
async def a_path_that_moves_the_cursor(peer: Attacker, form: Form) -> str:
    """The client of a Unix socket may have put it anywhere."""
    path = b"/tmp/\x1b[2J\r\n\xff\xe2\x80\xa8".ljust(108, b"\0")
    await peer.send(binary(path + path, family=UNIX))
    return await is_served(peer)


@attack("GOAWAY PROTOCOL_ERROR", together=100, site=BEHIND_A_PROXY, address=PROXY, greeting=b"")
async def a_proxy_header_twice(peer: Attacker, form: Form) -> str:
    """The second one is whose connection it is."""
    async with peer.another(binary(IPV4) + LINE + GREETING) as another:
        seen = (await another.end())[:21]
    await peer.send(LINE, binary(IPV4), GREETING)
    assert (await peer.end())[:21] == seen
    return seen


@attack(
    "GOAWAY PROTOCOL_ERROR",
    site=BEHIND_A_PROXY,
    address="127.0.0.3",
    greeting=b"",
    together=100,
)
async def a_proxy_header_of_anybody(peer: Attacker, form: Form) -> str:
    """Who is no proxy may not say that he is somebody else."""
    await peer.send(LINE, GREETING)
    return (await peer.end())[:21]
