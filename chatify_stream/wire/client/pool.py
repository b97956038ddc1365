"""The addresses of a channel: when each is tried, and which connection gets a call.

Only calls start attempts, so an idle channel has no task and no timer. A call that finds no
connection, or too few, starts the attempts that are allowed then. Their results serve all waiting
calls. A call that waits for ready repeats them, as they become due, until one succeeds.

States of an address (`ChannelState`): IDLE; CONNECTING as soon as the channel has decided to try
it, also while addresses before it are tried; then READY or TRANSIENT_FAILURE. It becomes IDLE again
when the connection is lost or the server starts to close it, and after `Subchannel.stop`.

No reference leads from a connection to the channel. A channel that was not closed can therefore be
collected, which warns about it.
"""

from __future__ import annotations

import asyncio
import math
from bisect import insort
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from operator import attrgetter
from typing import TypeVar

from ...errors import CallError, ClosedError
from ..connection.registry import Connections
from ..connection.write_buffer import LINGER_TIMEOUT
from .backoff import FAST_FAILURE, Attempts
from .balancer import Balancer
from .dialer import Dialer, DialError
from .protocol import ClientProtocol
from .resolver import Endpoint, ResolvedTarget
from .state import LOST, PENDING, ChannelState, Failure, state_of_all, unreachable

T = TypeVar("T")

Allowed = Callable[[Attempts], bool]
"""Selects the attempts that may start."""

_startable: Allowed = attrgetter("may_start_for_call")
_due: Allowed = attrgetter("is_due")


def _not_failed(attempts: Attempts) -> bool:
    return attempts.failure is None


