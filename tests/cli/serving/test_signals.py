"""Stop signals and their effects."""

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from chatify_stream.cli.serving.signals import SIGNALS, StopSignals, run_until_stopped

SECONDS = 30.0


@pytest.fixture(params=["event loop", "no event loop signals"])
async def platform(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Platforms whose event loops handle signals, and Windows, whose do not."""

    def not_implemented(*args: object) -> None:
        raise NotImplementedError

    if request.param != "event loop":
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "add_signal_handler", not_implemented)
        monkeypatch.setattr(loop, "remove_signal_handler", not_implemented)
    return str(request.param)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Signal handlers of the test, which must be restored."""
    previous = {number: signal.signal(number, _handler) for number in SIGNALS}
    yield
    for number, handler in previous.items():
        signal.signal(number, handler)


def _handler(number: int, frame: object) -> None:
    raise AssertionError("a signal went past StopSignals")


def test_signals() -> None:
    """Ctrl-C and SIGTERM stop a server."""
    assert {signal.SIGINT, signal.SIGTERM} <= set(SIGNALS)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_wait(platform: str, number: signal.Signals) -> None:
    """A signal sent while entered is received with its name."""
    with StopSignals() as signals:
        os.kill(os.getpid(), number)
        async with asyncio.timeout(SECONDS):
            assert await signals.wait() is number


async def test_signals_are_kept(platform: str) -> None:
    """Signals are queued until `wait` is called."""
    with StopSignals() as signals:
        async with asyncio.timeout(SECONDS):
            os.kill(os.getpid(), signal.SIGTERM)
            first = asyncio.create_task(signals.wait())
            await asyncio.wait([first])
            os.kill(os.getpid(), signal.SIGINT)
            second = asyncio.create_task(signals.wait())
            await asyncio.wait([second])
    assert (first.result(), second.result()) == (signal.SIGTERM, signal.SIGINT)


async def test_previous_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the event loop handles no signals, the previous handlers are restored."""

    def not_implemented(*args: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(asyncio.get_running_loop(), "add_signal_handler", not_implemented)
    with StopSignals():
        assert all(signal.getsignal(number) is not _handler for number in SIGNALS)
    assert all(signal.getsignal(number) is _handler for number in SIGNALS)


class FakeSignals(StopSignals):
    """Signals that the test sends by hand."""

    def send(self) -> None:
        self._received.put_nowait(signal.SIGTERM)


class FakeServer:
    """A server whose `drain` waits until it is closed; `calls` lists the calls."""

    port = 0

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.draining = asyncio.Event()
        self.closed = asyncio.Event()

    async def start(self, host: str, port: int) -> None:
        raise AssertionError("it runs already")

    async def drain(self, grace: float) -> None:
        self.calls.append(f"drain({grace:g})")
        self.draining.set()
        await self.closed.wait()

    async def close(self) -> None:
        self.calls.append("close()")
        self.closed.set()


@pytest.fixture
async def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
async def signals() -> FakeSignals:
    return FakeSignals()


async def test_nothing_before_a_signal(server: FakeServer, signals: FakeSignals) -> None:
    """Without a signal the server is not closed."""
    running = asyncio.create_task(run_until_stopped(signals, server, 600))
    for _ in range(10):
        await asyncio.sleep(0)
    assert server.calls == []
    assert not running.done()
    running.cancel()


async def test_first_signal(server: FakeServer, signals: FakeSignals) -> None:
    """The first signal drains for as long as the grace, and the end of that is the end."""
    running = asyncio.create_task(run_until_stopped(signals, server, 600))
    signals.send()
    async with asyncio.timeout(SECONDS):
        await server.draining.wait()
        assert not running.done()
        server.closed.set()
        await running
    assert server.calls == ["drain(600)"]


async def test_second_signal(server: FakeServer, signals: FakeSignals) -> None:
    """The second signal closes the server immediately."""
    running = asyncio.create_task(run_until_stopped(signals, server, 600))
    signals.send()
    async with asyncio.timeout(SECONDS):
        await server.draining.wait()
        signals.send()
        await running
    assert server.calls == ["drain(600)", "close()"]


async def test_failing_drain(
    server: FakeServer, signals: FakeSignals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error in draining is raised."""

    async def drain(grace: float) -> None:
        raise OSError("boom")

    monkeypatch.setattr(server, "drain", drain)
    signals.send()
    with pytest.raises(OSError, match="boom"):
        async with asyncio.timeout(SECONDS):
            await run_until_stopped(signals, server, 600)


async def test_log(
    server: FakeServer, signals: FakeSignals, caplog: pytest.LogCaptureFixture
) -> None:
    """The log names the signal and the time there is."""
    caplog.set_level("INFO")
    signals.send()
    server.closed.set()
    async with asyncio.timeout(SECONDS):
        await run_until_stopped(signals, server, 2.5)
    assert caplog.messages == [
        "SIGTERM received: stopping within 2.5 s; send it again to stop immediately"
    ]
