"""Which addresses count as one client: an IPv4 address by itself, IPv6 by the block of 64 bits.

A subscriber of IPv6 is given at least such a block, and so as many addresses as he likes.
"""

from __future__ import annotations

import ipaddress

__all__ = ["address_block"]


def address_block(address: str) -> str:
    """The block as text: `192.0.2.7`, `2001:db8:1:2::/64`; text that is no address as it is."""
    if ":" not in address:
        return address
    try:
        ip = ipaddress.IPv6Address(address.partition("%")[0])  # behind it is a network interface
    except ValueError:
        return address
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(ip), 64), strict=False))