class WaitQueue:
    """Wakes waiting tasks in the order of their tickets.

    Waking does not promise that the condition holds. A woken task checks it, and waits again with
    the same ticket if necessary, so it keeps its place.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._tickets = count()

    def __len__(self) -> int:
        return len(self._waiting)

    def new_ticket(self) -> int:
        """Return a place after all tickets issued before."""
        return next(self._tickets)

    async def wait(self, ticket: int, timeout: float | None = None) -> None:
        """Wait to be woken, or for `timeout` seconds.

        If a task is cancelled after it was woken, the next task in the queue is woken instead.
        """
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()
        insort(self._waiting, (ticket, woken))
        timer = None if timeout is None else loop.call_later(timeout, _wake, woken)
        try:
            await woken
        except asyncio.CancelledError:
            if not woken.cancelled():
                self.wake()
            raise
        finally:
            if timer is not None:
                timer.cancel()
            with suppress(ValueError):  # already removed by wake
                self._waiting.remove((ticket, woken))

    def wake(self, count: int = 1) -> None:
        while self._waiting and count > 0:
            count -= _wake(self._waiting.pop(0)[1])

    def wake_all(self) -> None:
        self.wake(len(self._waiting))


def _wake(woken: asyncio.Future[None]) -> bool:
    """Wake a task. Return False if it was cancelled or its timeout is over."""
    if woken.done():
        return False
    woken.set_result(None)
    return True


@dataclass(eq=False, repr=False)
class Pool:
    """The connections to the targets. A DNS lookup has the same timeout as an attempt."""

    _targets: Sequence[ResolvedTarget]
    _balancer: Balancer
    _dialer: Dialer
    _new_attempts: Callable[[], Attempts]
    connections: Connections = field(default_factory=Connections)
    is_closed: bool = False
    _waiting_calls: WaitQueue = field(default_factory=WaitQueue)
    _state_waiters: WaitQueue = field(default_factory=WaitQueue)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _subchannels: dict[object, Subchannel] = field(default_factory=dict)
    """By location, in the order of attempts."""

    def __post_init__(self) -> None:
        self._update_subchannels()

    @property
    def state(self) -> ChannelState:
        if self.is_closed:
            return ChannelState.SHUTDOWN
        return state_of_all(part.state for part in self._parts())

    async def state_changed(self, state: ChannelState) -> ChannelState:
        """Wait until the state differs from `state`, and return the new one."""
        while self.state is state:
            await self._state_waiters.wait(self._state_waiters.new_ticket())
        return self.state

    async def ready(self, *, wait_for_ready: bool) -> None:
        """Wait until there is a connection. Raises the errors of `connection`."""
        await self._wait_for(lambda: self._is_ready, wait_for_ready)

    async def connection(self, *, wait_for_ready: bool) -> ClientProtocol:
        """Wait for a connection that accepts a call now.

        Raises the `CallError` with the reasons when no attempt is left to wait for. With
        `wait_for_ready`, attempts are repeated instead. Raises `ClosedError` if the pool is closed.
        """
        connection = await self._wait_for(self._pick, wait_for_ready)
        if self._waiting_calls:
            # If this call does not use the free stream, the next waiting call may.
            asyncio.get_running_loop().call_soon(self.capacity_changed)
        return connection

    async def _wait_for(self, find: Callable[[], T | None], wait_for_ready: bool) -> T:
        ticket = self._waiting_calls.new_ticket()
        allowed = _due if self._is_ready else _startable
        while True:
            if self.is_closed:
                raise ClosedError("the channel is closed; open a new one")
            self._start_attempts(allowed)
            if found := find():
                return found
            if not (wait_for_ready or self._is_worth_waiting or self._is_ready):
                raise self._unreachable()
            await self._waiting_calls.wait(ticket, self._next_due() if wait_for_ready else None)
            allowed = _due if wait_for_ready else _not_failed

    def _usable(self) -> list[ClientProtocol]:
        return [p for each in self._subchannels.values() if (p := each.protocol)]

    def _pick(self) -> ClientProtocol | None:
        free = [protocol for protocol in self._usable() if protocol.free_streams]
        return self._balancer.pick(free) if free else None

    @property
    def _is_ready(self) -> bool:
        return self.state is ChannelState.READY

    @property
    def _is_worth_waiting(self) -> bool:
        return any(part.is_in_progress and part.attempts.fails_fast for part in self._parts())

    @property
    def _is_resolving(self) -> bool:
        return any(target.is_in_progress and target.attempts.fails_fast for target in self._targets)

    def _next_due(self) -> float | None:
        """Return the seconds until an attempt is due, or None if no timer is needed."""
        if self._is_ready or self._is_resolving:
            return None
        waits = [part.attempts.remaining for part in self._parts() if not part.is_in_progress]
        return min(waits, default=None)

    def _parts(self) -> list[ResolvedTarget | Subchannel]:
        """Return all subchannels, after the targets without endpoints or with a lookup running."""
        targets = [each for each in self._targets if each.is_in_progress or not each.endpoints]
        return [*targets, *self._subchannels.values()]

    @property
    def failure_message(self) -> str | None:
        """The reason why no address is connected, or None if no attempt has failed."""
        if self._is_ready or all(part.attempts.failure is None for part in self._parts()):
            return None
        return self._unreachable().message

    def _unreachable(self) -> CallError:
        failures = {}
        for target in self._targets:
            found = [self._subchannels.get(endpoint.location) for endpoint in target.endpoints]
            failures[str(target)] = [
                (str(s.endpoint), s.failure) for s in found if s is not None
            ] or [(str(target), target.attempts.failure or PENDING)]
        return unreachable(failures)

    def _start_attempts(self, allowed: Allowed) -> None:
        """Start the attempts that the balancer wants and that are allowed.

        All host names are resolved first, because their addresses may have changed. A name whose
        last lookup was slow to fail does not delay the others.
        """
        if self._is_resolving:
            return  # attempts start when the lookup is done
        wanted = [each for each in self._balancer.wanted(self._parts()) if allowed(each.attempts)]
        if not wanted:
            return
        targets = [t for t in self._targets if t.needs_lookup and not t.is_in_progress]
        targets = [target for target in targets if allowed(target.attempts)]
        fast = [target for target in targets if target.attempts.fails_fast]
        slow = [target for target in targets if target not in fast]
        for group in (fast, slow):
            if group:
                for target in group:
                    target.is_in_progress = True
                self.spawn(self._resolve(group, allowed))
        if not fast:
            self._race([each for each in wanted if isinstance(each, Subchannel)])
        self.subchannel_changed()

    async def _resolve(self, targets: Sequence[ResolvedTarget], allowed: Allowed) -> None:
        try:
            await asyncio.gather(*(target.resolve(self._dialer.timeout) for target in targets))
        finally:
            for target in targets:
                target.is_in_progress = False
        self._update_subchannels()
        subchannels = list(self._subchannels.values())
        self._race([s for s in self._balancer.wanted(subchannels) if allowed(s.attempts)])
        self.subchannel_changed()

    def avoid(self, connection: ClientProtocol) -> None:
        """Send no new call over the connection, and try its address after all others."""
        subchannel = self._subchannels.get(connection.endpoint.location)
        if subchannel is None or subchannel.protocol is not connection:
            return
        subchannel.avoided_at = asyncio.get_running_loop().time()
        subchannel.stop()
        self._sort()
        self.subchannel_changed()

    def _update_subchannels(self) -> None:
        """Create and stop subchannels to match the endpoints of the targets."""
        earlier, self._subchannels = self._subchannels, {}
        for endpoint in (endpoint for target in self._targets for endpoint in target.endpoints):
            if endpoint.location not in self._subchannels:
                subchannel = earlier.pop(endpoint.location, None)
                self._subchannels[endpoint.location] = subchannel or Subchannel(
                    endpoint, self._new_attempts(), self
                )
        for gone in earlier.values():
            gone.stop()
        self._sort()

    def _sort(self) -> None:
        """Order by configuration, with avoided addresses last."""
        ordered = sorted(self._subchannels.items(), key=lambda item: item[1].avoided_at)
        self._subchannels = dict(ordered)

    async def dial(self, subchannel: Subchannel) -> ClientProtocol:
        return await self._dialer.dial(
            subchannel.endpoint,
            connections=self.connections,
            on_capacity=self.capacity_changed,
            on_lost=subchannel.lost,
        )

    def _race(self, subchannels: Sequence[Subchannel]) -> None:
        if subchannels:
            for each in subchannels:
                each.is_scheduled = True
            self.spawn(self._run_race(subchannels))

    async def _run_race(self, subchannels: Sequence[Subchannel]) -> None:
        """Start one attempt after another, with the delay of the balancer or after a failure."""
        running: set[asyncio.Task[None]] = set()
        for each in subchannels:
            if each.is_scheduled:  # cancelled if another address is connected
                running.add(each.start())
                _, running = await asyncio.wait(
                    running,
                    timeout=self._balancer.attempt_delay,
                    return_when=asyncio.FIRST_COMPLETED,
                )

    def subchannel_changed(self) -> None:
        if not self.is_closed:
            for each in self._balancer.unneeded(list(self._subchannels.values())):
                each.stop()
        self._waiting_calls.wake_all()
        self._state_waiters.wake_all()

    def capacity_changed(self) -> None:
        """Wake waiting calls, because a connection may accept more calls than before."""
        if self._waiting_calls:
            self._waiting_calls.wake(sum(each.free_streams for each in self._usable()))

    def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def close(self) -> None:
        """End all attempts, connections and waiting calls. May be called again."""
        self.is_closed = True
        for task in self._tasks:
            task.cancel()
        for connection in self.connections:
            connection.events.close("the channel was closed")
        self.subchannel_changed()

    async def wait_closed(self) -> None:
        """Wait until all tasks and connections have ended, for at most a second."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LINGER_TIMEOUT)
        await self.connections.all_closed(LINGER_TIMEOUT)
        self.connections.abort()


