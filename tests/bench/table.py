"""The results as tables that read well as they are, and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .cases import SCALING_KEY, Case
from .peers import NAMES, OURS
from .results import Results, alone, beside, compared, median, medians, reached

__all__ = ["own_table", "scaling_table", "speed_table", "target_table"]

Row = Sequence[str]


def speed_table(results: Results) -> str:
    """Everyone's figures; in brackets ours divided by theirs. Empty where nothing is compared."""
    rows = []
    for case in compared(results):
        figures = medians(results, case)
        rows.append([case.title, _unit(case), *(_cell(name, figures) for name in NAMES)])
    return _markdown(["", "unit", *NAMES], rows)


def own_table(results: Results) -> str:
    """The figures that only our server has, some beside another. Empty where there are none."""
    rows = []
    for case in alone(results):
        found = beside(results, case)
        against = ["", ""] if found is None else [_number(found[1]), found[0].title]
        rows.append([case.title, _unit(case), _number(medians(results, case)[OURS]), *against])
    return _markdown(["", "unit", OURS, "times", "that of"], rows)


def _unit(case: Case) -> str:
    return f"{case.unit}, less is better" if case.less_is_better else case.unit


def _cell(name: str, figures: Mapping[str, float]) -> str:
    if name not in figures:
        return ""
    figure = _number(figures[name])
    return figure if name == OURS else f"{figure} ({_number(figures[OURS] / figures[name])})"


def target_table(results: Results) -> str:
    """What we want to reach, and whether we do. Empty where nothing is wanted."""
    rows = []
    for case in (*compared(results), *alone(results)):
        for target in case.targets:
            found = reached(results, case, target)
            if found is None:
                continue
            value, unit = found
            limit = "at most" if case.less_is_better else "at least"
            is_met = value <= target.bound if case.less_is_better else value >= target.bound
            wanted = f"{limit} {target.bound:g} {unit}"
            rows.append([case.title, wanted, _number(value), "met" if is_met else "MISSED"])
    return _markdown(["", "wanted", "is", ""], rows)


def scaling_table(results: Results) -> str:
    """What a message and a stream cost our server. Empty where that was not measured."""
    figures = ("server_us_per_message", "per_second", "server_kb_per_stream")
    rows = [
        [case.title, *(_number(median(by_name[OURS], figure)) for figure in figures)]
        for case, by_name in results.items()
        if case.key == SCALING_KEY
    ]
    return _markdown(["", "server's µs a message", "messages/s", "server's kB a stream"], rows)


def _number(value: float) -> str:
    """With three digits, as more are noise."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _markdown(head: Row, rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    rule = ["-" * width for width in widths]
    return "\n".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |"
        for line in (head, rule, *rows)
    )
