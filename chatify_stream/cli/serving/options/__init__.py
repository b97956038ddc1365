"""What `serve` makes of the settings: one module a section, each with what the server takes."""

from __future__ import annotations

from .auth import auth_of, believes_everybody, reloaded_auth
from .limits import limits_of
from .metrics import metrics_of
from .rooms import rooms_of
from .tls import proxies_of, tls_of
from .tracing import tracing_of
from .usage import address_header_of, usage_of

__all__ = [
    "address_header_of",
    "auth_of",
    "believes_everybody",
    "limits_of",
    "metrics_of",
    "proxies_of",
    "reloaded_auth",
    "rooms_of",
    "tls_of",
    "tracing_of",
    "usage_of",
]
