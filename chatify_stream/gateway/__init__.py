"""The HTTP gateway, for clients that do not speak gRPC. Needs the extra `gateway`."""

from .app import create_app
from .server import GatewayServer

__all__ = ["GatewayServer", "create_app"]
