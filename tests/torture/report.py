"""What came of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["Report", "percentile"]


@dataclass(frozen=True)
class Report:
    """The faults that were found, in words, and what was done, in figures."""

    faults: list[str]
    figures: dict[str, float | str] = field(default_factory=dict)

    def __str__(self) -> str:
        rows = [
            (name, f"{value:,}" if isinstance(value, int) else _written(value))
            for name, value in [*self.figures.items(), ("faults", len(self.faults))]
        ]
        names, values = (max(map(len, column)) for column in zip(*rows, strict=True))
        return "\n".join(f"{name:{names}}  {value:>{values}}" for name, value in rows)


def _written(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.2f}"


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that so many percent do not exceed; 0 where there is none."""
    ordered = sorted(values)
    return ordered[math.ceil(len(ordered) * percent / 100) - 1] if ordered else 0.0
