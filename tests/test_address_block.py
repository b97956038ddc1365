"""Tests of wire/address_block.py."""

from __future__ import annotations

import pytest

from chatify_stream.wire import address_block


@pytest.mark.parametrize(
    ("address", "block"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("no:address", "no:address"),
        ("", ""),
    ],
)
def test_blocks(address: str, block: str) -> None:
    """IPv4 counts by itself, IPv6 by its first 64 bits, and what is neither as it is."""
    assert address_block(address) == block
