"""The screen: same bits, honest errors, the right answer, and a way to stop it."""

import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from arviz_stats.base.array import array_stats
from numpy.typing import NDArray
from scipy import stats

from bayesrca.errors import CancelledError, InvalidEvidenceError, KernelError
from bayesrca.evidence import Evidence
from bayesrca.kernels.propagation import (
    KINDS,
    PreparedLikelihood,
    ScreenDraws,
    compute_pareto_k,
)
from bayesrca.model.parameters import unconstrained_prior
from tests.oracle.incidents import empty_table, make_evidence, random_evidence

Floats = NDArray[np.float64]
MEAN, SD = unconstrained_prior()


def tiny() -> Evidence:
    """A slow component, its slow caller, and an untouched one."""
    table = empty_table(
        3,
        1,
        np.array([[0, 1], [2, 1]]),
        series_component=np.arange(3),
        z=np.array([[9.0], [6.0], [0.4]]),
        dose=np.array([[3.0], [2.8], [-1.0]]),
        dose_noise=np.array([[1.0], [1.5], [0.5]]),
        dose_jacobian=np.array([[0.3], [0.3], [0.8]]),
        dose_low=np.array([[1.0], [1.2], [0.1]]),
    )
    return make_evidence((table, empty_table(3, 1)), target=1, alarm_family=0)


def screen(evidence: Evidence, **options: Any) -> ScreenDraws:  # noqa: ANN401
    defaults: dict[str, Any] = {
        "prior_mean": MEAN,
        "prior_sd": SD,
        "scrambles": 16,
        "points": 32,
        "seed": 5,
    }
    with PreparedLikelihood(evidence, none_prior=0.05, max_width=14) as likelihood:
        return likelihood.estimate_screen(**(defaults | options))


def normalised(log_weights: Floats) -> Floats:
    w = np.exp(log_weights - log_weights.max())
    return np.asarray(w / w.sum())


@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
def test_same_seed_same_bits_for_any_number_of_threads(seed: int) -> None:
    evidence = random_evidence(np.random.default_rng(4))
    one, two, again = (screen(evidence, seed=seed, threads=t) for t in (1, 2, 1))
    for name in ("thetas", "log_weights", "log_root", "log_likelihood"):
        assert getattr(one, name).tobytes() == getattr(two, name).tobytes()
        assert getattr(one, name).tobytes() == getattr(again, name).tobytes()
    other = screen(evidence, seed=seed ^ 1)
    assert other.thetas.tobytes() != one.thetas.tobytes()


def test_shapes_and_rows() -> None:
    draws = screen(tiny(), scrambles=4, points=8)
    assert draws.thetas.shape == (32, len(MEAN))
    assert draws.log_root.shape == (32, 3 * len(KINDS) + 1)
    assert draws.log_weights.shape == draws.log_likelihood.shape == (32,)
    np.testing.assert_allclose(np.logaddexp.reduce(draws.log_root, axis=1), 0.0, atol=1e-12)


def test_a_tenth_of_the_draws_bounds_the_weights() -> None:
    """3 of 32 points come from the prior, so no weight exceeds 32/3 times the likelihood."""
    draws = screen(tiny())
    assert (draws.log_weights - draws.log_likelihood).max() <= np.log(32 / 3) + 1e-9


def test_expectations_agree_with_a_long_brute_force_run() -> None:
    evidence = tiny()
    points = stats.qmc.Sobol(len(MEAN), seed=11).random_base2(17)
    thetas = MEAN + SD * stats.norm.ppf(np.clip(points, 1e-12, 1 - 1e-12))
    with PreparedLikelihood(evidence, none_prior=0.05, max_width=14) as likelihood:
        log_root, logp = likelihood.compute_root_log_posterior(thetas, threads=2)
    reference_weights = normalised(logp)
    assert 1 / (reference_weights**2).sum() > 20_000  # the prior is a good proposal here
    reference = reference_weights @ np.hstack([thetas, np.exp(log_root)])

    draws = screen(evidence, scrambles=32, points=256, threads=2)
    values = np.hstack([draws.thetas, np.exp(draws.log_root)])
    weights = np.exp(draws.log_weights - draws.log_weights.max())
    estimate = weights @ values / weights.sum()
    # Error of the ratio by its influence values, one per scramble.
    influence = (weights[:, None] * (values - estimate)).reshape(32, 256, -1).sum(axis=1)
    mcse = np.sqrt(32 * (influence**2).sum(axis=0) / 31) / weights.sum()
    assert (np.abs(estimate - reference) < 4 * mcse + 1e-4).all(), (estimate - reference) / mcse
    assert mcse[len(MEAN) :].max() < 0.01
    assert draws.pareto_k < 0.7


def arviz_k_hat(log_weights: Floats) -> float:
    # It takes log likelihoods of left-out points, whose weights are their inverses.
    _, k_hat = array_stats.psislw(-log_weights)
    return float(k_hat)


@pytest.mark.parametrize("seed", range(6))
def test_k_hat_is_arvizs(seed: int) -> None:
    # ArviZ rounds the tail of 3 sqrt(draws) down, the paper up: take draws that leave no choice.
    evidence = random_evidence(np.random.default_rng(seed))
    log_weights = screen(evidence, points=64, seed=seed).log_weights
    assert compute_pareto_k(log_weights) == pytest.approx(arviz_k_hat(log_weights), abs=1e-6)


@pytest.mark.parametrize("shape", [0.1, 0.4, 0.7, 1.2])
def test_k_hat_is_arvizs_on_pareto_samples(shape: float) -> None:
    log_weights = np.log1p(stats.genpareto.rvs(shape, size=2500, random_state=3))
    assert compute_pareto_k(log_weights) == pytest.approx(arviz_k_hat(log_weights), abs=1e-6)


def test_cancelled_stops() -> None:
    calls = []

    def now() -> bool:
        calls.append(1)
        return len(calls) > 2

    with pytest.raises(CancelledError):
        screen(tiny(), scrambles=64, points=4096, cancelled=now)
    assert len(calls) == 3  # asked no more once told to stop


def raising(error: BaseException) -> Callable[[], bool]:
    def ask() -> bool:
        raise error

    return ask


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, ValueError])
@pytest.mark.parametrize("threads", [1, 2])
def test_an_exception_in_cancelled_comes_out(kind: type[BaseException], threads: int) -> None:
    with pytest.raises(kind, match="stop"):
        screen(tiny(), points=1024, threads=threads, cancelled=raising(kind("stop")))


def test_never_cancelled_changes_nothing() -> None:
    one, two = screen(tiny()), screen(tiny(), cancelled=lambda: False)
    assert one.log_weights.tobytes() == two.log_weights.tobytes()


def test_the_screen_may_be_interrupted_by_a_signal() -> None:
    def handler(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with pytest.raises(KeyboardInterrupt):
            screen(random_evidence(np.random.default_rng(9)), scrambles=16, points=1 << 14)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(
    "options",
    [
        {"scrambles": 1},
        {"points": 1},
        {"points": 1 << 17},
        {"prior_sd": np.zeros_like(SD)},
        {"prior_mean": np.full_like(SD, np.nan)},
    ],
)
def test_bad_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidEvidenceError):
        screen(tiny(), **options)


def test_a_released_likelihood_is_refused() -> None:
    with PreparedLikelihood(tiny(), none_prior=0.05, max_width=14) as likelihood:
        pass
    with pytest.raises(KernelError):
        likelihood.estimate_screen(prior_mean=MEAN, prior_sd=SD, scrambles=4, points=8, seed=0)
