"""The addresses of a channel: when each is tried, and which connection gets a call.

Only calls start attempts, so an idle channel has no task and no timer. A call that finds no
connection, or too few, starts the attempts that are allowed then. Their results serve all waiting
calls. A call that waits for ready repeats them, as they become due, until one succeeds.

No reference leads from a connection to the channel. A channel that was not closed can therefore be
collected, which warns about it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from operator import attrgetter
from typing import TypeVar

from ...errors import CallError, ClosedError
from ..connection.registry import LINGER_TIMEOUT, Connections
from .backoff import Attempts
from .balancer import Balancer
from .dialer import Dialer
from .protocol import ClientProtocol
from .resolver import ResolvedTarget
from .state import PENDING, ChannelState, state_of_all, unreachable
from .subchannel import Subchannel
from .wait_queue import WaitQueue

__all__ = ["Pool"]

T = TypeVar("T")

Allowed = Callable[[Attempts], bool]
"""Selects the attempts that may start."""

_startable: Allowed = attrgetter("may_start_for_call")
_due: Allowed = attrgetter("is_due")


def _not_failed(attempts: Attempts) -> bool:
    return attempts.failure is None


class Pool:
    """The connections to `targets`. A DNS lookup has the same timeout as an attempt."""

    def __init__(
        self,
        targets: Sequence[ResolvedTarget],
        balancer: Balancer,
        dialer: Dialer,
        new_attempts: Callable[[], Attempts],
    ) -> None:
        self._targets = targets
        self._balancer = balancer
        self._dialer = dialer
        self._new_attempts = new_attempts
        self.connections = Connections()
        self.is_closed = False
        self._waiting_calls = WaitQueue()
        self._state_waiters = WaitQueue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._subchannels: dict[object, Subchannel] = {}
        """By location, in the order of attempts."""
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
        self._raise_if_closed()
        self._start_attempts(_due if self._is_ready else _startable)
        ticket = self._waiting_calls.new_ticket()
        while not (found := find()):
            if not (wait_for_ready or self._is_worth_waiting or self._is_ready):
                raise self._unreachable()
            await self._waiting_calls.wait(ticket, self._next_due() if wait_for_ready else None)
            self._raise_if_closed()
            self._start_attempts(_due if wait_for_ready else _not_failed)
        return found

    def _pick(self) -> ClientProtocol | None:
        ready = [
            p for each in self._subchannels.values() if (p := each.protocol) and p.free_streams
        ]
        return self._balancer.pick(ready) if ready else None

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
        targets = [
            target
            for target in self._targets
            if target.needs_lookup and not target.is_in_progress and allowed(target.attempts)
        ]
        fast = [target for target in targets if target.attempts.fails_fast]
        slow = [target for target in targets if not target.attempts.fails_fast]
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
            timeout = self._dialer.timeout
            await asyncio.gather(*(target.resolve(timeout) for target in targets))
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
            location = endpoint.location
            if location in earlier:
                self._subchannels[location] = earlier.pop(location)
            elif location not in self._subchannels:
                self._subchannels[location] = Subchannel(endpoint, self._new_attempts(), self)
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
            ready = [p for each in self._subchannels.values() if (p := each.protocol)]
            self._waiting_calls.wake(sum(protocol.free_streams for protocol in ready))

    def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _raise_if_closed(self) -> None:
        if self.is_closed:
            raise ClosedError("the channel is closed; open a new one")

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
