"""How often something took how long."""

from __future__ import annotations

from chatify_stream.server.metrics.timings import Histogram


def test_bounds() -> None:
    """A value counts at each bound that it does not exceed, and always in all."""
    histogram = Histogram([1, 2, 5])
    for value in (0.5, 1, 1.5, 5, 6):
        histogram.observe(value)
    assert histogram.cumulative == [2, 3, 4, 5]
    assert histogram.count == 5
    assert histogram.sum == 14


def test_nothing() -> None:
    """Without values all is 0."""
    histogram = Histogram([1])
    assert (histogram.cumulative, histogram.count, histogram.sum) == ([0, 0], 0, 0)
