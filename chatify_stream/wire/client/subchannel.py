"""One address of a channel: its connection, or the attempts to make one.

States (`ChannelState`): IDLE; CONNECTING as soon as the channel has decided to try the address,
also while addresses before it are tried; then READY or TRANSIENT_FAILURE. It becomes IDLE again
when the connection is lost or the server starts to close it, and after `stop`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine
from typing import Protocol

from .backoff import FAST_FAILURE, Attempts
from .dialer import DialError
from .protocol import ClientProtocol
from .resolver import Endpoint
from .state import LOST, PENDING, ChannelState, Failure

__all__ = ["Subchannel", "SubchannelOwner"]


class SubchannelOwner(Protocol):
    """Makes the connections of subchannels."""

    async def dial(self, subchannel: Subchannel) -> ClientProtocol:
        """Return a connection to the endpoint. Raises `DialError`."""

    def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Start a task and keep a reference to it."""

    def subchannel_changed(self) -> None:
        """Called when the state of a subchannel may have changed."""


class Subchannel:
    """One address, its attempts and its connection."""

    def __init__(self, endpoint: Endpoint, attempts: Attempts, owner: SubchannelOwner) -> None:
        self.endpoint = endpoint
        self.attempts = attempts
        self._owner = owner
        self._protocol: ClientProtocol | None = None
        self._attempt: asyncio.Task[None] | None = None
        self.is_scheduled = False
        """An attempt is about to start."""
        self.avoided_at = -math.inf
        """Time of the last `Pool.avoid`."""

    @property
    def state(self) -> ChannelState:
        if self.protocol is not None:
            return ChannelState.READY
        if self.is_in_progress:
            return ChannelState.CONNECTING
        if self.attempts.failure is not None:
            return ChannelState.TRANSIENT_FAILURE
        return ChannelState.IDLE

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
        """The reason why the address is not connected."""
        return self.attempts.failure or (PENDING if self.is_in_progress else LOST)

    def start(self) -> asyncio.Task[None]:
        """Start an attempt. The returned task ends with it, and raises only unexpected errors."""
        self.is_scheduled = False
        self._attempt = self._owner.spawn(self._try())
        return self._attempt

    async def _try(self) -> None:
        self.attempts.begin()
        try:
            protocol = await self._owner.dial(self)
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
            self._owner.subchannel_changed()

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
        self._owner.subchannel_changed()

    def stop(self) -> None:
        """Cancel the attempt. Close the connection after its last call."""
        self.is_scheduled = False
        if self._attempt is not None:
            self._attempt.cancel()
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            self.attempts.succeed()
            protocol.close_when_idle()
