"""Units: what makes latencies comparable, and shares out of ratios and percentages."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from bayesrca.errors import InvalidIncidentError
from bayesrca.evidence.remarks import Remark, Remarks
from bayesrca.incident import Signal, Statistic

Floats = NDArray[np.float64]

SECONDS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "msecs", "millisecond", "milliseconds"), 1e-3),
    # Micro has two code points: the sign U+00B5 and the Greek letter U+03BC.
    **dict.fromkeys(("us", "\u00b5s", "\u03bcs", "usec", "usecs"), 1e-6),
    **dict.fromkeys(("microsecond", "microseconds"), 1e-6),
    **dict.fromkeys(("ns", "nsec", "nsecs", "nanosecond", "nanoseconds"), 1e-9),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), 60.0),
}
"""Latency units, in seconds. A lone ``m`` is none of them: it may be a metre or a minute."""
PERCENT = ("%", "percent", "pct")
SLACK = 1e-6
"""By how much rounding may carry a share out of [0, 1]."""
STRAY = 0.01
"""By how much smoothing or interpolation may carry a share below 0: it is cut off, and said."""


def compare_units(units: Iterable[str]) -> dict[str, float | None]:
    """Return what one of each latency unit is worth, None where it cannot be compared.

    Seconds where every unit is known. A single unit that nobody knows stays as it is: excess times
    then compare with each other although not with a clock.
    """
    found = set(units)
    worth: dict[str, float | None] = {u: SECONDS.get(u.strip()) for u in found}
    if len(found) == 1:
        return {u: w if w is not None else 1.0 for u, w in worth.items()}
    return worth


def is_time(unit: str) -> bool:
    """Whether a unit is a known unit of time."""
    return unit.strip() in SECONDS


def read_failure_share(signal: Signal, remarks: Remarks) -> Floats:
    """Share of requests that failed: [n] in [0, 1], NaN where missing.

    Args:
        signal: a success or error ratio.
        remarks: receives what had to be assumed.

    Raises:
        InvalidIncidentError: a ratio that is neither a share nor a percentage.
    """
    ratio = signal.values
    seen = ratio[~np.isnan(ratio)]
    low, high = (float(seen.min()), float(seen.max())) if seen.size else (0.0, 0.0)
    if signal.unit.strip() in PERCENT:
        ratio = ratio / 100.0
        if low < -100 * SLACK or high > 100 * (1 + SLACK):
            remarks.add(Remark.CUT_SHARE, signal.label)
    elif low < -STRAY or high > 100.0:
        msg = (
            f"{signal.label} is a ratio but runs from {low:g} to {high:g}: give shares in [0, 1], "
            "or percentages with the unit '%'"
        )
        raise InvalidIncidentError(msg, field="signals")
    elif high > 1 + SLACK:
        ratio = ratio / 100.0
        remarks.add(Remark.PERCENT, signal.label)
    elif low < -SLACK:
        remarks.add(Remark.CUT_SHARE, signal.label)
    share = 1.0 - ratio if signal.statistic is Statistic.SUCCESS_RATIO else ratio
    return np.clip(share, 0.0, 1.0)
