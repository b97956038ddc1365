"""`ChatServer`, assembled from the parts in `server`."""

from __future__ import annotations

from .chat_server import ChatServer, Service

__all__ = ["ChatServer", "Service"]
