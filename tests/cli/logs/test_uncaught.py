"""Logging of errors that no code has handled."""

import asyncio
import gc
import logging
import sys
import threading
from collections.abc import Iterator

import pytest

from chatify_stream.cli.logs.setup import log_uncaught_errors


@pytest.fixture(autouse=True)
def hooks() -> Iterator[None]:
    """The interpreter's hooks are as they were when the test ends."""
    before = sys.excepthook, threading.excepthook, sys.unraisablehook
    yield
    sys.excepthook, threading.excepthook, sys.unraisablehook = before


async def test_a_task_that_nobody_awaits(caplog: pytest.LogCaptureFixture) -> None:
    """The error of a task is one record, without the text of the future."""
    log_uncaught_errors(asyncio.get_running_loop())

    async def fail() -> None:
        raise ValueError("boom")

    task = asyncio.ensure_future(fail())
    await asyncio.wait([task])
    del task
    gc.collect()
    (record,) = caplog.records
    assert record.getMessage() == "event loop: Task exception was never retrieved"
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "boom"


async def test_a_callback_of_the_loop(caplog: pytest.LogCaptureFixture) -> None:
    """Its error is a record, and the loop goes on."""
    loop = asyncio.get_running_loop()
    log_uncaught_errors(loop)
    done = asyncio.Event()
    loop.call_soon(lambda: 1 // 0)
    loop.call_soon(done.set)
    await done.wait()
    (record,) = caplog.records
    assert record.getMessage().startswith("event loop: Exception in callback")


async def test_a_thread(caplog: pytest.LogCaptureFixture) -> None:
    """Its error is a record with the name of the thread."""
    log_uncaught_errors(asyncio.get_running_loop())
    thread = threading.Thread(target=lambda: 1 // 0, name="of-the-test")
    thread.start()
    thread.join()
    assert [record.getMessage() for record in caplog.records] == ["thread of-the-test failed"]


async def test_a_finalizer(caplog: pytest.LogCaptureFixture) -> None:
    """An error that Python cannot raise is a record."""
    log_uncaught_errors(asyncio.get_running_loop())

    class Failing:
        def __del__(self) -> None:
            raise ValueError("boom")

    Failing()
    gc.collect()
    (record,) = caplog.records
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "boom"


async def test_the_end_of_the_program(caplog: pytest.LogCaptureFixture) -> None:
    """The error that ends the program is a record."""
    log_uncaught_errors(asyncio.get_running_loop())
    error = ValueError("boom")
    sys.excepthook(ValueError, error, None)
    (record,) = caplog.records
    assert record.levelno == logging.CRITICAL
    assert record.exc_info == (ValueError, error, None)
