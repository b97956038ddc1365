"""The figures of all rounds, and their medians."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from .cases import SCALING_KEY, Case
from .measure import Figures

__all__ = ["Results", "compared", "median", "medians"]

Results = Mapping[Case, Mapping[str, Sequence[Figures]]]
"""The figures of every round, by the case and the name of what was measured."""


def compared(results: Results) -> list[Case]:
    """The cases in which peers are measured too."""
    return [case for case in results if case.key != SCALING_KEY]


def medians(results: Results, case: Case) -> dict[str, float]:
    """The figure of the case, by the name of what was measured."""
    return {name: median(rounds, case.figure) for name, rounds in results[case].items()}


def median(rounds: Sequence[Figures], figure: str) -> float:
    return statistics.median(figures[figure] for figures in rounds)
