"""Runs the hooks of one server, each with a timeout.

A hook that fails must not allow the request, and the client must not see the failure: the client
receives a general reason, and the log has the exception.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from ...errors import CallError, RefusedError, UncheckedError
from .hooks import RoomJoin, RoomLeave, RoomMessage
from .options import RoomOptions

log = logging.getLogger(__name__)

NOT_CHECKED = "the server could not check this; try again later"
NOT_IN_TIME = "the server could not check this in time; try again later"

T = TypeVar("T")


class HookRunner:
    """Calls the hooks that the options name; a missing hook allows everything."""

    def __init__(self, options: RoomOptions) -> None:
        self._options = options

    @property
    def checks_messages(self) -> bool:
        return self._options.on_message is not None

    async def join(self, join: RoomJoin) -> None:
        """Call `on_join`. Raises `RefusedError`."""
        if self._options.on_join is not None:
            await self._call("on_join", self._options.on_join, join)

    async def message(self, message: RoomMessage) -> str:
        """Call `on_message`, and return the text to publish. Raises `RefusedError`."""
        if self._options.on_message is None:
            return message.text
        text = await self._call("on_message", self._options.on_message, message)
        if text is None:
            return message.text
        try:
            size = len(text.encode())
        except (AttributeError, UnicodeEncodeError):
            log.error("on_message returned %r; return a str of valid Unicode, or None", text)
            raise UncheckedError(NOT_CHECKED) from None
        max_size = self._options.max_message_size
        if size > max_size:
            log.error("on_message returned %d bytes; at most %d are allowed", size, max_size)
            raise UncheckedError(NOT_CHECKED)
        return text

    async def leave(self, leave: RoomLeave) -> None:
        """Call `on_leave`. Raises nothing but cancellation."""
        if self._options.on_leave is not None:
            try:
                await self._call("on_leave", self._options.on_leave, leave)
            except RefusedError as error:
                log.debug("on_leave cannot refuse anything: %s", error)

    async def _call(self, name: str, hook: Callable[[Any], Awaitable[T]], event: Any) -> T:
        timeout = self._options.hook_timeout
        try:
            async with asyncio.timeout(timeout):
                return await hook(event)
        except RefusedError:
            raise
        except CallError as error:
            raise RefusedError(error.message or error.status.name) from error
        except TimeoutError:
            log.error("%s timed out after %g s", name, timeout)
            raise UncheckedError(NOT_IN_TIME) from None
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException:  # SystemExit would stop the event loop
            log.exception("%s failed", name)
            raise UncheckedError(NOT_CHECKED) from None
