"""The command `chatify-stream chat`."""

from __future__ import annotations

from ..commands.chat import chat

__all__ = ["chat"]
