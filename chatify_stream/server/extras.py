"""Load the parts of a server that need an extra of the package, if they are wanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..errors import UsageError
from .metrics import MetricsOptions
from .tracing import Tracing, TracingOptions

if TYPE_CHECKING:
    from .metrics.metrics import Metrics

__all__ = ["load_metrics", "load_tracing", "require_extra"]


@contextmanager
def require_extra(extra: str) -> Iterator[None]:
    """Raise `UsageError`, which names the extra to install, if an import within fails."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        raise UsageError(
            f"{extra} needs {package}; install it: pip install 'chatify-stream[{extra}]'"
        ) from error


def load_metrics(options: MetricsOptions, chat_paths: Sequence[str]) -> Metrics:
    """Return the metrics of a server whose sessions are the calls of `chat_paths`.

    Raises `UsageError` if prometheus_client is not installed.
    """
    with require_extra("metrics"):
        from .metrics.metrics import Metrics
    return Metrics(options, chat_paths)


def load_tracing(options: TracingOptions) -> Tracing:
    """Return the tracing of a server. Raises `UsageError` if OpenTelemetry is not installed."""
    with require_extra("tracing"):
        return Tracing(options)
