"""A table of an object's methods, bound when they are asked for.

h2 and grpclib have a dict of bound methods in each connection, of over 600 bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["BoundLater"]


class BoundLater:
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
