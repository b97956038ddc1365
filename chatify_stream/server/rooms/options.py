"""The options of a server's rooms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from ...brokers import Broker, make_broker
from ...errors import UsageError
from ...rooms import Retention, RetentionRule
from .hooks import JoinHook, LeaveHook, MessageHook


@dataclass(frozen=True)
class RoomOptions:
    """Options for rooms. Sizes are in bytes, times in seconds.

    Raises `UsageError` for a value that is not allowed. The text names the option.
    """

    broker: str | Broker = "memory://"
    """Stores the messages: a URL such as `sqlite:///chat.db`, or a broker that is not open yet.

    A broker object has its own retention; `retention` and `retention_rules` do not apply to it.
    """
    retention: Retention = field(default_factory=Retention)
    """How many messages a room keeps, and for how long."""
    retention_rules: Sequence[RetentionRule] = ()
    """Retention for rooms by name. The first rule that matches a room applies to it."""
    max_message_size: int = 64 * 1024
    """Maximum size of a message for a room. A larger one ends its session RESOURCE_EXHAUSTED."""
    max_outbox: int = 1024 * 1024
    """Maximum size of the messages buffered for one session.

    A session that reads too slowly and exceeds it ends RESOURCE_EXHAUSTED and can resume.
    """
    on_join: JoinHook | None = None
    on_message: MessageHook | None = None
    on_leave: LeaveHook | None = None
    hook_timeout: float = 5.0
    """Time that one call of a hook may take."""
    service: bool = False
    """Serve `chatify.rooms.v1.Rooms`, for backends and operators.

    Its callers can read and write every room and disconnect every user. With authentication it is
    open to administrators only, without authentication to anyone who can reach it.
    """
    service_port: int | None = None
    """Serve it on this port instead of the server's own; 0 picks a free port."""
    service_host: str = "127.0.0.1"
    """Address on which `service_port` listens."""

    def __post_init__(self) -> None:
        for name in ("max_message_size", "max_outbox"):
            value = getattr(self, name)
            if type(value) is not int or not 0 < value < 2**31:
                raise UsageError(
                    f"{name}: {value!r} is not a size; pass a number of bytes from 1 to 2147483647"
                )
        timeout: object = self.hook_timeout
        if not isinstance(timeout, int | float) or not 0 < timeout < math.inf:
            raise UsageError(
                f"hook_timeout: {timeout!r} is not a time; pass a positive number of seconds"
            )
        for name in ("on_join", "on_message", "on_leave"):
            hook = getattr(self, name)
            if hook is not None and not callable(hook):
                raise UsageError(f"{name}: {hook!r} is not callable; pass an async function")

    def make_broker(self) -> Broker:
        """Return the broker, which is not open yet. Raises `UsageError` for an invalid URL."""
        if isinstance(self.broker, str):
            return make_broker(self.broker, self.retention, self.retention_rules)
        return self.broker
