"""Stop signals: the first asks a server to stop, the second to do so at once."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any, Protocol

import click

from ...address import Address

__all__ = ["StopSignals", "notify", "on_termination", "run_until_stopped", "serve_until_stopped"]


def notify(state: str) -> None:
    """Sends a state such as `READY=1`; does nothing where no systemd has asked for it."""
    path = os.environ.get("NOTIFY_SOCKET")
    if path:
        if path.startswith("@"):  # in Linux's abstract namespace
            path = "\0" + path[1:]
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(state.encode(), path)


@contextmanager
def on_termination(leave: Callable[[], None]) -> Iterator[None]:
    """Calls `leave`, in the loop that runs, for each SIGTERM; where there is none, never."""
    loop = asyncio.get_running_loop()
    with suppress(NotImplementedError):  # the event loops of Windows
        loop.add_signal_handler(signal.SIGTERM, leave)
    try:
        yield
    finally:
        with suppress(NotImplementedError):
            loop.remove_signal_handler(signal.SIGTERM)


log = logging.getLogger(__name__)

# SIGBREAK is Ctrl-Break, which Windows has in place of SIGTERM.
SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)
)


class StopSignals:
    """Counts stop signals while it is entered, on any platform."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._received: asyncio.Queue[signal.Signals] = asyncio.Queue()
        self._previous: dict[signal.Signals, Any] = {}

    async def wait(self) -> signal.Signals:
        """The next signal, which may have come already."""
        return await self._received.get()

    def __enter__(self) -> StopSignals:
        for number in SIGNALS:
            try:
                self._loop.add_signal_handler(number, self._received.put_nowait, number)
            except NotImplementedError:  # the event loops of Windows
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number in SIGNALS:
            if number in self._previous:
                signal.signal(number, self._previous[number])
            else:
                self._loop.remove_signal_handler(number)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._loop.call_soon_threadsafe(self._received.put_nowait, signal.Signals(number))


class Stoppable(Protocol):
    """A server that listens on one port; `close` may be called while `drain` waits, and ends it."""

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
    also: Callable[[], list[str]] = list,
    start: Callable[[str, int], Awaitable[None]] | None = None,
) -> None:
    """Starts the server, says on standard output where it listens, and stops it on a signal.

    `also` gives further lines to say then; `start` takes the place of the server's own.
    """
    with StopSignals() as signals:
        await (start or server.start)(host, port)
        click.echo("\n".join([f"listening on {Address(host, server.port)}", *also()]))
        notify("READY=1")
        await run_until_stopped(signals, server, grace)


async def run_until_stopped(signals: StopSignals, server: Stoppable, grace: float) -> None:
    """Waits for a stop signal, then drains the server; a second signal closes it at once."""
    number = await signals.wait()
    notify("STOPPING=1")
    log.info("%s: stopping within %g s; a second signal stops at once", number.name, grace)
    draining = asyncio.ensure_future(server.drain(grace))
    second = asyncio.ensure_future(signals.wait())
    await asyncio.wait({draining, second}, return_when=asyncio.FIRST_COMPLETED)
    second.cancel()
    if not draining.done():
        await server.close()
    await draining
