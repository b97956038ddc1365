"""The channel of Chat's clients: wire's, with the codec of Chat's messages."""

from __future__ import annotations

from typing import Any

from .. import wire
from ..codec import ChatCodec

__all__ = ["Channel"]


class Channel(wire.Channel):
    __doc__ = wire.Channel.__doc__

    def __init__(self, host: str | None = None, port: int | None = None, **options: Any) -> None:
        options.setdefault("codec", ChatCodec())
        super().__init__(host, port, **options)
