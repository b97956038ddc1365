"""Free ports, for tests that have to know a port before a server takes it."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack
from pathlib import Path

_GIVEN = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port(*hosts: str) -> int:
    """A TCP port that is free now on each of the `hosts`, loopback unless told.

    It is below those that the system gives to whoever asks for any, so that no other test is given
    it before the server of this one takes it.
    """
    below = int(_GIVEN.read_text().split()[0]) if _GIVEN.exists() else 32768
    for port in random.sample(range(min(10_000, below - 1_000), below), 1_000):
        try:
            with ExitStack() as stack:
                for host in hosts or ("127.0.0.1",):
                    stack.enter_context(socket.create_server((host, port)))
        except OSError:
            continue
        return port
    raise RuntimeError("no free port found")
