"""Signals: the first stop signal drains a server, the second closes it immediately.

Also reports the state of the server to systemd, and calls functions on other signals.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Protocol

import click

from ...address import Address

log = logging.getLogger(__name__)

# SIGBREAK is Ctrl-Break; Windows has it instead of SIGTERM.
SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)
)


def notify(state: str) -> None:
    """Send a state such as `READY=1` to systemd (sd_notify(3), `Type=notify`).

    Does nothing if the process was not started by systemd in this mode.
    """
    path = os.environ.get("NOTIFY_SOCKET")
    if path:
        if path.startswith("@"):  # in Linux's abstract namespace
            path = "\0" + path[1:]
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(state.encode(), path)


@contextmanager
def on_signal(name: str, callback: Callable[[], None]) -> Iterator[None]:
    """Call `callback` in the running loop for each such signal. Has no effect on Windows."""
    loop = asyncio.get_running_loop()
    with suppress(AttributeError, NotImplementedError):  # Windows has no SIGHUP
        loop.add_signal_handler(getattr(signal, name), callback)
    try:
        yield
    finally:
        with suppress(AttributeError, NotImplementedError):
            loop.remove_signal_handler(getattr(signal, name))


class StopSignals:
    """Receives stop signals while it is entered, on every platform."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._received: asyncio.Queue[signal.Signals] = asyncio.Queue()
        self._previous: dict[signal.Signals, Any] = {}

    async def wait(self) -> signal.Signals:
        """Wait for the next signal, and return it. Signals received earlier count."""
        return await self._received.get()

    def __enter__(self) -> StopSignals:
        for number in SIGNALS:
            try:
                self._loop.add_signal_handler(number, self._received.put_nowait, number)
            except NotImplementedError:  # the event loops of Windows
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exc_info: object) -> None:
        for number in SIGNALS:
            if number in self._previous:
                signal.signal(number, self._previous[number])
            else:
                self._loop.remove_signal_handler(number)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._loop.call_soon_threadsafe(self._received.put_nowait, signal.Signals(number))


class Stoppable(Protocol):
    """A server that listens on one port. Calling `close` ends a `drain` that is waiting."""

    @property
    def port(self) -> int: ...

    async def start(self, host: str, port: int) -> None: ...

    async def drain(self, grace: float) -> None: ...

    async def close(self) -> None: ...


async def serve_until_stopped(
    server: Stoppable,
    host: str,
    port: int,
    grace: float,
    more_lines: Callable[[], list[str]] = list,
    start: Callable[[str, int], Awaitable[None]] | None = None,
) -> None:
    """Start the server, print its address, and stop it on a signal.

    `more_lines` returns lines to print after the address. `start` replaces `server.start`.
    """
    with StopSignals() as signals:
        await (start or server.start)(host, port)
        click.echo("\n".join([f"listening on {Address(host, server.port)}", *more_lines()]))
        notify("READY=1")
        await run_until_stopped(signals, server, grace)


async def run_until_stopped(signals: StopSignals, server: Stoppable, grace: float) -> None:
    """Wait for a signal, then drain the server for `grace` seconds. A second one closes it."""
    number = await signals.wait()
    notify("STOPPING=1")
    log.info(
        "%s received: stopping within %g s; send it again to stop immediately", number.name, grace
    )
    draining = asyncio.ensure_future(server.drain(grace))
    second = asyncio.ensure_future(signals.wait())
    await asyncio.wait({draining, second}, return_when=asyncio.FIRST_COMPLETED)
    second.cancel()
    if not draining.done():
        await server.close()
    await draining
