"""One address of a channel: its connection, or the attempts to make it.

States (`ChannelState`): IDLE, then CONNECTING from when the channel has decided to try the address,
also while others are tried before it; then READY or TRANSIENT_FAILURE. A connection that is lost,
or that the server wants to end, makes it IDLE again; so does `stop`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine

from .backoff import QUICK, Attempts
from .dialer import DialError
from .protocol import ClientProtocol
from .resolver import Endpoint
from .state import LOST, PENDING, ChannelState, Failure

__all__ = ["Dial", "Spawn", "Subchannel"]

Dial = Callable[["Subchannel"], Awaitable[ClientProtocol]]
Spawn = Callable[[Coroutine[None, None, None]], "asyncio.Task[None]"]


class Subchannel:
    """`dial` makes its connection, in a task that `spawn` makes and keeps.

    Calls `on_change` whenever its state may have changed.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        attempts: Attempts,
        *,
        dial: Dial,
        spawn: Spawn,
        on_change: Callable[[], None],
    ) -> None:
        self.endpoint = endpoint
        self.attempts = attempts
        self._dial = dial
        self._spawn = spawn
        self._on_change = on_change
        self._protocol: ClientProtocol | None = None
        self._attempt: asyncio.Task[None] | None = None
        self.is_scheduled = False
        """It is about to be tried."""
        self.avoided_at = -math.inf
        """When calls were last kept away from it, by the clock of whoever did so."""

    @property
    def state(self) -> ChannelState:
        if self.protocol is not None:
            return ChannelState.READY
        if self.is_under_way:
            return ChannelState.CONNECTING
        if self.attempts.failure is not None:
            return ChannelState.TRANSIENT_FAILURE
        return ChannelState.IDLE

    @property
    def protocol(self) -> ClientProtocol | None:
        """The connection, when it takes calls."""
        protocol = self._protocol
        return protocol if protocol is not None and protocol.is_usable else None

    @property
    def is_under_way(self) -> bool:
        return self.is_scheduled or self._attempt is not None

    @property
    def failure(self) -> Failure:
        """Why there is no connection."""
        return self.attempts.failure or (PENDING if self.is_under_way else LOST)

    def start(self) -> asyncio.Task[None]:
        """Begins an attempt; the task ends with it, and raises nothing."""
        self.is_scheduled = False
        self._attempt = self._spawn(self._try())
        return self._attempt

    async def _try(self) -> None:
        self.attempts.begin()
        try:
            protocol = await self._dial(self)
        except DialError as error:
            self.attempts.fail(error.failure)
        except Exception as error:
            self.attempts.fail(Failure(f"the attempt broke ({error!r})"))
            raise  # for the log
        else:
            earlier, self._protocol = self._protocol, protocol
            if earlier is not None:  # it has no number left for a new stream
                earlier.close_when_idle()
        finally:
            self._attempt = None
            self._on_change()

    def lost(self, protocol: ClientProtocol) -> None:
        """The connection takes no more calls."""
        if protocol is not self._protocol:
            return
        self._protocol = None
        if protocol.is_unused and self.attempts.age < QUICK:
            # A server that greets and goes at once would be asked again without a pause.
            self.attempts.fail(LOST)
        else:
            self.attempts.succeed()
        self._on_change()

    def stop(self) -> None:
        """Gives up an attempt, and the connection once its last call has ended."""
        self.is_scheduled = False
        if self._attempt is not None:
            self._attempt.cancel()
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            self.attempts.succeed()
            protocol.close_when_idle()
