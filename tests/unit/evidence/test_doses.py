from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayesrca.evidence.counts import CountLaws
from bayesrca.evidence.doses import compute_failure_dose, compute_time_dose
from bayesrca.evidence.series import Contrast


def contrast(
    value: float, scale: float = 0.1, reference: float = 0.2, weight: float = 500.0
) -> Contrast:
    parts = {"value": value, "scale": scale, "reference": reference, "weight": weight}
    parts["samples"] = 1.0
    arrays: dict[str, Any] = {name: np.array([float(x)]) for name, x in parts.items()}
    return Contrast(**arrays)


def counts(k: int, n: int = 100, p: float = 0.02) -> CountLaws:
    nan = np.array([np.nan])
    return CountLaws(
        log_quiet=nan,
        log_wide=nan,
        log_affected=nan,
        failed=np.array([float(k)]),
        requests=np.array([float(n)]),
        reference=np.array([p]),
        usual=np.array([[[1.0]], [[p]], [[1.0 - p]]]),
    )


def test_excess_time_is_requests_times_extra_seconds() -> None:
    dose = compute_time_dose(contrast(np.log(1.5)))
    assert dose.excess[0] == pytest.approx(500 * 0.1)  # .2 s became .3 s
    scale = np.sqrt(0.1**2 - 0.05**2 + 0.02**2)  # of the measurement, not of what is worth an alarm
    assert dose.noise[0] == pytest.approx(500 * 0.2 * scale)
    assert dose.log[0] == pytest.approx(np.log(50.0), abs=0.01)  # far above the noise
    softplus = np.log1p(np.exp(0.5 / scale))
    assert dose.log[0] == pytest.approx(np.log(100.0 * scale * softplus), rel=1e-12)


def test_milliseconds_are_brought_to_seconds() -> None:
    one = compute_time_dose(contrast(0.4, reference=0.2))
    two = compute_time_dose(contrast(0.4, reference=200.0), seconds=1e-3)
    for name in ("excess", "log", "noise", "jacobian", "low"):
        np.testing.assert_allclose(getattr(one, name), getattr(two, name), rtol=1e-12)


@given(z=st.floats(-60, 60), scale=st.floats(0.05, 1.0), base=st.floats(1e-6, 1e6))
def test_the_jacobian_is_the_slope_of_the_log_dose_in_z(
    z: float, scale: float, base: float
) -> None:
    def log_dose(at: float) -> float:
        return float(compute_time_dose(contrast(at * scale, scale, reference=base)).log[0])

    step = 1e-5 * max(1.0, abs(z))
    if abs(z) < 2 * step:
        return  # the slope is continuous there, its difference quotient is not as exact
    slope = (log_dose(z + step) - log_dose(z - step)) / (2 * step)
    got = compute_time_dose(contrast(z * scale, scale, reference=base)).jacobian[0]
    assert got > 0
    assert got == pytest.approx(slope, rel=2e-4)


def test_dose_and_contrast_are_one_to_one() -> None:
    z = np.linspace(-100, 100, 4001)
    many = np.ones_like(z)
    line = Contrast(value=0.1 * z, scale=0.1 * many, reference=many, weight=many, samples=many)
    dose = compute_time_dose(line)
    assert (np.diff(dose.log) > 0).all()
    at_two = compute_time_dose(contrast(2.0 * 0.1, 0.1, 1.0, 1.0)).log
    np.testing.assert_allclose(dose.low, at_two[0], rtol=1e-12)


@pytest.mark.parametrize("value", [-1e6, -800.0, 0.0, 600.0, 800.0, 1e6])
def test_extreme_contrasts_stay_finite(value: float) -> None:
    dose = compute_time_dose(contrast(value))
    assert np.isfinite(dose.log[0])
    assert np.isfinite(dose.jacobian[0])
    assert dose.jacobian[0] > 0


@pytest.mark.parametrize(
    "bad", [contrast(np.nan), contrast(0.1, weight=0.0), contrast(0.1, reference=np.nan)]
)
def test_undefined_doses_are_missing_altogether(bad: Contrast) -> None:
    dose = compute_time_dose(bad)
    for name in ("excess", "log", "noise", "jacobian", "low", "high"):
        assert np.isnan(getattr(dose, name)).all()


def test_count_intervals_tile_the_line() -> None:
    none, first, *doses = [compute_failure_dose(counts(k)) for k in range(101)]
    for name in ("log", "low", "high"):  # fewer than the two that are usual: no excess
        assert getattr(none, name)[0] == getattr(first, name)[0]
    assert none.excess[0] == first.excess[0] - 1
    doses = [first, *doses]
    assert doses[0].low[0] == -np.inf
    assert doses[-1].high[0] == np.inf
    for one, two in pairwise(doses):
        assert one.high[0] == pytest.approx(two.low[0], rel=1e-12)
        assert one.low[0] < one.log[0] < one.high[0]


def test_excess_failures_are_those_above_the_usual_share() -> None:
    dose = compute_failure_dose(counts(30))
    assert dose.excess[0] == pytest.approx(28.0)
    noise = np.sqrt(2 * 100 * 0.02 * 0.98 + 0.5)
    assert dose.noise[0] == pytest.approx(noise)
    assert dose.log[0] == pytest.approx(np.log(noise * np.log1p(np.exp(28 / noise))))
    assert np.isnan(dose.jacobian[0])
