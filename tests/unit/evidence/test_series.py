from typing import Any

import numpy as np
import pytest
from scipy import stats

from bayesrca.evidence.frame import Frame, build_frame
from bayesrca.evidence.series import FLOOR, WIDEST, Transform, _t4_scale, compute_contrast
from bayesrca.incident import TimeWindow
from tests.unit.evidence.kit import INSIDE, STEP, TIME, incident, latency, noisy


def frame(**changes: Any) -> Frame:  # noqa: ANN401
    made = incident(latency("front", 1.0), **changes)
    return build_frame(made, made.signals, 5, [])


DISTANT = {"baseline": TimeWindow(0.0, 25 * STEP)}


def test_contrast_is_the_log_ratio_of_request_weighted_means() -> None:
    rng = np.random.default_rng(1)
    x, w = noisy(0.2, 0.5), rng.integers(1, 50, len(TIME)).astype(float)
    got = compute_contrast(frame(), latency("front", x), Transform.LOG, w)
    f = frame()
    for s in range(len(f.first)):
        rows = 60 + 2 * np.arange(f.first[s], f.last[s])[:, None] + [0, 1]
        level = np.average(x[rows.ravel()], weights=w[rows.ravel()])
        usual = np.average(x[:60], weights=w[:60])
        assert got.value[s] == pytest.approx(np.log(level / usual), rel=1e-12)
        assert got.weight[s] == w[rows].sum()
    np.testing.assert_allclose(got.reference, usual)


def test_against_a_distant_baseline_the_rest_of_the_window_is_the_reference() -> None:
    x = noisy(0.2, 0.5)
    f = frame(**DISTANT)
    got = compute_contrast(f, latency("front", x), Transform.LOG)
    s = int(np.flatnonzero((f.first == 1) & (f.last == 3))[0])
    inside = x[60:][2:6].mean()
    outside = np.delete(x[60:], slice(2, 6)).mean()
    assert got.value[s] == pytest.approx(np.log(inside / outside), rel=1e-12)
    assert got.reference[s] == pytest.approx(outside)


def test_missing_samples_and_unweighted_ones_do_not_count() -> None:
    x, w = noisy(0.2, 0.5), np.ones(len(TIME))
    w[61], w[62] = 0.0, np.nan
    holes = x.copy()
    holes[[61, 62]] = np.nan
    one = compute_contrast(frame(), latency("front", holes), Transform.LOG)
    two = compute_contrast(frame(), latency("front", x), Transform.LOG, w)
    np.testing.assert_allclose(one.value, two.value, rtol=1e-12)


def test_the_null_scale_is_a_t4_fit_of_the_sliding_contrast() -> None:
    x = noisy(0.2, 0.2, seed=3)
    f = frame()
    got = compute_contrast(f, latency("front", x), Transform.LOG)
    s = int(np.flatnonzero((f.first == 2) & (f.last == 4))[0])  # four samples
    starts = np.arange(60 - 4 + 1)
    total = x[:60].sum()
    sums = np.array([x[a : a + 4].sum() for a in starts])
    contrasts = np.log(sums / 4) - np.log((total - sums) / 56)
    _, _, scale = stats.t.fit(contrasts, fdf=4, floc=0)
    expected = np.hypot(scale, FLOOR["log"])
    assert got.scale[s] == pytest.approx(expected, rel=0.01)


def test_a_footprint_fits_a_baseline_shorter_than_the_window_and_nine() -> None:
    x = noisy(0.2, 0.2, seed=3, spread=0.5)
    f = frame(baseline=TimeWindow(46 * STEP, 59 * STEP))  # 14 samples, two per bin
    got = compute_contrast(f, latency("front", x), Transform.LOG)
    for length in (2, 4):
        total = x[46:60].sum()
        sums = np.array([x[a : a + length].sum() for a in range(46, 60 - length + 1)])
        contrasts = np.log(sums / length) - np.log((total - sums) / (14 - length))
        fitted = np.hypot(_t4_scale(contrasts[:, None])[0], FLOOR["log"])
        expected = max(fitted, np.abs(contrasts).max() / stats.t.isf(0.5 / (len(contrasts) + 1), 4))
        same = f.last - f.first == length // 2
        np.testing.assert_allclose(got.scale[same], expected, rtol=1e-9)
    # Six samples would fit nine times only: longer footprints take the scale of four.
    np.testing.assert_allclose(got.scale[f.last - f.first > 2], expected, rtol=1e-9)
    assert not got.default_scale


def test_a_series_that_rests_but_for_a_rare_jump_may_jump_again() -> None:
    """One sample in 61 of the baseline doubles, and so does one in the window."""
    x = np.full(len(TIME), 0.2)
    rests = compute_contrast(frame(), latency("front", x), Transform.LOG)
    x[30] = 0.4
    jumps = compute_contrast(frame(), latency("front", x), Transform.LOG)
    one = int(np.argmin(frame().last - frame().first))
    assert rests.scale[one] == pytest.approx(FLOOR["log"])
    assert 1.2 * rests.scale[one] < jumps.scale[one] <= WIDEST * rests.scale[one]


