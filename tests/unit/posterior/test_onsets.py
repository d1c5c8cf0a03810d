"""Who moved first."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bayesrca.posterior.onsets import rank_onsets, say_first
from bayesrca.posterior.result import Onset

MOMENTS = st.lists(
    st.tuples(st.integers(0, 50), st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=8
)


def rank(*moments: tuple[float, float, float]) -> tuple[Onset, ...]:
    """Of c0, c1 ..., each given by its time, and how much earlier or later it may have been."""
    time, before, after = np.array(moments, dtype=np.float64).reshape(-1, 3).T
    return rank_onsets(
        [f"c{i}" for i in range(len(time))],
        time=time,
        lower=time - before,
        upper=time + after,
        signal=[f"s{i}" for i in range(len(time))],
    )


def say(onsets: tuple[Onset, ...]) -> str:
    return say_first(onsets, lambda seconds: f"t={seconds:g}")


@given(MOMENTS)
def test_a_rank_counts_those_that_were_certainly_earlier(
    moments: list[tuple[int, int, int]],
) -> None:
    onsets = rank(*moments)
    assert sorted(o.component for o in onsets) == [f"c{i}" for i in range(len(moments))]
    for o in onsets:
        assert o.lower <= o.time <= o.upper
        assert o.signal == o.component.replace("c", "s")
        assert o.rank == 1 + sum(other.upper < o.lower for other in onsets)
    ranks = [o.rank for o in onsets]
    assert ranks == sorted(ranks)
    assert ranks[0] == 1
    for a in onsets:
        for b in onsets:
            if a.upper < b.lower:
                assert a.rank < b.rank


def test_unknown_moments_are_left_out() -> None:
    onsets = rank((5.0, 1.0, 1.0), (math.nan, 1.0, 1.0), (3.0, math.nan, 1.0))
    assert [o.component for o in onsets] == ["c0"]
    assert say(onsets) == "c0 moved first, at t=5."
    assert say(()) == ""


def test_a_clear_first_is_said_to_be_first() -> None:
    assert say(rank((30.0, 5.0, 5.0), (10.0, 2.0, 2.0))) == (
        "c1 moved first, at t=10, 20 s before c0."
    )


def test_ties_are_said_to_be_ties() -> None:
    two = rank((10.0, 2.0, 2.0), (13.0, 2.0, 2.0), (90.0, 2.0, 2.0))
    assert [o.rank for o in two] == [1, 1, 3]
    assert say(two) == (
        "c0 and c1 moved first, at about t=10, too close together to tell which of them."
    )
    five = rank(*((10.0 + i, 9.0, 9.0) for i in range(5)))
    assert say(five).startswith("c0, c1, c2 and 2 more moved first")
