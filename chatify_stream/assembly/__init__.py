"""`ChatServer`, assembled from the parts in `server`."""

from .chat_server import ChatServer
from .listener import Service

__all__ = ["ChatServer", "Service"]
