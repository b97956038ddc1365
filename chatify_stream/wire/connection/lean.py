"""An event that takes no memory while nobody waits for it.

`asyncio.Event` keeps a queue of 700 bytes from its beginning, and a stream has several of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["LazyMethodTable", "LeanEvent"]


class LazyMethodTable:
    """Stands in the place of a dict whose values are methods of `owner`."""

    __slots__ = ("_names", "_owner")

    _known: dict[type, dict[Any, str]] = {}  # noqa: RUF012 - the names by the class of the owner

    def __init__(self, owner: object, table: Mapping[Any, Callable[..., Any]]) -> None:
        """`table` is the same for all owners of one class."""
        names = self._known.get(type(owner))
        if names is None:
            names = {key: method.__name__ for key, method in table.items()}
            self._known[type(owner)] = names
        self._owner = owner
        self._names = names

    def __getitem__(self, key: Any) -> Callable[..., Any]:
        method: Callable[..., Any] = getattr(self._owner, self._names[key])
        return method

    def __contains__(self, key: Any) -> bool:
        return key in self._names


class LeanEvent:
    """`asyncio.Event`, with the same methods."""

    __slots__ = ("_is_set", "_waiters")

    def __init__(self, *, is_set: bool = False) -> None:
        self._is_set = is_set
        self._waiters: list[asyncio.Future[None]] | None = None

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        """Wakes all who wait."""
        self._is_set = True
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    def clear(self) -> None:
        self._is_set = False

    async def wait(self) -> bool:
        """Returns True once the flag is set, or at once if it is."""
        if self._is_set:
            return True
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiters = self._waiters = self._waiters or []
        waiters.append(waiter)
        try:
            await waiter
        finally:
            waiters.remove(waiter)
        return True
