"""Medians, and intervals that assume nothing about how the noise is distributed."""
import math


def median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


def interval(values, confidence=0.95):
    """The order statistics around the median that cover it with that confidence, as (low, high,
    coverage). The k-th smallest and largest of n cover it with 1 - 2 * P(Binomial(n, 1/2) < k);
    with fewer than 6 values even the extremes cover less than 95%, which `coverage` then says."""
    ordered = sorted(values)
    n = len(ordered)
    best = (ordered[0], ordered[-1], 1 - 2 * 0.5**n)
    tail = 0.5**n
    for k in range(1, n // 2):
        tail += math.comb(n, k) * 0.5**n
        if 1 - 2 * tail < confidence:
            break
        best = (ordered[k], ordered[-1 - k], 1 - 2 * tail)
    return best


class Estimate:
    """The median of the rounds with its interval."""

    def __init__(self, values):
        self.values = list(values)
        self.median = median(self.values)
        self.low, self.high, self.coverage = interval(self.values)

    def show(self, digits=2):
        return f"{self.median:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"

    def as_json(self):
        return {"median": self.median, "low": self.low, "high": self.high,
                "coverage": self.coverage, "rounds": self.values}


def ratio(above, below):
    """Round by round: what was measured close together in time is compared."""
    return Estimate(a / b for a, b in zip(above, below))


def difference(left, right):
    return Estimate(a - b for a, b in zip(left, right))
