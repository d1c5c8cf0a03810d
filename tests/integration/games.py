"""Games of 24 players, too many to enumerate for less than sampling costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesrca.attribution import (
    CallTreeGame,
    ExcessFlowGame,
    Game,
    GaussianTailGame,
    LiveEdgeGame,
    NoisyOrGame,
    NonlinearTailGame,
    SampledTailGame,
)


def make_games(n: int = 24, samples: int = 400) -> Mapping[str, Game]:
    """One game of each kind, by the name of the request's field."""
    rng = np.random.default_rng(5)
    edges = [(i, j) for j in range(1, n) for i in range(j) if i == j - 1 or rng.random() < 0.1]
    e, names = len(edges), [f"service {i}" for i in range(n)]
    noise = rng.normal(size=(samples, n))
    tail: dict[str, Any] = {
        "edges": edges,
        "weights": rng.uniform(0.2, 0.6, e),
        "target": names[-1],
        "observed_noise": rng.normal(0.6, 1.0, n),
        "players": names,
    }
    failure: dict[str, Any] = {
        "transmission": rng.uniform(0.1, 0.6, e),
        "target": n - 1,
        "leak": np.full(n, 0.005),
        "activation": rng.uniform(0.1, 0.9, n),
    }
    return {
        "sampled_tail": SampledTailGame(**tail, baseline_noise=noise),
        "gaussian_tail": GaussianTailGame(
            **tail, baseline_mean=np.zeros(n), baseline_sd=np.ones(n), tail="lower"
        ),
        "nonlinear_tail": NonlinearTailGame(**tail, baseline_noise=noise, slope=np.full(n, 0.3)),
        "noisy_or": NoisyOrGame(**failure, edges=edges, players=names),
        "live_edge": LiveEdgeGame(**failure, edges=[*edges[1:], (n - 1, 0)]),
        "call_tree": CallTreeGame(
            parent=[-1, *(int(rng.integers(0, i)) for i in range(1, n))],
            stage=rng.integers(0, 3, n),
            baseline=rng.uniform(1, 2, n),
            observed=rng.uniform(1, 9, n),
            players=names,
        ),
        "excess_flow": ExcessFlowGame(
            calls=[(j, i) for i, j in edges],
            weights=rng.uniform(0, 1, e),
            target=n - 1,
            dose=rng.normal(3, 2, n),
            dose_sd=np.ones(n),
            players=names,
        ),
    }
