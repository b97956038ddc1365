"""The HTTP gateway, for clients that do not speak gRPC. Needs the extra `gateway`."""

from __future__ import annotations

from .app import create_app
from .server import GatewayServer

__all__ = ["GatewayServer", "create_app"]
