"""`ChatServer`, assembled from the parts in `server`."""

from __future__ import annotations

from .chat_server import ChatServer
from .listener import Service

__all__ = ["ChatServer", "Service"]
