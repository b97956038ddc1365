"""The figures of all rounds, and their medians."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from .cases import BESIDE, SCALING_KEY, Case, Target
from .measure import Figures
from .peers import OURS

__all__ = ["Results", "alone", "beside", "compared", "median", "medians", "reached"]

Results = Mapping[Case, Mapping[str, Sequence[Figures]]]
"""The figures of every round, by the case and the name of what was measured."""


def compared(results: Results) -> list[Case]:
    """The cases in which peers are measured too."""
    return [case for case in results if case.who != "our server"]


def alone(results: Results) -> list[Case]:
    """The cases in which only our server is measured, but for those of the series."""
    return [case for case in results if case.who == "our server" and case.key != SCALING_KEY]


def medians(results: Results, case: Case) -> dict[str, float]:
    """The figure of the case, by the name of what was measured."""
    return {name: median(rounds, case.figure) for name, rounds in results[case].items()}


def median(rounds: Sequence[Figures], figure: str) -> float:
    return statistics.median(figures[figure] for figures in rounds)


def beside(results: Results, case: Case) -> tuple[Case, float] | None:
    """The case that this one stands beside, and how many times its figure ours is.

    That is the median of the rounds' ratios: what is measured in one round is measured in the same
    minute. None where there is no such case, or it was not measured.
    """
    other = next((each for each in results if each.key == case.beside), None)
    if other is None:
        return None
    rounds = zip(results[case][OURS], results[other][OURS], strict=True)
    return other, statistics.median(ours[case.figure] / its[other.figure] for ours, its in rounds)


def reached(results: Results, case: Case, target: Target) -> tuple[float, str] | None:
    """What our figure is, as the target's bound counts it, and in which unit; None if unknown."""
    figures = medians(results, case)
    if target.against is None:
        return figures[OURS], case.unit
    if target.against != BESIDE:
        return figures[OURS] / figures[target.against], f"× {target.against}"
    found = beside(results, case)
    return None if found is None else (found[1], f"× {found[0].key}")
