"""Tests of brokers/sqlite/worker.py, with a thread that waits when it is told to."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from chatify_stream.brokers.sqlite import worker as worker_module
from chatify_stream.brokers.sqlite.worker import Job, Worker
from chatify_stream.errors import BrokerError


class Work:
    """Calls each request with the number of its batch. `gate` holds the thread up."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.is_at_work = threading.Event()
        self.log: list[str] = []
        self.batches: list[int] = []
        self.fails_to_begin = self.fails_to_rest = False
        self.calls: list[Callable[[], object]] = []

    def begin(self) -> None:
        self.gate.wait(30)
        if self.fails_to_begin:
            raise BrokerError("work", "no")
        self.log.append("begin")

    def work(self, jobs: Sequence[Job[int]]) -> Sequence[Callable[[], object]]:
        self.is_at_work.set()
        self.gate.wait(30)
        self.batches.append(len(jobs))
        for job in jobs:
            try:
                job.result = job.request(len(self.batches))
            except BrokerError as error:
                job.error = error
        return self.calls

    def rest(self) -> float:
        self.log.append("rest")
        if self.fails_to_rest:
            raise KeyError("rest")
        return 60.0

    def end(self) -> None:
        self.log.append("end")


@asynccontextmanager
async def started(work: Work, largest_batch: int = 100) -> AsyncIterator[Worker[int]]:
    worker = Worker("test", "work", work, largest_batch)
    try:
        await worker.start()
        yield worker
    finally:
        work.gate.set()
        await worker.stop()


async def test_results() -> None:
    """Each request is answered with what it returns, in the thread."""
    async with started(Work()) as worker:
        assert await worker.ask(lambda _: threading.current_thread().name) == "test"
        assert threading.current_thread().name != "test"


async def test_errors() -> None:
    """An error that the workload has set is raised to who asked, and nobody else."""

    def fail(_: int) -> None:
        raise BrokerError("work", "no")

    async with started(Work()) as worker:
        results = await asyncio.gather(
            worker.ask(str), worker.ask(fail), worker.ask(str), return_exceptions=True
        )
        assert [type(result) for result in results] == [str, BrokerError, str]


