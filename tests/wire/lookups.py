"""Fake DNS lookups. Tests set the answers."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

__all__ = ["Lookups"]


class Lookups:
    """Replaces `getaddrinfo` of the event loop."""

    def __init__(self) -> None:
        self.found: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self.is_silent = False

    async def __call__(self, host: str, port: int, **options: Any) -> list[Any]:
        self.asked.append(host)
        if self.is_silent:
            await asyncio.get_running_loop().create_future()
        if host not in self.found:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        answers = []
        for number in self.found[host]:
            answers += socket.getaddrinfo(number, port, flags=socket.AI_NUMERICHOST, **options)
        return answers
