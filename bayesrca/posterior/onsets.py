"""Who moved first, as far as that can be told."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from bayesrca.posterior.result import Onset

Floats = NDArray[np.float64]

_NAMED = 3
"""Tied components named; the others are counted."""


def rank_onsets(
    components: Sequence[str],
    *,
    time: Floats,
    lower: Floats,
    upper: Floats,
    signal: Sequence[str],
) -> tuple[Onset, ...]:
    """Order components by when they began to move; ties within the uncertainty keep equal ranks.

    Args:
        components: names of the n components.
        time: [n] most probable moment in seconds, NaN where it is not known.
        lower: [n] earliest moment within its uncertainty.
        upper: [n] latest moment within its uncertainty.
        signal: names of the n series they were read from.
    """
    known = np.flatnonzero(np.isfinite(time) & np.isfinite(lower) & np.isfinite(upper))
    ends = np.sort(upper[known])
    earlier = np.searchsorted(ends, lower[known], side="left")  # certainly over by then
    order = np.lexsort((time[known], earlier))
    return tuple(
        Onset(
            component=components[i],
            signal=signal[i],
            time=float(time[i]),
            lower=float(lower[i]),
            upper=float(upper[i]),
            rank=1 + int(rank),
        )
        for i, rank in zip(known[order].tolist(), earlier[order].tolist(), strict=True)
    )


def say_first(onsets: Sequence[Onset], say_time: Callable[[float], str]) -> str:
    """Say who moved first, in one sentence; empty where no onset is known.

    Args:
        onsets: as `rank_onsets` orders them.
        say_time: words for a moment given in seconds.
    """
    if not onsets:
        return ""
    first = [o for o in onsets if o.rank == 1]
    if len(first) > 1:
        names = [o.component for o in first[:_NAMED]]
        more = len(first) - len(names)
        listed = (
            f"{', '.join(names)} and {more} more"
            if more
            else " and ".join([", ".join(names[:-1]), names[-1]])
        )
        return (
            f"{listed} moved first, at about {say_time(first[0].time)}, too close together to tell "
            "which of them."
        )
    sentence = f"{first[0].component} moved first, at {say_time(first[0].time)}"
    if len(onsets) > 1:
        sentence += f", {onsets[1].time - first[0].time:.3g} s before {onsets[1].component}"
    return f"{sentence}."
