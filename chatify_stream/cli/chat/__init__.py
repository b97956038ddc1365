"""The command `chatify-stream chat`."""

from __future__ import annotations

from .command import chat

__all__ = ["chat"]
