"""`chatify-stream top`: show live metrics of a server, from its metrics endpoint."""

from __future__ import annotations

import http.client
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from ..exit_codes import UNAVAILABLE, CommandError, report_errors, require_extra
from ..output import aligned, safe
from .top_metrics import Figure, Sample, Snapshot, figures

if TYPE_CHECKING:
    from rich.console import Group

FETCH_TIMEOUT = 5.0
MAX_RESPONSE_SIZE = 16 * 1024 * 1024


class _UnreachableError(Exception):
    """No metrics are available at the moment; the text gives the reason."""


@click.command()
@click.option(
    "--metrics",
    "url",
    default="http://localhost:9100/metrics",
    metavar="URL",
    show_default=True,
    help="URL of the metrics of a server started with --metrics-port.",
)
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1, max=3600),
    default=2.0,
    metavar="SECONDS",
    show_default=True,
    help="Seconds between two updates.",
)
@click.option("--once", is_flag=True, help="Print the figures of one interval and exit.")
@report_errors
def top(url: str, interval: float, once: bool) -> None:
    """Show live metrics of a server.

    The metrics are sessions, rooms, rates and the lag of the event loop. A terminal is updated
    until Ctrl-C. To a file or pipe, each update is appended. If the server cannot be reached, top
    keeps trying.

    Exit status: 0 success with --once; 2 wrong flags; 4 no metrics with --once; 130 interrupted.
    """
    if not url.startswith(("http://", "https://")):
        raise CommandError(
            f"--metrics: {url!r} is not allowed; use a URL such as http://localhost:9100/metrics"
        )
    metrics = _Metrics(url)
    if once:
        _once(metrics, interval)
    elif sys.stdout.isatty():
        _live(metrics, interval)
    else:
        while True:
            metrics.update()
            click.echo("\n".join(metrics.lines()) + "\n")
            time.sleep(interval)


class _Metrics:
    """The metrics of one server, with the rates since the previous update."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.version = ""
        self.trouble = ""
        """Reason for missing metrics."""
        self.figures: Sequence[Figure] = ()
        self._before: Snapshot | None = None

    def update(self) -> None:
        try:
            now = Snapshot(_fetch(self.url), time.monotonic())
        except _UnreachableError as error:
            self.trouble = str(error)
            return
        self.trouble = ""
        self.version = now.label("chatify_build_info", "version")
        self.figures = list(figures(now, self._before))
        self._before = now

    @property
    def title(self) -> str:
        return f"chatify-stream {safe(self.version)}, {safe(self.url)}".replace(" ,", ",")

    def lines(self) -> list[str]:
        trouble = [self.trouble] if self.trouble else []
        return [self.title, *trouble, *aligned([each[:3] for each in self.figures])]


def _once(metrics: _Metrics, interval: float) -> None:
    metrics.update()
    if not metrics.trouble:
        time.sleep(interval)
        metrics.update()
    if metrics.trouble:
        raise CommandError(f"{metrics.url}: {metrics.trouble}", UNAVAILABLE)
    click.echo("\n".join(metrics.lines()))


def _live(metrics: _Metrics, interval: float) -> None:
    with require_extra("cli", "top in a terminal"):
        from rich.console import Console
        from rich.live import Live
    with Live(console=Console(), screen=True, auto_refresh=False) as live:
        while True:
            metrics.update()
            live.update(view(metrics), refresh=True)
            time.sleep(interval)


def view(metrics: _Metrics) -> Group:
    """Return the contents of the terminal, at most 80 columns wide."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    for figure in metrics.figures:
        style = "bold red" if figure.is_alarming else "dim" if metrics.trouble else ""
        table.add_row(*(Text(safe(cell)) for cell in figure[:3]), style=style)
    title = Text(metrics.title, style="bold", no_wrap=True, overflow="ellipsis")
    trouble = Text(metrics.trouble and f"{metrics.trouble}; retrying", style="yellow")
    return Group(title, trouble, table)


def _fetch(url: str) -> list[Sample]:
    with require_extra("metrics", "top"):
        from prometheus_client.parser import text_string_to_metric_families
    try:
        with urllib.request.urlopen(url, timeout=FETCH_TIMEOUT) as answer:  # noqa: S310 - of http
            text = answer.read(MAX_RESPONSE_SIZE).decode()
        families = text_string_to_metric_families(text)
        return [Sample(*each[:3]) for family in families for each in family.samples]
    except urllib.error.HTTPError as error:
        error.close()
        raise _UnreachableError(f"not a metrics endpoint (HTTP status {error.code})") from error
    except urllib.error.URLError as error:
        reason = getattr(error.reason, "strerror", None) or error.reason
        raise _UnreachableError(f"cannot be reached: {safe(str(reason))}") from error
    except (OSError, http.client.HTTPException) as error:
        raise _UnreachableError(f"cannot be reached: {safe(str(error))}") from error
    except ValueError as error:
        raise _UnreachableError("the response does not contain Prometheus metrics") from error
