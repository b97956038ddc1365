"""Attacks on the limits of use, each from an address of its own."""

from __future__ import annotations

from .attacker import WIDE, Attacker, call, request
from .sites import BEHIND_A_PROXY
from .table import Form, attack

MORE = 60
"""Than any of the limits on what is counted one by one."""


@attack("RESOURCE_EXHAUSTED", together=20, site=BEHIND_A_PROXY, address="127.0.0.4")
async def more_messages_than_an_address_may(peer: Attacker, form: Form) -> str:
    await peer.send(WIDE, call(1))
    while 1 not in peer.ends and not peer.is_lost:
        await peer.flood_within_windows(1, request(b"Ada") * 100, 1)
    seen = await peer.answer(1)
    assert "messages of an address" in peer.text(1), peer.text(1)
    assert "retry-after-ms" in peer.headers[1][-1]
    return seen


@attack("RESOURCE_EXHAUSTED", together=20, site=BEHIND_A_PROXY, address="127.0.0.5")
async def more_sessions_than_an_address_may(peer: Attacker, form: Form) -> str:
    await peer.send(*(call(stream_id) for stream_id in range(1, 2 * MORE, 2)))
    await peer.until(lambda: len(peer.ends) >= MORE - 50)
    assert all("open sessions of an address" in peer.text(stream_id) for stream_id in peer.ends)
    return ", ".join(set(peer.ends.values()))


@attack("RESOURCE_EXHAUSTED", together=20, site=BEHIND_A_PROXY, address="127.0.0.6")
async def more_joins_than_an_address_may(peer: Attacker, form: Form) -> str:
    stream_id = -1
    while peer.ends.get(stream_id, "OK") == "OK":
        stream_id += 2
        await peer.send(call(stream_id, ("chat-room", f"joined-{stream_id}"), ends=True))
        await peer.answer(stream_id)
    assert "rooms that an address joins" in peer.text(stream_id), peer.text(stream_id)
    return peer.ends[stream_id]


@attack("closed", together=20, site=BEHIND_A_PROXY, address="127.0.0.7")
async def more_connections_than_an_address_may(peer: Attacker, form: Form) -> str:
    """One that is too many hears nothing."""
    while True:
        async with peer.another() as another:
            await another.until(lambda another=another: another.is_lost or another.frames > 0)  # type: ignore[misc]
            if another.is_lost:
                return await another.end()