async def test_faults(caplog: pytest.LogCaptureFixture) -> None:
    """An error that nobody has thought of is logged; the batch hears of it, and it goes on."""
    async with started(Work()) as worker:
        with pytest.raises(BrokerError, match="internal error: ZeroDivisionError"):
            await worker.ask(lambda _: 1 // 0)
        assert "ZeroDivisionError" in caplog.text
        assert await worker.ask(lambda _: 1) == 1


async def test_batches() -> None:
    """What is asked for while the thread is busy is one batch, up to its bound, in that order."""
    work = Work()
    async with started(work, 5) as worker:
        work.gate.clear()
        order: list[int] = []
        first = asyncio.ensure_future(worker.ask(lambda _: order.append(0)))
        await asyncio.sleep(0)
        await asyncio.to_thread(work.is_at_work.wait, 30)
        others = [worker.ask(lambda _, n=n: order.append(n)) for n in range(1, 8)]
        heavy = [worker.ask(lambda _: order.append(8), 100), worker.ask(lambda _: order.append(9))]
        waiting = asyncio.gather(*others, *heavy)
        await asyncio.sleep(0)
        work.gate.set()
        await asyncio.gather(first, waiting)
        assert order == list(range(10))
        assert work.batches == [1, 5, 3, 1]


async def test_what_is_called_before_the_answers() -> None:
    """What the workload wants to be called is called in the loop, before anything is answered."""
    work, told = Work(), []
    loop_thread = threading.get_ident()
    async with started(work) as worker:
        work.calls = [lambda: told.append(threading.get_ident() == loop_thread)]
        asked = asyncio.ensure_future(worker.ask(lambda _: None))
        asked.add_done_callback(lambda _: told.append("answered"))
        await asked
        await asyncio.sleep(0)
        assert told == [True, "answered"]


async def test_a_call_that_fails() -> None:
    """When such a call raises, the answers come all the same."""
    work = Work()
    failures = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: failures.append(context["exception"]))
    async with started(work) as worker:
        work.calls = [lambda: 1 // 0]
        assert await worker.ask(lambda _: 5) == 5
    assert [type(failure) for failure in failures] == [ZeroDivisionError]


async def test_cancelled() -> None:
    """Who gives up waiting disturbs nobody; the work is done."""
    work = Work()
    done = []
    async with started(work) as worker:
        work.gate.clear()
        asked = [asyncio.ensure_future(worker.ask(lambda _, n=n: done.append(n))) for n in range(3)]
        await asyncio.sleep(0)
        asked[1].cancel()
        work.gate.set()
        await asyncio.wait(asked)
        assert [each.cancelled() for each in asked] == [False, True, False]
        await worker.ask(lambda _: None)
        assert done == [0, 1, 2]


class TestTime:
    async def test_no_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nobody waits longer than allowed, and those who come later wait for themselves."""
        monkeypatch.setattr(worker_module, "ANSWER_TIMEOUT", 0.02)
        work = Work()
        async with started(work) as worker:
            work.gate.clear()
            for _ in range(2):
                with pytest.raises(BrokerError, match=r"did not respond within 0\.02 seconds"):
                    await worker.ask(lambda _: 1)
            monkeypatch.setattr(worker_module, "ANSWER_TIMEOUT", 30)
            asked = asyncio.ensure_future(worker.ask(lambda _: 2))
            await asyncio.sleep(0)
            work.gate.set()
            assert await asked == 2
            assert sum(work.batches) == 3

    async def test_stop_while_there_is_no_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Stopping does not wait for ever either, and nor do those who wait."""
        monkeypatch.setattr(worker_module, "ANSWER_TIMEOUT", 30)
        work = Work()
        async with started(work) as worker:
            work.gate.clear()
            asked = asyncio.ensure_future(worker.ask(lambda _: 1))
            await asyncio.sleep(0)
            monkeypatch.setattr(worker_module, "ANSWER_TIMEOUT", 0.02)
            await worker.stop()
            with pytest.raises(BrokerError, match="did not respond"):
                await asked

    async def test_too_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What waits is bounded; what is above it is refused at once."""
        monkeypatch.setattr(worker_module, "MAX_QUEUE", 3)
        work = Work()
        async with started(work) as worker:
            work.gate.clear()
            asked = [asyncio.ensure_future(worker.ask(lambda _: 1)) for _ in range(3)]
            await asyncio.sleep(0)
            with pytest.raises(BrokerError, match="3 operations are waiting for the disk"):
                await worker.ask(lambda _: 1)
            work.gate.set()
            assert await asyncio.gather(*asked) == [1, 1, 1]
            assert await worker.ask(lambda _: 1) == 1

    async def test_one_after_the_other(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who has asked later waits on while those before give up."""
        monkeypatch.setattr(worker_module, "ANSWER_TIMEOUT", 0.02)
        work = Work()
        async with started(work) as worker:
            work.gate.clear()
            early = asyncio.ensure_future(worker.ask(lambda _: 1))
            await asyncio.sleep(0)
            monkeypatch.setattr(worker_module, "ANSWER_TIMEOUT", 30)
            late = asyncio.ensure_future(worker.ask(lambda _: 2))
            await asyncio.wait([early])
            assert isinstance(early.exception(), BrokerError)
            assert not late.done()
            work.gate.set()
            assert await late == 2


class TestLife:
    async def test_order(self) -> None:
        """It begins, rests after each batch, and ends, in one thread."""
        work = Work()
        async with started(work) as worker:
            await worker.ask(lambda _: work.log.append("work"))
        assert work.log[0] == "begin"
        assert work.log[-1] == "end"
        assert work.log[work.log.index("work") + 1] == "rest"

    async def test_what_was_asked_before_the_end(self) -> None:
        """It is done and answered; what comes later is refused."""
        work = Work()
        async with started(work, 2) as worker:
            work.gate.clear()
            asked = [asyncio.ensure_future(worker.ask(lambda _, n=n: n)) for n in range(9)]
            await asyncio.sleep(0)
            stopping = [asyncio.ensure_future(worker.stop()) for _ in range(2)]
            await asyncio.sleep(0)
            with pytest.raises(BrokerError, match="not open"):
                await worker.ask(lambda _: 1)
            work.gate.set()
            assert await asyncio.gather(*asked) == list(range(9))
            await asyncio.gather(*stopping)
        assert work.log.count("end") == 1
        assert "test" not in [thread.name for thread in threading.enumerate()]

    async def test_it_does_not_begin(self) -> None:
        """Who starts it hears why it cannot begin, and there is no thread then."""
        work = Work()
        work.fails_to_begin = True
        worker = Worker("test", "work", work, 100)
        with pytest.raises(BrokerError, match="no"):
            await worker.start()
        with pytest.raises(BrokerError, match="not open"):
            await worker.ask(lambda _: 1)
        await worker.stop()
        assert "end" not in work.log
        assert "test" not in [thread.name for thread in threading.enumerate()]

    async def test_start_is_given_up(self) -> None:
        """Who gives up starting it stops it, once it has begun or not."""
        for fails in (False, True):
            work = Work()
            work.fails_to_begin = fails
            work.gate.clear()
            worker = Worker("test", "work", work, 100)
            starting = asyncio.ensure_future(worker.start())
            await asyncio.sleep(0)
            starting.cancel()
            await asyncio.wait([starting])
            work.gate.set()
            await worker.stop()
            assert "test" not in [thread.name for thread in threading.enumerate()]

    async def test_fault_at_rest(self, caplog: pytest.LogCaptureFixture) -> None:
        """An error in its rest is logged, and it goes on."""
        work = Work()
        work.fails_to_rest = True
        async with started(work) as worker:
            for _ in range(3):
                assert await worker.ask(lambda _: 1) == 1
        assert "KeyError: 'rest'" in caplog.text

    def test_a_loop_that_is_gone(self) -> None:
        """Nobody is told once the loop was closed, and the thread does not fail over it."""
        work = Work()
        worker = Worker("test", "work", work, 100)
        loop = asyncio.new_event_loop()
        loop.run_until_complete(worker.start())
        work.gate.clear()
        asked = loop.create_task(worker.ask(lambda _: 1))
        loop.run_until_complete(asyncio.sleep(0))
        asked.cancel()
        loop.run_until_complete(asyncio.wait([asked]))
        loop.close()
        worker._queue.put(None)
        work.gate.set()
        assert worker._thread is not None
        worker._thread.join(30)
        assert not worker._thread.is_alive()
        assert work.batches == [1]
