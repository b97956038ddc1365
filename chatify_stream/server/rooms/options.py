"""How a server's rooms are set up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from ...brokers import Broker, make_broker
from ...errors import UsageError
from ...rooms import Retention, RetentionRule
from .hooks import Hooks, JoinHook, LeaveHook, MessageHook

__all__ = ["RoomOptions"]


@dataclass(frozen=True)
class RoomOptions:
    """The options of rooms; sizes in bytes, times in seconds. Raises `UsageError`."""

    broker: str | Broker = "memory://"
    """Where the logs are: a URL, such as `sqlite:///chat.db`, or a broker that is not opened yet.

    A broker that is passed has its own retention.
    """

    retention: Retention = field(default_factory=Retention)
    """How much of its log a room keeps."""

    retention_rules: Sequence[RetentionRule] = ()
    """Other retentions for rooms of certain names; the first that matches counts."""

    max_message_size: int = 64 * 1024
    """Of a message that is sent to a room; past it the session ends RESOURCE_EXHAUSTED."""

    max_outbox: int = 1024 * 1024
    """Of what waits for one session; past it the session ends RESOURCE_EXHAUSTED."""

    on_join: JoinHook | None = None
    on_message: MessageHook | None = None
    on_leave: LeaveHook | None = None

    hook_timeout: float = 5.0
    """For each call of a hook."""

    service: bool = False
    """Serve `chatify.rooms.v1.Rooms`, for backends and operators.

    Whoever may call it may read and write in every room, and disconnect every user: with
    authentication administrators, without it whoever reaches it.
    """

    service_port: int | None = None
    """Serve that on this port, 0 for a free one, and not on the server's own."""

    service_host: str = "127.0.0.1"
    """Where that port listens."""

    def __post_init__(self) -> None:
        for name in ("max_message_size", "max_outbox"):
            value = getattr(self, name)
            if type(value) is not int or not 0 < value < 2**31:
                raise UsageError(f"{name} has to be a number of bytes, not {value!r}")
        timeout: object = self.hook_timeout
        if not isinstance(timeout, int | float) or not 0 < timeout < math.inf:
            raise UsageError(f"hook_timeout has to be a number of seconds, not {timeout!r}")
        for name in ("on_join", "on_message", "on_leave"):
            hook = getattr(self, name)
            if hook is not None and not callable(hook):
                raise UsageError(f"{name} is an async function, not {hook!r}")

    def make_broker(self) -> Broker:
        """The broker, not opened yet. Raises `UsageError` for a URL that is none."""
        if isinstance(self.broker, str):
            return make_broker(self.broker, self.retention, self.retention_rules)
        return self.broker

    @property
    def hooks(self) -> Hooks:
        return Hooks(
            self.on_join, self.on_message, self.on_leave, self.hook_timeout, self.max_message_size
        )
