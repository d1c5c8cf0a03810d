"""Remembered nulls: the same numbers, found by content, in bounded memory."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from bayesrca.evidence import Evidence, build_evidence
from bayesrca.evidence.nulls import ENTRY_BYTES, NULLS, NullCache
from bayesrca.incident import Family, Incident, Signal, TimeWindow
from tests.unit.evidence.kit import (
    BASELINE,
    INSIDE,
    STEP,
    failures,
    incident,
    latency,
    noisy,
    requests,
    series,
)


def numbers(evidence: Evidence) -> list[NDArray[np.float64]]:
    tables = evidence.families
    return [
        *(t.z for t in tables),
        *(t.scale for t in tables),
        *(t.dose for t in tables),
        evidence.vitals.z,
        evidence.vitals.scale,
    ]


def outage(baseline: TimeWindow = BASELINE) -> Incident:
    return incident(
        latency("front", noisy(0.2, 0.5)),
        latency("back", noisy(0.1, 0.4, 1)),
        requests("front", 100.0),
        failures("front", np.where(INSIDE, 9.0, 1.0)),
        series("back", noisy(5.0, 900.0, 2), Family.CPU),
        series("front", noisy(5.0, 5.0, 3), Family.MEMORY),
        target="front",
        baseline=baseline,
    )


@pytest.mark.parametrize("baseline", [BASELINE, TimeWindow(0.0, 25 * STEP)])
def test_remembered_nulls_give_the_very_same_numbers(baseline: TimeWindow) -> None:
    made = outage(baseline=baseline)
    NULLS.clear()
    cold = numbers(build_evidence(made))
    assert NULLS.hits == 0
    misses = NULLS.misses
    assert misses > 0
    for a, b in zip(cold, numbers(build_evidence(made)), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (NULLS.hits, NULLS.misses) == (misses, misses)


def test_another_window_beside_the_same_baseline_needs_no_new_nulls() -> None:
    """Also where the window's size decides how series are scaled: 900 instead of 5."""
    made = outage()
    calm = replace(made, signals=tuple(replace(s, values=_levelled(s)) for s in made.signals))
    NULLS.clear()
    fresh = numbers(build_evidence(calm))
    NULLS.clear()
    build_evidence(made)
    misses = NULLS.misses
    after = numbers(build_evidence(calm))
    assert NULLS.misses == misses
    for a, b in zip(fresh, after, strict=True):
        np.testing.assert_array_equal(a, b)


def _levelled(signal: Signal) -> NDArray[np.float64]:
    values = signal.values.copy()
    values[INSIDE] = values[~INSIDE][: INSIDE.sum()]
    return values


def test_one_changed_sample_is_another_baseline() -> None:
    made = outage()
    build_evidence(made)
    values = made.signals[0].values.copy()
    values[3] *= 5.0
    other = replace(made, signals=(replace(made.signals[0], values=values), *made.signals[1:]))
    remembered = numbers(build_evidence(other))
    NULLS.clear()
    for a, b in zip(remembered, numbers(build_evidence(other)), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (remembered[2] != numbers(build_evidence(made))[2]).any()


def test_memory_is_bounded_and_the_least_recently_used_goes_first() -> None:
    cache = NullCache(3 * (80 + ENTRY_BYTES))
    for i in (0, 1, 2, 0, 3):
        found = cache.get(lambda i=i: np.full(10, float(i)), "entry", i)  # type: ignore[misc]
        assert found[0] == i
    assert (len(cache), cache.hits, cache.misses) == (3, 1, 4)
    assert cache.held_bytes == 3 * (80 + ENTRY_BYTES)
    cache.get(lambda: np.zeros(10), "entry", 0)
    assert cache.hits == 2  # 1 was the oldest
    cache.get(lambda: np.zeros(10), "entry", 1)
    assert cache.hits == 2
    cache.get(lambda: np.zeros(10_000), "large")
    assert cache.held_bytes <= 3 * (80 + ENTRY_BYTES)


def test_what_is_remembered_cannot_be_written_to() -> None:
    found = NullCache().get(lambda: np.zeros(3), "x")
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 1.0


def test_arrays_of_equal_bytes_and_other_shapes_differ() -> None:
    cache = NullCache()
    for part in (np.zeros((2, 3)), np.zeros((3, 2)), np.zeros(6), np.zeros(6, dtype=np.int64)):
        cache.get(lambda: np.ones(1), part)
    assert cache.misses == 4


def test_threads_agree() -> None:
    NULLS.clear()
    made = outage()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: numbers(build_evidence(made)), range(8)))
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(a, b)
