"""The exponent from held-out scores."""

import numpy as np
import pytest

from bayesrca.evaluation.learn_gamma import GAMMAS, choose_gamma, compute_tempered_scores
from bayesrca.evaluation.scores import FLOOR


def sharp_answers(temperature: float, n: int, seed: int) -> np.ndarray:
    """Scores [n, g] of answers whose true law is theirs to the power `temperature`."""
    rng = np.random.default_rng(seed)
    scores = []
    for _ in range(n):
        log_p = 4.0 * rng.standard_normal(6)
        log_p[-1] = np.log(0.05)
        honest = np.exp(temperature * log_p)
        truth = rng.choice(5, p=honest[:5] / honest[:5].sum())
        log_p = log_p - np.logaddexp.reduce(log_p)
        scores.append(
            compute_tempered_scores(log_p[None], np.ones(1), int(truth), np.full(6, -np.log(6.0)))
        )
    return np.array(scores)


def test_answers_that_claim_too_much_are_tempered() -> None:
    gamma = choose_gamma(sharp_answers(0.4, 400, 1))
    assert gamma.value == gamma.estimate == pytest.approx(0.4, abs=0.1)
    assert 0.01 < gamma.std_err < 0.1
    assert gamma.gain > 2 * gamma.gain_std_err


def test_honest_answers_are_left_alone() -> None:
    assert choose_gamma(sharp_answers(1.0, 400, 2)).value == 1.0


def test_the_standard_error_is_that_of_repeated_experiments() -> None:
    repeats = [choose_gamma(sharp_answers(0.5, 100, seed)) for seed in range(40)]
    spread = np.std([g.estimate for g in repeats])
    assert np.median([g.std_err for g in repeats]) == pytest.approx(spread, rel=0.35)


def test_weak_evidence_leaves_gamma_at_one() -> None:
    gamma = choose_gamma(sharp_answers(0.4, 8, 6))
    assert gamma.estimate < 1.0
    assert gamma.gain < 2 * gamma.gain_std_err
    assert gamma.value == 1.0


def test_scores_average_probabilities_over_draws() -> None:
    p = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3]])
    found = compute_tempered_scores(np.log(p), np.array([0.25, 0.75]), 1, np.log([0.4, 0.4, 0.2]))
    assert found[-1] == pytest.approx(np.log(0.25 * 0.2 + 0.75 * 0.6))
    g = GAMMAS[10]
    powered = p**g * np.array([0.4, 0.4, 0.2]) ** (1 - g)
    powered /= powered.sum(axis=1, keepdims=True)
    assert found[10] == pytest.approx(np.log(np.array([0.25, 0.75]) @ powered[:, 1]))


def test_scores_are_floored() -> None:
    log_p = np.log(np.array([[1e-12, 1.0 - 2e-12, 1e-12]]))
    found = compute_tempered_scores(log_p, np.ones(1), 0, np.log([0.4, 0.4, 0.2]))
    assert found[-1] == pytest.approx(np.log(FLOOR))
    assert found[0] > found[-1]
