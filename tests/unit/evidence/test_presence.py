"""Presence: who fell silent, how rare that is, and what cannot be known."""

from typing import Any

import numpy as np
import pytest

from bayesrca.evidence import build_evidence
from bayesrca.evidence.presence import LEAST_SILENCE
from bayesrca.incident import Incident, Signal
from tests.unit.evidence.kit import (
    INSIDE,
    N_NORMAL,
    TIME,
    incident,
    latency,
    noisy,
    requests,
)

FRONT, BACK = 0, 1
STEADY = latency("front", noisy(1, 1))


def ratios(*signals: Signal, max_bins: int = 5, **changes: Any) -> Any:  # noqa: ANN401
    return np.exp(build_evidence(incident(*signals, **changes), max_bins=max_bins).crash_log_ratio)


def lengths(case: Incident, max_bins: int = 5) -> Any:  # noqa: ANN401
    """Sample times in each footprint."""
    found = build_evidence(case, max_bins=max_bins).footprints
    return np.array([np.count_nonzero((a <= TIME) & (b > TIME)) for a, b in found])


@pytest.mark.parametrize("how", ["no sample", "no request"])
def test_silence_while_others_report(how: str) -> None:
    quiet = np.where(INSIDE, np.nan if how == "no sample" else 0.0, 9.0)
    case = (STEADY, requests("back", quiet))
    n = N_NORMAL - lengths(incident(*case)) + 1  # stretches of the baseline, none of them silent
    p = np.maximum(0.5 / (n + 1), LEAST_SILENCE)
    found = ratios(*case)
    assert found[BACK] == pytest.approx((0.9 + 0.1 * p) / p)
    assert found[FRONT] == pytest.approx(0.1)


def test_other_telemetry_does_not_hide_that_no_request_was_served() -> None:
    quiet = requests("back", np.where(INSIDE, 0.0, 9.0))
    assert (ratios(STEADY, quiet, latency("back", noisy(1, 1)))[BACK] > 10).all()
    uncounted = requests("back", np.where(INSIDE, np.nan, 9.0))
    assert ratios(STEADY, uncounted, latency("back", noisy(1, 1)))[BACK] == pytest.approx(0.1)


def test_what_is_often_silent_says_little_by_silence() -> None:
    seldom = np.where(np.arange(len(TIME)) % 20 == 0, 9.0, 0.0) * ~INSIDE
    found = ratios(STEADY, requests("back", seldom))[BACK]
    assert (found > 1).all()
    n = N_NORMAL - 1  # stretches of two samples; each of three served samples touches two or one
    p = (n - 5 + 0.5) / (n + 1)
    assert found.min() == pytest.approx((0.9 + 0.1 * p) / p)


def test_the_mean_ratio_under_the_quiet_law_is_one() -> None:
    on = np.random.default_rng(4).random(len(TIME)) < 0.6
    normal = np.where(on, 9.0, 0.0)
    silent = ratios(STEADY, requests("back", np.where(INSIDE, 0.0, normal)), max_bins=12)[BACK]
    busy = ratios(STEADY, requests("back", np.where(INSIDE, 9.0, normal)), max_bins=12)[BACK]
    size = lengths(incident(STEADY), 12)
    for length in np.unique(size[size <= 4]):
        stretches = [bool(on[i : i + length].any()) for i in range(N_NORMAL - length + 1)]
        p = (stretches.count(False) + 0.5) / (len(stretches) + 1)
        at = size == length
        assert p * silent[at] + (1 - p) * busy[at] == pytest.approx(1.0)


def test_of_the_unknown_nothing_is_said() -> None:
    assert (ratios(STEADY)[BACK] == 1).all()
    assert (ratios(STEADY, requests("back", np.nan))[BACK] == 1).all()


def test_without_a_baseline_silence_is_worth_little() -> None:
    changing = requests("back", np.where(TIME[-1] == TIME, 0.0, 9.0))
    found = ratios(STEADY, changing, baseline=None, max_bins=12)[BACK]
    assert set(np.round(found, 6)) == {0.1, round(0.95 / 0.5, 6)}
