"""Published probabilities mean what they say: simulation-based calibration (Talts et al. 2018).

Incidents are drawn from the model, the screen answers, and the truth must look like a draw from its
answer. The bounded form runs with the other tests; the full one by `make slow`, or

    python -m pytest tests/statistical -m slow

It sees errors that move probabilities, not every wrong term: with 1000 replicates, halving the
alarm's weight, ignoring dose noise or drawing untraced effects without doses goes unnoticed. Such
terms are pinned one by one against brute force (tests/property/test_likelihood_oracle.py).

Seeds and numbers of replicates were fixed before the first run. A level of 1% is shared by all
statistics of a test.
"""

from dataclasses import replace

import numpy as np
import pytest

from tests.statistical.calibration import (
    NONE_PRIOR,
    Replicates,
    reliability,
    run,
    two_sided,
    uniformity,
)

LEVEL = 0.01


def check(replicates: Replicates) -> None:
    p_ranks = uniformity(replicates.ranks)
    assert p_ranks.min() > LEVEL / len(p_ranks), p_ranks
    check_answers(replicates)


def check_answers(replicates: Replicates) -> None:
    observed, expected = reliability(replicates)
    p_answers = two_sided(observed, expected)
    assert p_answers.min() > LEVEL / len(p_answers), (observed, expected.mean(axis=0))
    # k-hat belongs to the proposal, not to calibration; most screens must be usable all the same.
    assert (replicates.pareto_k < 0.7).mean() > 0.95


def test_the_screen_is_calibrated() -> None:
    check(run(seed=20_250, n=200))


@pytest.mark.slow
def test_the_screen_is_calibrated_over_many_incidents() -> None:
    check(run(seed=20_251, n=2000, points=64))


@pytest.mark.slow
def test_the_screen_is_calibrated_on_larger_systems() -> None:
    check(run(seed=20_254, n=600, points=64, sizes=(8, 60)))


@pytest.mark.slow
def test_the_screen_is_calibrated_where_there_may_be_two_causes() -> None:
    """On systems so small that all pairs are weighed; larger ones weigh the best only."""
    check(run(seed=20_255, n=1000, points=64, sizes=(5, 7), causes=(0.8 / 0.95, 0.15 / 0.95)))


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_answers_hold_where_vitals_have_many_series(correlation: float) -> None:
    """Up to twelve series in a cell, whose quiet density is a composite: theta's ranks may lean,
    probabilities of causes may not."""
    check_answers(run(seed=20_253, n=600, most=12, correlation=correlation))


def test_the_test_can_fail() -> None:
    """Answers that claim too much, or ignore the data, are found out at the same sizes."""
    replicates = run(seed=20_252, n=200)
    sharper = [_sharpen(log_p, 1.6) for log_p in replicates.log_probability]
    observed, expected = reliability(_replace(replicates, sharper))
    assert two_sided(observed, expected).min() < LEVEL / observed.size
    prior = [_prior(log_p) for log_p in replicates.log_probability]
    observed, expected = reliability(_replace(replicates, prior))
    assert two_sided(observed, expected).min() < LEVEL / observed.size


def test_ranks_that_lean_are_found_out() -> None:
    """The band holds uniform ranks, and neither a shifted nor a narrow posterior's."""
    rng = np.random.default_rng(3)
    draws = rng.standard_normal((200, 63, 4))
    truth = np.column_stack(
        [rng.standard_normal((200, 2)), rng.normal(0.4, 1.0, 200), rng.normal(0.0, 1.6, 200)]
    )
    p = uniformity((draws < truth[:, None, :]).sum(axis=1))
    assert (p[:2] > LEVEL).all()
    assert (p[2:] < LEVEL / 30).all()


def _replace(replicates: Replicates, log_probability: list[np.ndarray]) -> Replicates:
    return replace(replicates, log_probability=log_probability)


def _sharpen(log_p: np.ndarray, power: float) -> np.ndarray:
    out = power * log_p
    return np.asarray(out - np.logaddexp.reduce(out))


def _prior(log_p: np.ndarray) -> np.ndarray:
    """Twice as much "none of these" as there is, and no idea of the rest."""
    n = len(log_p) - 1
    none = 2 * NONE_PRIOR
    return np.log(np.append(np.full(n, (1 - none) / n), none))
