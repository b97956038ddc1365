"""The addresses of a channel: which are tried when, and which connection takes a call.

Nothing runs by itself. A call that finds no connection, or one too few, has those attempts made
that may be; they serve all calls that wait. A call that waits for ready has them made again, as
they fall due, until one succeeds. So an idle channel has no task and no timer.

No path leads from a connection to the channel, so that one that was forgotten can be told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from operator import attrgetter
from typing import TypeVar

from ...errors import CallError, ClosedError
from ..connection.registry import LAST_WORDS, Connections
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
"""Which attempts may begin."""

_asked_for: Allowed = attrgetter("may_be_asked_for")
_due: Allowed = attrgetter("is_due")


def _not_failed(attempts: Attempts) -> bool:
    return attempts.failure is None


class Pool:
    """`names` are what to connect to. A look-up may take as long as the dialer's attempts."""

    def __init__(
        self,
        names: Sequence[ResolvedTarget],
        balancer: Balancer,
        dialer: Dialer,
        new_attempts: Callable[[], Attempts],
    ) -> None:
        self._names = names
        self._balancer = balancer
        self._dialer = dialer
        self._new_attempts = new_attempts
        self.connections = Connections()
        self.is_closed = False
        self._calls = WaitQueue()
        self._watchers = WaitQueue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._subchannels: dict[object, Subchannel] = {}
        """By location, in the order in which they are tried."""
        self._update()

    @property
    def state(self) -> ChannelState:
        if self.is_closed:
            return ChannelState.SHUTDOWN
        return state_of_all(part.state for part in self._parts())

    async def state_changed(self, state: ChannelState) -> ChannelState:
        """Waits until the state is another than this; returns it."""
        while self.state is state:
            await self._watchers.wait(self._watchers.new_ticket())
        return self.state

    async def ready(self, *, wait_for_ready: bool) -> None:
        """Waits until there is a connection. Raises as `connection` does."""
        await self._until(lambda: self._is_ready, wait_for_ready)

    async def connection(self, *, wait_for_ready: bool) -> ClientProtocol:
        """Waits for a connection that takes a call now.

        Raises why there is none as soon as no attempt is left that is worth waiting for; with
        `wait_for_ready` it has them made again instead. `ClosedError` when the pool is closed.
        """
        connection = await self._until(self._pick, wait_for_ready)
        if self._calls:
            # Should this call not come to use its place, the next in line may.
            asyncio.get_running_loop().call_soon(self.capacity_changed)
        return connection

    async def _until(self, look: Callable[[], T | None], wait_for_ready: bool) -> T:
        self._raise_if_closed()
        self._begin(_due if self._is_ready else _asked_for)
        number = self._calls.new_ticket()
        while not (found := look()):
            if not (wait_for_ready or self._is_hopeful or self._is_ready):
                raise self._unreachable()
            await self._calls.wait(number, self._next_due() if wait_for_ready else None)
            self._raise_if_closed()
            self._begin(_due if wait_for_ready else _not_failed)
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
    def _is_hopeful(self) -> bool:
        return any(part.is_under_way and part.attempts.is_hopeful for part in self._parts())

    @property
    def _is_looking_up(self) -> bool:
        return any(name.is_under_way and name.attempts.is_hopeful for name in self._names)

    def _next_due(self) -> float | None:
        """Seconds until an attempt may begin; None when that depends on something else."""
        if self._is_ready or self._is_looking_up:
            return None
        waits = [part.attempts.remaining for part in self._parts() if not part.is_under_way]
        return min(waits, default=None)

    def _parts(self) -> list[ResolvedTarget | Subchannel]:
        """What there is to be done before there is a connection, or has been done."""
        names = [name for name in self._names if name.is_under_way or not name.endpoints]
        return [*names, *self._subchannels.values()]

    @property
    def failure_message(self) -> str | None:
        """Why there is no connection, when an attempt has failed."""
        if self._is_ready or all(part.attempts.failure is None for part in self._parts()):
            return None
        return self._unreachable().message

    def _unreachable(self) -> CallError:
        failures = {}
        for name in self._names:
            found = [self._subchannels.get(endpoint.location) for endpoint in name.endpoints]
            failures[str(name)] = [
                (str(s.endpoint), s.failure) for s in found if s is not None
            ] or [(str(name), name.attempts.failure or PENDING)]
        return unreachable(failures)

    def _begin(self, allowed: Allowed) -> None:
        """Has those attempts begun that are wanted and allowed.

        Names are looked up first, all of them, because they may stand for other addresses by now.
        A name whose look-up was slow to fail does not hold up the rest.
        """
        if self._is_looking_up:
            return  # what they stand for is tried then
        wanted = [each for each in self._balancer.wanted(self._parts()) if allowed(each.attempts)]
        if not wanted:
            return
        names = [
            name
            for name in self._names
            if name.is_looked_up and not name.is_under_way and allowed(name.attempts)
        ]
        hopeful = [name for name in names if name.attempts.is_hopeful]
        slow = [name for name in names if not name.attempts.is_hopeful]
        for group in (hopeful, slow):
            if group:
                for name in group:
                    name.is_under_way = True
                self._spawn(self._look_up(group, allowed))
        if not hopeful:
            self._race([each for each in wanted if isinstance(each, Subchannel)])
        self._changed()

    async def _look_up(self, names: Sequence[ResolvedTarget], allowed: Allowed) -> None:
        try:
            timeout = self._dialer.timeout
            await asyncio.gather(*(name.look_up(timeout) for name in names))
        finally:
            for name in names:
                name.is_under_way = False
        self._update()
        subchannels = list(self._subchannels.values())
        self._race([s for s in self._balancer.wanted(subchannels) if allowed(s.attempts)])
        self._changed()

    def avoid(self, connection: ClientProtocol) -> None:
        """No new call goes on the connection, and other addresses are tried before its own."""
        subchannel = self._subchannels.get(connection.endpoint.location)
        if subchannel is None or subchannel.protocol is not connection:
            return
        subchannel.avoided_at = asyncio.get_running_loop().time()
        subchannel.stop()
        self._sort()
        self._changed()

    def _update(self) -> None:
        """Makes the subchannels those that the names stand for."""
        earlier, self._subchannels = self._subchannels, {}
        for endpoint in (endpoint for name in self._names for endpoint in name.endpoints):
            location = endpoint.location
            if location in earlier:
                self._subchannels[location] = earlier.pop(location)
            elif location not in self._subchannels:
                self._subchannels[location] = Subchannel(
                    endpoint,
                    self._new_attempts(),
                    dial=self._dial,
                    spawn=self._spawn,
                    on_change=self._changed,
                )
        for gone in earlier.values():
            gone.stop()
        self._sort()

    def _sort(self) -> None:
        """Those that were left come last; otherwise it is the order in which they were given."""
        ordered = sorted(self._subchannels.items(), key=lambda item: item[1].avoided_at)
        self._subchannels = dict(ordered)

    async def _dial(self, subchannel: Subchannel) -> ClientProtocol:
        return await self._dialer.dial(
            subchannel.endpoint,
            connections=self.connections,
            on_capacity=self.capacity_changed,
            on_lost=subchannel.lost,
        )

    def _race(self, entrants: Sequence[Subchannel]) -> None:
        if entrants:
            for each in entrants:
                each.is_scheduled = True
            self._spawn(self._run_race(entrants))

    async def _run_race(self, entrants: Sequence[Subchannel]) -> None:
        """Starts one after the other, each when those before it had their head start or failed."""
        running: set[asyncio.Task[None]] = set()
        for each in entrants:
            if each.is_scheduled:  # another may have won
                running.add(each.start())
                _, running = await asyncio.wait(
                    running,
                    timeout=self._balancer.head_start,
                    return_when=asyncio.FIRST_COMPLETED,
                )

    def _changed(self) -> None:
        if not self.is_closed:
            for each in self._balancer.superfluous(list(self._subchannels.values())):
                each.stop()
        self._calls.wake_all()
        self._watchers.wake_all()

    def capacity_changed(self) -> None:
        """A connection may take more calls than before: those who wait for it look again."""
        if self._calls:
            ready = [p for each in self._subchannels.values() if (p := each.protocol)]
            self._calls.wake(sum(protocol.free_streams for protocol in ready))

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _raise_if_closed(self) -> None:
        if self.is_closed:
            raise ClosedError("the channel is closed")

    def close(self) -> None:
        """Ends all attempts and connections, and what waits for them. May be called again."""
        self.is_closed = True
        for task in self._tasks:
            task.cancel()
        for connection in self.connections:
            connection.processor.close("the channel was closed")
        self._changed()

    async def wait_closed(self) -> None:
        """Waits until nothing is left, but no longer than a second."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LAST_WORDS)
        await self.connections.all_closed(LAST_WORDS)
        self.connections.abort()
