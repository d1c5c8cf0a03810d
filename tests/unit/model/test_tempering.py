"""Tempering hypotheses: against the formula written out component by component."""

import numpy as np
import pytest

from bayesrca.kernels.propagation import KINDS
from bayesrca.model.draws import Draws
from bayesrca.model.tempering import temper

N, K = 3, len(KINDS)
NONE_PRIOR = 0.2


def log_prior(sets: int) -> np.ndarray:
    """Weights of components, of sets and of "none of these", all different."""
    return np.log([*(0.1, 0.2, 0.25), *np.full(sets, 0.03), NONE_PRIOR])


def make_draws(sets: int, seed: int = 0) -> Draws:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(N * K + sets + 1, 0.4), size=(2, 5))
    return Draws(
        thetas=np.zeros((2, 5, 1)),
        log_weights=np.zeros((2, 5)),
        log_root=np.log(p),
        log_likelihood=np.zeros((2, 5)),
    )


@pytest.mark.parametrize("sets", [0, 4])
@pytest.mark.parametrize("gamma", [0.3, 0.9])
def test_outcomes_are_flattened_towards_their_prior(sets: int, gamma: float) -> None:
    draws = make_draws(sets)
    prior = np.exp(log_prior(sets))
    found = np.exp(temper(draws, gamma, log_prior(sets)).log_root)
    for at in np.ndindex(2, 5):
        p = np.exp(draws.log_root[at])
        singles = [p[K * i : K * i + K].sum() for i in range(N)]
        weights = [s**gamma * prior[i] ** (1 - gamma) for i, s in enumerate(singles)]
        weights += [x**gamma * 0.03 ** (1 - gamma) for x in p[N * K : N * K + sets]]
        weights.append(p[-1] ** gamma * NONE_PRIOR ** (1 - gamma))
        total = sum(weights)
        expected = [
            weights[i] / total * p[K * i + k] / singles[i] for i in range(N) for k in range(K)
        ]
        expected += [w / total for w in weights[N:]]
        np.testing.assert_allclose(found[at], expected, rtol=1e-12)


def test_gamma_one_changes_nothing() -> None:
    draws = make_draws(0)
    assert temper(draws, 1.0, log_prior(0)) is draws


def test_an_impossible_component_stays_impossible() -> None:
    draws = make_draws(0)
    draws.log_root[..., :K] = -np.inf
    found = temper(draws, 0.5, log_prior(0)).log_root
    assert np.all(found[..., :K] == -np.inf)
    np.testing.assert_allclose(np.exp(found).sum(axis=-1), 1.0)
