"""`ChatServer`, assembled from the parts in `server`."""

from __future__ import annotations

from .chat_server import ChatServer
from .service_table import Service

__all__ = ["ChatServer", "Service"]
