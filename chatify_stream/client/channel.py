"""The channel of Chat's clients: wire's, with the codec of Chat's messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import wire
from ..codec import ChatCodec
from ..wire import ClientStream, MetadataLike
from .tracing import load_trace_context

__all__ = ["Channel"]


class Channel(wire.Channel):
    __doc__ = wire.Channel.__doc__

    def __init__(
        self,
        host: str | None = None,
        port: int | None = None,
        *,
        tracing: bool = False,
        **options: Any,
    ) -> None:
        """As `wire.Channel`; with `tracing` a call names the span that is current when it is made.

        That needs the extra `tracing`.
        """
        options.setdefault("codec", ChatCodec())
        super().__init__(host, port, **options)
        self._trace_context = load_trace_context() if tracing else None

    def request(
        self, *args: Any, metadata: MetadataLike | None = None, **options: Any
    ) -> ClientStream:
        if self._trace_context is not None:
            given = metadata.items() if isinstance(metadata, Mapping) else metadata or ()
            metadata = [*given, *self._trace_context().items()]
        return super().request(*args, metadata=metadata, **options)
