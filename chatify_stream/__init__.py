"""Chatify Stream: a real-time chat stream server in pure Python.

`ChatServer` serves `service.v1.Service/Chat`, with and without rooms. `ChatClient`, `RoomClient`
and the generated `ServiceStub` call it. Every error raised on purpose is a `ChatifyError`.

The names below are imported when they are first used, so that `import chatify_stream` is cheap.
`__init__.pyi` holds the same names for type checkers.
"""

from __future__ import annotations

from importlib import import_module

from ._version import __version__ as __version__

_NAMES = {
    "assembly": "ChatServer",
    "auth": """
        Authenticator CertificateAuthenticator Credentials Grants Identity JwtAuthenticator
        unauthenticated
    """,
    "client": """
        Backoff Channel ChannelState ChatClient ClientTLS Connected Event Gap Joined Left
        Message Reconnecting RoomClient ServiceStub client_tls
    """,
    "codec": "frame_text",
    "errors": """
        BrokerError CallError CancelledCallError ChatifyError ClosedError ConfigError
        DeadlineExceededError ListenError PeerProtocolError RefusedError StatusError
        TooLargeError UnavailableError UncheckedError UsageError
    """,
    "messages.service.v1": "ChatReq ChatRsp",
    "rooms": "Retention RetentionRule",
    "rooms.position": "Position",
    "server": """
        AddressHeader HealthService MetricsOptions RoomJoin RoomLeave RoomMessage RoomOptions
        Rooms ServingStatus Session TLSOptions TracingOptions UsageLimits
    """,
    "wire": "Limits Rate Status",
}
"""The public names, by the subpackage or module that defines them."""

_MODULES = {name: module for module, names in _NAMES.items() for name in names.split()}

_SUBPACKAGES = {"brokers", "config", *(module.partition(".")[0] for module in _NAMES)}
"""Subpackages and modules that are attributes of the package without an import of their own."""

__all__ = sorted([*_MODULES, "__version__"])


def __getattr__(name: str) -> object:
    """Import and return a public name or a subpackage."""
    if name in _SUBPACKAGES:
        return import_module(f".{name}", __name__)
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    """Return the public names, whether imported yet or not, and the other globals."""
    return sorted({*globals(), *__all__})
