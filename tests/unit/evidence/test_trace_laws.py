"""Laws of spans and lines are densities, and references mix as written."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bayesrca.evidence.trace_fold import fold, fold_contexts
from bayesrca.evidence.trace_laws import (
    DEGREES,
    DRIFT,
    EFFECT_LOG_MEDIAN,
    log_affected_time,
    log_changed_count,
    log_quiet_count,
    log_quiet_time,
    log_risen_count,
)
from bayesrca.evidence.trace_reference import compare_times, log_quiet_mixture, weigh_readings

CONSTANT = stats.t(DEGREES).pdf(0.0)


def test_contrasts_of_time_have_densities_that_sum_to_one() -> None:
    z = np.linspace(-300.0, 3000.0, 330_001)
    quiet = CONSTANT * np.exp(log_quiet_time(z))
    assert quiet == pytest.approx(stats.t(DEGREES).pdf(z))
    affected = CONSTANT * np.exp(log_affected_time(z))
    # Past the table's end, at 120, lies .0014 of the log-normal law.
    assert np.trapezoid(affected, z) == pytest.approx(1.0, abs=0.003)


@pytest.mark.parametrize("z", [-3.0, 0.5, 6.0, 31.3, 90.0])
def test_an_affected_contrast_is_noise_plus_a_slowing(z: float) -> None:
    draws = np.exp(EFFECT_LOG_MEDIAN + stats.norm.ppf((np.arange(200_000) + 0.5) / 2e5))
    mean = stats.t(DEGREES).pdf(z - draws).mean()
    assert CONSTANT * np.exp(log_affected_time(np.array(z))) == pytest.approx(mean, rel=0.01)


@pytest.mark.parametrize("n", [1.0, 2.0, 17.0])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
def test_counts_have_probabilities_that_sum_to_one(n: float, share: float) -> None:
    k = np.arange(n + 1.0)
    full, same = np.full_like(k, n), np.full_like(k, share)
    laws = [
        log_quiet_count(k, full, same, np.full_like(k, 12.0)),
        log_changed_count(k, full, same),
        log_risen_count(k, full, same),
        log_quiet_mixture(
            k,
            full,
            np.tile([3.0, 40.0], (len(k), 1)),
            np.tile([9.0, 41.0], (len(k), 1)),
            np.array([0.1, 0.3]),
        ),
    ]
    for law in laws:
        assert np.exp(law).sum() == pytest.approx(1.0)


def test_a_share_that_rose_is_told_from_one_that_fell() -> None:
    k, n, share = (np.array([x, x]) for x in (9.0, 10.0, 0.3))
    k[1] = 0.0
    risen, fallen = log_risen_count(k, n, share) - log_quiet_count(k, n, share, n)
    assert risen > 1.0
    assert fallen < -1.0


def test_more_evidence_of_what_is_normal_makes_a_change_louder() -> None:
    k, n = np.array([0.0]), np.array([8.0])
    ratios = [
        (log_changed_count(k, n, s) - log_quiet_count(k, n, s, w))[0]
        for s, w in ((np.array([0.9]), np.array([9.0])), (np.array([0.99]), np.array([99.0])))
    ]
    assert 0.0 < ratios[0] < ratios[1]


def test_readings_are_weighed_by_trust_and_by_how_many_they_rest_on() -> None:
    trust = np.array([0.1, 0.3])
    weights = np.exp(weigh_readings(np.array([[1e6, 1e6], [5.0, 0.0], [10.0, 1e6]]), trust))
    assert weights[:, 0] == pytest.approx([0.6, 0.1, 0.3], abs=1e-4)
    assert weights[:, 1] == pytest.approx([1.0, 0.0, 0.0])  # the only one is all of them
    assert weights[:, 2] == pytest.approx([0.65, 0.05, 0.3], abs=1e-4)


def test_a_polluted_reference_makes_a_change_quieter_but_not_silent() -> None:
    k1, n1 = np.array([0.0]), np.array([20.0])
    n = np.array([[20.0, 20.0]])
    trust = np.array([0.1, 0.3])
    clean = log_quiet_mixture(k1, n1, np.array([[20.0, 20.0]]), n, trust)[0]
    half = log_quiet_mixture(k1, n1, np.array([[0.0, 20.0]]), n, trust)[0]
    assert clean < half < np.log(0.1)


def test_times_are_compared_as_by_hand() -> None:
    moments = np.array([[[5.0, 8.0, 1.0], [10.0, 6.0, 2.0], [0.0, 0.0, 0.0]]])
    drift = np.array([DRIFT, 0.5])
    found = compare_times(moments, drift, np.array([0.1, 0.3]))
    # Two means were estimated: the second reference is empty.
    variance = (1.0 + 2.0 + 4.0 * 0.25) / (15 - 2 + 4)
    scale = np.sqrt(variance * (1 / 5 + 1 / 10) + DRIFT**2)
    assert found.contrast[0] == pytest.approx(2.0)
    assert found.scale[0] == pytest.approx(scale)
    z = np.array(2.0 / scale)
    assert found.log_ratio[0] == pytest.approx(float(log_affected_time(z) - log_quiet_time(z)))
    moments[0, 0, 0] = 2.0
    assert np.isnan(compare_times(moments, drift, np.array([0.1, 0.3])).log_ratio[0])


def test_one_of_many_tests_changed() -> None:
    group, ratio = np.array([0, 0, 2, 7]), np.array([np.log(4.0), np.log(2.0), 1.5, 9.0])
    found = fold(group, ratio, 3)
    assert found[[0, 2]] == pytest.approx([np.log(3.0), 1.5])
    assert np.isnan(found[1])
    weighed = fold(group, ratio, 3, np.array([3.0, 1.0, 5.0, 1.0]))
    assert weighed[0] == pytest.approx(np.log(3.5))
    assert fold_contexts(group, ratio, 3)[0] == pytest.approx(np.log((3.0 + 8.0) / 2.0))
    assert np.isnan(fold(np.empty(0, dtype=np.int64), np.empty(0), 2)).all()
