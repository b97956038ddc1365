"""Free ports, for tests that have to know a port before a server takes it."""

from __future__ import annotations

import socket


def free_port() -> int:
    """A TCP port that is free on loopback now."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port
