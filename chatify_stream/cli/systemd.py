"""Tells systemd when the server is ready, and when it stops (sd_notify(3), `Type=notify`)."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

__all__ = ["notify"]


def notify(state: str) -> None:
    """Sends a state such as `READY=1`; does nothing where no systemd has asked for it."""
    path = os.environ.get("NOTIFY_SOCKET")
    if path:
        if path.startswith("@"):  # in Linux's abstract namespace
            path = "\0" + path[1:]
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(state.encode(), path)
