"""Published probabilities mean what they say: simulation-based calibration (Talts et al. 2018).

Incidents are drawn from the model, the screen answers, and the truth must look like a draw from its
answer. The bounded form runs with the other tests; the full one by `make slow`, or

    python -m pytest tests/statistical -m slow

It sees errors that move probabilities, not every wrong term: with 1000 replicates, halving the
alarm's weight, ignoring dose noise or drawing untraced effects without doses goes unnoticed. Such
terms are pinned one by one against brute force (tests/property/test_likelihood_oracle.py).

Seeds and numbers of replicates were fixed before the first run. Ranks share a level of 1% and so do
the statistics of reliability, by their simultaneous envelope. What a run came to is printed by

    python -m tests.statistical.report --help
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from tests.statistical.calibration import (
    NONE_PRIOR,
    STATISTICS,
    Replicates,
    envelope,
    reliability,
    run,
    uniformity,
)

LEVEL = 0.01
TRIPLES = (0.8, 0.15, 0.05)
"""Prior of one, two and three causes."""
PROBABILITIES = tuple(name for name in STATISTICS if name.startswith("p("))
"""What has to hold of every answer."""


def check(replicates: Replicates) -> None:
    p_ranks = uniformity(replicates.ranks)
    assert p_ranks.min() > LEVEL / len(p_ranks), p_ranks
    check_answers(replicates)


def check_answers(replicates: Replicates, judged: Sequence[str] = STATISTICS) -> None:
    observed, expected = reliability(replicates)
    at = [STATISTICS.index(name) for name in judged]
    found = envelope(observed[at], expected[:, at])
    assert found.p > LEVEL, list(zip(judged, observed[at], found.low, found.high, strict=True))
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


def test_the_screen_is_calibrated_where_there_may_be_three_causes() -> None:
    """On systems so small that all sets are weighed."""
    replicates = run(seed=20_256, n=200, sizes=(3, 4), causes=TRIPLES)
    assert all(isinstance(truth, int) for truth in replicates.truth)
    check(replicates)


@pytest.mark.slow
def test_the_screen_is_calibrated_over_many_sets_of_three_causes() -> None:
    replicates = run(seed=20_257, n=2000, points=64, sizes=(3, 4), causes=TRIPLES)
    assert all(isinstance(truth, int) for truth in replicates.truth)
    check(replicates)


@pytest.mark.slow
def test_probabilities_hold_where_only_the_best_sets_are_weighed() -> None:
    """A set that was left out counts as impossible, so the log score cannot hold."""
    replicates = run(seed=20_259, n=600, points=64, sizes=(8, 60), causes=TRIPLES)
    check_answers(replicates, PROBABILITIES)


def test_probabilities_hold_where_cells_have_some_correlated_series() -> None:
    check_answers(run(seed=20_258, n=150, most=12, correlation=0.9), PROBABILITIES)


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_probabilities_hold_where_cells_have_many_series(correlation: float) -> None:
    """Up to twelve series in a cell, whose quiet density is a composite: theta's ranks lean and the
    log score with them, p(cause) and p(none) may not."""
    replicates = run(seed=20_253, n=600, points=64, most=12, correlation=correlation)
    check_answers(replicates, PROBABILITIES)


def test_the_test_can_fail() -> None:
    """Answers that claim too much, or ignore the data, are found out at the same sizes."""
    replicates = run(seed=20_252, n=200)
    sharper = [_sharpen(log_p, 1.6) for log_p in replicates.log_probability]
    observed, expected = reliability(_replace(replicates, sharper))
    assert envelope(observed, expected).p < LEVEL
    prior = [_prior(log_p) for log_p in replicates.log_probability]
    observed, expected = reliability(_replace(replicates, prior))
    assert envelope(observed, expected).p < LEVEL


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


def test_the_envelope_holds_a_calibrated_answer() -> None:
    """Of all statistics together, with the probability asked for."""
    rng = np.random.default_rng(4)
    law = rng.poisson([0.3, 5.0, 80.0], (20_000, 3)).astype(np.float64)
    trials = rng.poisson([0.3, 5.0, 80.0], (2000, 3)).astype(np.float64)
    found = [envelope(x, law, level=0.9) for x in trials[:100]]
    inside = ((trials >= found[0].low) & (trials <= found[0].high)).all(axis=1).mean()
    assert 0.88 < inside < 0.97  # counts are coarse
    for x, one in zip(trials, found, strict=False):
        assert ((one.low <= x) & (x <= one.high)).all() == (one.p > 0.1) or abs(one.p - 0.1) < 0.03


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