@dataclass(eq=False, repr=False)
class Subchannel:
    """One address, its attempts and its connection."""

    endpoint: Endpoint
    attempts: Attempts
    _pool: Pool
    is_scheduled: bool = False
    avoided_at: float = -math.inf
    _protocol: ClientProtocol | None = None
    _attempt: asyncio.Task[None] | None = None

    @property
    def state(self) -> ChannelState:
        if self.protocol is not None:
            return ChannelState.READY
        return self.attempts.state(is_in_progress=self.is_in_progress)

    @property
    def protocol(self) -> ClientProtocol | None:
        """The connection, if it accepts calls."""
        protocol = self._protocol
        return protocol if protocol is not None and protocol.is_usable else None

    @property
    def is_in_progress(self) -> bool:
        return self.is_scheduled or self._attempt is not None

    @property
    def failure(self) -> Failure:
        return self.attempts.failure or (PENDING if self.is_in_progress else LOST)

    def start(self) -> asyncio.Task[None]:
        """Start an attempt. The returned task ends with it, and raises only unexpected errors."""
        self.is_scheduled = False
        self._attempt = self._pool.spawn(self._try())
        return self._attempt

    async def _try(self) -> None:
        self.attempts.begin()
        try:
            protocol = await self._pool.dial(self)
        except DialError as error:
            self.attempts.fail(error.failure)
        except Exception as error:
            self.attempts.fail(Failure(f"unexpected error ({error!r})"))
            raise  # for the log
        else:
            previous, self._protocol = self._protocol, protocol
            if previous is not None:  # it has used up its stream ids
                previous.close_when_idle()
        finally:
            self._attempt = None
            self._pool.subchannel_changed()

    def lost(self, protocol: ClientProtocol) -> None:
        """Report that a connection accepts no more calls."""
        if protocol is not self._protocol:
            return
        self._protocol = None
        if protocol.is_unused and self.attempts.age < FAST_FAILURE:
            # Without this, a server that closes right after its SETTINGS would be retried at once.
            self.attempts.fail(LOST)
        else:
            self.attempts.succeed()
        self._pool.subchannel_changed()

    def stop(self) -> None:
        """Cancel the attempt. Close the connection after its last call."""
        self.is_scheduled = False
        if self._attempt is not None:
            self._attempt.cancel()
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            self.attempts.succeed()
            protocol.close_when_idle()