def test_a_default_scale_is_told() -> None:
    f = frame(baseline=TimeWindow(50 * STEP, 59 * STEP))  # ten samples: two fit nine times
    assert compute_contrast(f, latency("front", noisy(1, 1)), Transform.LOG).default_scale
    assert not compute_contrast(frame(), latency("front", noisy(1, 1)), Transform.LOG).default_scale


def test_a_short_baseline_still_says_how_much_its_samples_vary() -> None:
    """Eq. 1: d is worth 4 observations, the bins outside and the few samples one less than each."""
    f = frame(baseline=TimeWindow(54 * STEP, 59 * STEP))
    x = noisy(0.2, 0.2, seed=4, spread=1.0)
    got = compute_contrast(f, latency("front", x), Transform.LOG)
    s = int(np.flatnonzero((f.first == 0) & (f.last == 3))[0])  # six samples, two per bin
    bins = np.log(x[60:].reshape(5, 2).mean(axis=1))
    default = 4 * (0.15**2 / 3 + 0.05**2)
    outside = np.var(bins[3:], ddof=1) / 3
    few = 5 * np.var(np.log(x[54:60]), ddof=1) * (1 / 6 + 1 / 6)
    expected = (default + outside + few) / (4 + 1 + 5) + 0.05**2
    assert got.scale[s] ** 2 == pytest.approx(expected, rel=1e-12)
    assert got.default_scale


@pytest.mark.parametrize("df", [1.5, 4.0, 100.0])
def test_the_em_scale_is_scipys_maximum_likelihood(df: float) -> None:
    samples = stats.t.rvs(df, size=(200, 3), random_state=5) * [0.1, 1.0, 30.0]
    expected = [stats.t.fit(c, fdf=4, floc=0)[2] for c in samples.T]
    np.testing.assert_allclose(_t4_scale(samples), expected, rtol=0.02)


def test_a_window_noisier_than_its_baseline_widens_the_scale() -> None:
    calm, wild = noisy(0.2, 0.2, spread=0.02), noisy(0.2, 0.2, spread=0.02)
    wild[INSIDE] *= np.exp(0.8 * np.random.default_rng(2).standard_normal(10))
    f = frame(**DISTANT)
    one, two = (compute_contrast(f, latency("front", x), Transform.LOG) for x in (calm, wild))
    assert (two.scale > 1.2 * one.scale).sum() > 5
    assert (two.scale >= one.scale * (1 - 1e-12)).all()


@pytest.mark.parametrize("baseline", [None, DISTANT["baseline"], TimeWindow(0.0, 59 * STEP)])
@pytest.mark.parametrize("value", [0.2, 1e-9, 1e9])
def test_a_constant_series_does_not_move(baseline: TimeWindow | None, value: float) -> None:
    f = frame(baseline=baseline)
    got = compute_contrast(f, latency("front", value), Transform.LOG)
    np.testing.assert_allclose(got.value, 0.0, atol=1e-12)
    assert (got.scale >= FLOOR["log"] * (1 - 1e-12)).all()
    assert np.isfinite(got.scale).all()


@pytest.mark.parametrize("baseline", [None, DISTANT["baseline"], TimeWindow(0.0, 59 * STEP)])
def test_zero_latency_is_missing_not_infinite(baseline: TimeWindow | None) -> None:
    x = noisy(0.2, 0.5)
    x[64:66] = 0.0
    got = compute_contrast(frame(baseline=baseline), latency("front", x), Transform.LOG)
    assert not np.isinf(got.value).any()
    assert np.isfinite(got.value).any()
    assert np.isfinite(got.scale).all()
    empty = compute_contrast(frame(baseline=baseline), latency("front", 0.0), Transform.LOG)
    assert np.isnan(empty.value).all()


def test_a_series_with_a_single_sample_in_the_window() -> None:
    x = np.where(INSIDE, np.nan, noisy(0.2, 0.2))
    x[65] = 0.9
    got = compute_contrast(frame(), latency("front", x), Transform.LOG)
    usual = np.nanmean(x[:60])
    seen = ~np.isnan(got.value)
    np.testing.assert_allclose(got.value[seen], np.log(0.9 / usual))
    f = frame()
    np.testing.assert_array_equal(seen, (f.first <= 2) & (f.last > 2))
    assert np.isfinite(got.scale).all()


def test_transforms() -> None:
    levels = np.array([-1.0, 0.0, 0.25, 1.0, 4.0])
    np.testing.assert_allclose(Transform.LOG(levels)[2:], np.log(levels[2:]))
    assert np.isnan(Transform.LOG(levels)[:2]).all()
    np.testing.assert_allclose(
        Transform.SHARE(levels), [0, 0, np.pi / 6, np.pi / 2, np.pi / 2], atol=1e-12
    )
    np.testing.assert_allclose(Transform.ROOT(levels)[1:], [0, 0.5, 1, 2])
    assert np.isnan(Transform.ROOT(levels)[0])
