"""How the servers and clients compare, as a picture."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from .peers import GRPC_GO, GRPCIO, GRPCIO_SYNC, GRPCLIB, OURS
from .results import Results, compared, medians

__all__ = ["draw"]

BASE = GRPCIO
COLORS = {
    OURS: "#d62728",
    GRPCLIB: "#9ecae1",
    GRPCIO: "#4292c6",
    GRPCIO_SYNC: "#084594",
    GRPC_GO: "#969696",
}


def advantages(results: Results) -> dict[str, dict[str, float]]:
    """By the title of a case: how many times as good as `BASE` each is; more is better always."""
    rows = {}
    for case in compared(results):
        figures = medians(results, case)
        base = figures[BASE]
        rows[case.title] = {
            name: base / value if case.less_is_better else value / base
            for name, value in figures.items()
        }
    return rows


def draw(results: Results, path: Path) -> None:
    """Writes the picture, in the format that the name of the file says."""
    rows = advantages(results)
    figure = Figure(figsize=(10, 1.2 + 0.75 * len(rows)), layout="constrained", dpi=120)
    axes = figure.subplots()
    height = 0.8 / len(COLORS)
    for index, (name, color) in enumerate(COLORS.items()):
        places = [row for row, figures in enumerate(rows.values()) if name in figures]
        values = [figures[name] for figures in rows.values() if name in figures]
        offset = (index - (len(COLORS) - 1) / 2) * height
        bars = axes.barh([place + offset for place in places], values, height, color=color)
        bars.set_label(name)
        axes.bar_label(bars, [f"{value:.2g}" for value in values], padding=2, fontsize=7)
    axes.set_xscale("log")
    axes.margins(x=0.12, y=0.01)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.invert_yaxis()
    axes.set_xlabel(f"times as good as {BASE} (logarithmic; to the right is better)")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=len(COLORS), frameon=False)
    figure.savefig(path)
