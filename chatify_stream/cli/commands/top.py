"""`chatify-stream top`: what a server does, live, from its metrics endpoint."""

from __future__ import annotations

import http.client
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence

import click
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..exit_codes import UNAVAILABLE, CommandError, reporting_errors
from ..output import aligned, safe
from .top_metrics import Figure, Sample, Snapshot, figures

__all__ = ["top"]

FETCH_TIMEOUT = 5.0
LARGEST_ANSWER = 16 * 1024 * 1024


class _UnreachableError(Exception):
    """There are no metrics at the moment; the text says why."""


@click.command()
@click.option(
    "--metrics",
    "url",
    default="http://localhost:9100/metrics",
    metavar="URL",
    show_default=True,
    help="Where the server has its metrics: serve --metrics-port.",
)
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1, max=3600),
    default=2.0,
    metavar="SECONDS",
    show_default=True,
    help="Between two looks.",
)
@click.option("--once", is_flag=True, help="Print the figures of one interval, and end.")
@reporting_errors
def top(url: str, interval: float, once: bool) -> None:
    """Show what a server does: sessions, rooms, rates, the lag of its event loop.

    In a terminal the view is renewed until Ctrl-C; into a file or pipe goes one after the other. A
    server that is away is waited for.

    Exit status: 0 with --once; 2 wrong flags; 4 with --once, there are no metrics; 130 interrupted.
    """
    if not url.startswith(("http://", "https://")):
        raise CommandError(f"--metrics: {url!r} is no URL such as http://localhost:9100/metrics")
    metrics = _Metrics(url)
    if once:
        _once(metrics, interval)
    elif sys.stdout.isatty():
        _live(metrics, interval)
    else:
        _plain(metrics, interval)


class _Metrics:
    """The figures, look by look."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.version = ""
        self.trouble = ""
        """Why there are no metrics at the moment."""
        self.figures: Sequence[Figure] = ()
        self._before: Snapshot | None = None

    def look(self) -> None:
        try:
            now = Snapshot(_fetch(self.url), time.monotonic())
        except _UnreachableError as error:
            self.trouble = str(error)
            return
        self.trouble = ""
        self.version = now.label("chatify_build_info", "version")
        self.figures = figures(now, self._before)
        self._before = now

    @property
    def title(self) -> str:
        return f"chatify-stream {safe(self.version)}, {safe(self.url)}".replace(" ,", ",")

    def lines(self) -> list[str]:
        rows = [(each.name, each.value, each.rate) for each in self.figures]
        trouble = [self.trouble] if self.trouble else []
        return [self.title, *trouble, *aligned(rows)]


def _once(metrics: _Metrics, interval: float) -> None:
    metrics.look()
    if not metrics.trouble:
        time.sleep(interval)
        metrics.look()
    if metrics.trouble:
        raise CommandError(f"{metrics.url}: {metrics.trouble}", UNAVAILABLE)
    click.echo("\n".join(metrics.lines()))


def _plain(metrics: _Metrics, interval: float) -> None:
    while True:
        metrics.look()
        click.echo("\n".join(metrics.lines()) + "\n")
        time.sleep(interval)


def _live(metrics: _Metrics, interval: float) -> None:
    with Live(console=Console(), screen=True, auto_refresh=False) as live:
        while True:
            metrics.look()
            live.update(view(metrics), refresh=True)
            time.sleep(interval)


def view(metrics: _Metrics) -> Group:
    """What the terminal shows; it fits 80 columns."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    for figure in metrics.figures:
        style = "bold red" if figure.is_alarming else "dim" if metrics.trouble else ""
        table.add_row(*(Text(safe(cell)) for cell in figure[:3]), style=style)
    title = Text(metrics.title, style="bold", no_wrap=True, overflow="ellipsis")
    trouble = Text(metrics.trouble and f"{metrics.trouble}; looking again", style="yellow")
    return Group(title, trouble, table)


def _fetch(url: str) -> list[Sample]:
    try:
        from prometheus_client.parser import text_string_to_metric_families
    except ModuleNotFoundError as error:
        raise CommandError(
            f"top needs {error.name}: pip install 'chatify-stream[metrics]'"
        ) from error
    try:
        with urllib.request.urlopen(url, timeout=FETCH_TIMEOUT) as answer:  # noqa: S310 - of http
            text = answer.read(LARGEST_ANSWER).decode()
        return [
            Sample(sample.name, sample.labels, sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        ]
    except urllib.error.HTTPError as error:
        error.close()
        raise _UnreachableError(f"it answers {error.code}, not with metrics") from error
    except urllib.error.URLError as error:
        reason = getattr(error.reason, "strerror", None) or error.reason
        raise _UnreachableError(f"it cannot be reached: {safe(str(reason))}") from error
    except (OSError, http.client.HTTPException) as error:
        raise _UnreachableError(f"it cannot be reached: {safe(str(error))}") from error
    except ValueError as error:
        raise _UnreachableError("what it answers is not the metrics of a server") from error
