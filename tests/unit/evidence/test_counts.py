import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import integrate, stats
from scipy.special import expit, logit

from bayesrca.evidence.counts import MOST_TERMS, CountLaws, compute_count_laws
from bayesrca.evidence.frame import Frame
from bayesrca.incident import TimeWindow

Floats = NDArray[np.float64]


def frame() -> Frame:
    """Two bins, the first of which is the only footprint."""
    return Frame(
        window=TimeWindow(0.0, 2.0),
        baseline=None,
        edges=np.array([0.0, 1.0, 2.0]),
        first=np.array([0]),
        last=np.array([1]),
        against_baseline=False,
    )


def laws(
    k: float, n: float, k_rest: float, n_rest: float, normal: tuple[Floats, Floats] | None = None
) -> CountLaws:
    failed, requests = normal or (np.zeros(0), np.zeros(0))
    both = np.array([k, k_rest], dtype=float), np.array([n, n_rest], dtype=float)
    return compute_count_laws(frame(), *both, failed, requests)


def normal(seed: int = 0, m: int = 40, a: float = 2.0, b: float = 80.0) -> tuple[Floats, Floats]:
    requests = np.full(m, 100.0)
    failed = stats.betabinom.rvs(100, a, b, size=m, random_state=seed)
    return failed.astype(float), requests


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, MOST_TERMS),
    n_rest=st.integers(0, 200),
    share=st.floats(0, 1),
    with_baseline=st.booleans(),
)
def test_every_law_sums_to_one(n: int, n_rest: int, share: float, with_baseline: bool) -> None:
    k_rest = round(share * n_rest)
    base = normal() if with_baseline else None
    every = [laws(k, n, k_rest, n_rest, base) for k in range(n + 1)]
    less = [x for x in every if x.no_excess[0]]
    assert {x.read[0] for x in less} <= {len(less) - 1.0}
    every = every[max(len(less) - 1, 0) :]  # the former are one event
    for name in ("log_quiet", "log_wide", "log_affected"):
        total = sum(np.exp(getattr(x, name)[0]) for x in every)
        assert total == pytest.approx(1.0, abs=1e-9), name


@pytest.mark.parametrize(("n", "tolerance"), [(400, 1e-9), (20_000, 0.002)])
def test_fewer_failures_than_usual_are_one_event(n: int, tolerance: float) -> None:
    few, fewer = laws(3, n, 10, 100), laws(1, n, 10, 100)
    for name in ("log_quiet", "log_wide", "log_affected", "read"):
        assert getattr(few, name)[0] == getattr(fewer, name)[0]
    most = int(few.read[0])
    assert most < n * few.reference[0] <= most + 1
    assert np.exp(few.log_wide[0]) == pytest.approx(
        stats.betabinom.cdf(most, n, 0.5, 2.0), rel=tolerance
    )
    w, a, b = few.usual[:, :, 0]
    assert np.exp(few.log_quiet[0]) == pytest.approx(
        w @ stats.betabinom.cdf(most, n, a, b), rel=tolerance
    )
    assert few.log_affected[0] < few.log_quiet[0] - 2


def test_wide_law_is_a_beta_binomial() -> None:
    got = laws(7, 50, 0, 0).log_wide[0]
    assert got == pytest.approx(stats.betabinom.logpmf(7, 50, 0.5, 2.0), rel=1e-10)


def test_quiet_law_is_the_predictive_of_a_mixture_of_betas() -> None:
    k, n, k_rest, n_rest = 5, 60, 2.0, 90.0
    priors = np.array([[0.3, 15.0], [0.5, 0.5]])
    weights = np.array([0.25, 0.05]) / 0.30  # no baseline: its fit has no weight

    def density(p: float) -> float:
        prior = weights @ stats.beta.pdf(p, priors[:, 0], priors[:, 1])
        return float(prior * p ** (k_rest / 2) * (1 - p) ** ((n_rest - k_rest) / 2))

    def integral(f: Callable[[float], float]) -> float:
        cuts = [0.001, 0.02, 0.05, 0.2]
        whole = integrate.quad(lambda p: density(p) * f(p), 0, 1, points=cuts, limit=200)
        return float(whole[0])

    mass = integral(lambda _: 1.0)
    both = integral(lambda p: float(stats.binom.pmf(k, n, p)))
    mean = integral(lambda p: p) / mass
    got = laws(k, n, k_rest, n_rest)
    assert got.log_quiet[0] == pytest.approx(np.log(both / mass), rel=1e-4)
    assert got.reference[0] == pytest.approx(mean, rel=1e-4)


def test_affected_law_is_a_log_normal_rise_of_the_log_odds() -> None:
    k, n = 12, 80
    got = laws(k, n, 4, 400)

    x = np.linspace(-6, 6, 6001)
    p = np.clip(expit(logit(got.reference[0]) + np.exp(np.log(2.5) + 0.6 * x)), 1e-9, 1 - 1e-9)
    pmf = stats.betabinom.pmf(k, n, 40 * p, 40 * (1 - p))
    expected = np.trapezoid(stats.norm.pdf(x) * pmf, x)
    assert got.log_affected[0] == pytest.approx(np.log(expected), abs=0.05)  # 12 nodes


def test_a_baseline_tells_the_usual_share_and_its_spread() -> None:
    got = laws(2, 100, 0, 0, normal(m=400))
    # A thousand draws of Beta(2, 80) binomials: the fit has .70, the rest is not far.
    assert got.reference[0] == pytest.approx(0.7 * 2 / 82 + 0.25 * 0.3 / 15.3 + 0.05 * 0.5, rel=0.1)
    calm = laws(12, 100, 0, 0, (np.full(40, 2.0), np.full(40, 100.0)))
    wild = laws(12, 100, 0, 0, normal(a=0.5, b=20.0))
    assert wild.log_quiet[0] > calm.log_quiet[0] + 0.5


def test_beside_an_adjacent_baseline_the_rest_of_the_window_says_nothing() -> None:
    near = dataclasses.replace(frame(), against_baseline=True)
    calm = np.full(40, 2.0), np.full(40, 100.0)

    def compute(rest: float, normal: tuple[Floats, Floats]) -> CountLaws:
        return compute_count_laws(near, np.array([30.0, rest]), np.full(2, 100.0), *normal)

    quiet, failing = compute(2.0, calm), compute(60.0, calm)
    assert quiet.log_quiet[0] == failing.log_quiet[0]
    assert quiet.reference[0] == pytest.approx(0.02, rel=0.05)
    assert failing.log_affected[0] > failing.log_quiet[0] + 3
    few = calm[0][:9], calm[1][:9]
    assert compute(60.0, few).reference[0] > 0.3  # then the rest of the window is all there is


def test_few_baseline_samples_say_nothing() -> None:
    few = laws(3, 50, 1, 80, (np.full(9, 5.0), np.full(9, 10.0)))
    none = laws(3, 50, 1, 80)
    assert few.log_quiet[0] == none.log_quiet[0]


def test_no_request_is_no_evidence() -> None:
    got = laws(0, 0, 1, 50)
    for name in ("log_quiet", "log_wide", "log_affected", "failed", "requests"):
        assert np.isnan(getattr(got, name)[0])
    assert 0 < got.reference[0] < 1


@pytest.mark.parametrize(
    ("k", "n", "k_rest", "n_rest"),
    [(0, 1, 0, 0), (1, 1, 1, 1), (10**6, 10**6, 0, 10**6), (0, 10**7, 10**6, 10**6), (0, 1, 0, 1)],
)
def test_extreme_counts_stay_finite(k: int, n: int, k_rest: int, n_rest: int) -> None:
    for base in (None, (np.zeros(40), np.full(40, 1e4)), (np.full(40, 1e4), np.full(40, 1e4))):
        got = laws(k, n, k_rest, n_rest, base)
        for name in ("log_quiet", "log_wide", "log_affected"):
            value = getattr(got, name)[0]
            assert np.isfinite(value)
            assert value <= 0.0
        assert 0 < got.reference[0] < 1
