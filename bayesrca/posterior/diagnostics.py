"""Whether the draws can be believed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesrca.kernels.propagation import PreparedLikelihood
from bayesrca.model.draws import Draws
from bayesrca.model.parameters import parameter_names
from bayesrca.posterior.limits import (
    ESS_LIMIT,
    PARETO_K_LIMIT,
    PRIOR_DISTANCE_LIMIT,
    R_HAT_LIMIT,
    SUM_ERROR_LIMIT,
)
from bayesrca.posterior.result import Diagnostics
from bayesrca.posterior.summary import RootProbabilities

Floats = NDArray[np.float64]
Prior = tuple[Floats, Floats]

LEADING_PROBABILITY = 0.01
"""Hypotheses at least this probable lead."""
WATCHED_PROBABILITY = 1e-3
"""Probabilities below this are not checked for convergence: nothing acts on them."""


def compute_diagnostics(
    draws: Draws,
    root: RootProbabilities,
    *,
    reruns: int,
    max_width: int,
    estimated_sets: int = 0,
    sum_error: float = 0.0,
) -> Diagnostics:
    """Apply the health gates (Vehtari et al. 2021 for chains, 2024 for importance weights).

    Parameters far outside their prior fail at either speed: the sum over hypotheses may be right to
    the last digit, but of a model made for other telemetry than this.

    Args:
        draws: draws of either speed.
        root: probabilities per draw.
        reruns: times the sampler was run again.
        max_width: components open at once in the exact sum.
        estimated_sets: sums over affected sets that are estimated.
        sum_error: see `compute_sum_error`.
    """
    common = _sum_problems(sum_error) + _far_from_prior(draws)
    shared: dict[str, Any] = {
        "max_width": max_width,
        "estimated_sets": estimated_sets,
        "sum_error": sum_error,
    }
    if draws.is_screen:
        return _screen(draws, reruns, common, shared)
    watched = [
        root.by_draw[..., root.values > WATCHED_PROBABILITY],
        root.sets_by_draw[..., root.sets.values > WATCHED_PROBABILITY],
    ]
    columns = np.concatenate([draws.thetas, *watched], axis=-1)
    r_hat, ess = _chains(columns)
    divergences = draws.divergences or 0
    problems = []
    if np.isinf(r_hat):
        problems.append("R-hat is undefined: it takes two chains of several draws that move")
    elif not r_hat < R_HAT_LIMIT:
        problems.append(f"R-hat {r_hat:.3f} is not below {R_HAT_LIMIT}: the chains disagree")
    if not ess > ESS_LIMIT:
        problems.append(f"effective sample size {ess:.0f} is not above {ESS_LIMIT:.0f}")
    if divergences:
        problems.append(f"{divergences} divergent transitions: part of the posterior was missed")
    problems += common
    return Diagnostics(
        healthy=not problems,
        problems=tuple(problems),
        n_draws=draws.thetas.shape[0] * draws.thetas.shape[1],
        n_chains=draws.thetas.shape[0],
        r_hat=r_hat,
        ess=ess,
        divergences=divergences,
        e_bfmi=_e_bfmi(draws),
        pareto_k=None,
        reruns=reruns,
        **shared,
    )


def compute_sum_error(draws: Draws, likelihood: PreparedLikelihood) -> float:
    """Largest standard error of a leading hypothesis' log joint, from estimated sums.

    Taken at the draws' mean theta, where leading hypotheses are those with at least 1 %; 0 where
    all sums are exact. An estimated sum's logarithm is low by half its squared error besides.

    Args:
        draws: draws of either speed.
        likelihood: what they were drawn from.
    """
    if likelihood.n_estimated == 0:
        return 0.0
    mean = draws.mean
    log_root, _ = likelihood.compute_root_log_posterior(mean[None])
    leading = log_root[0] >= np.log(LEADING_PROBABILITY)
    return float(likelihood.compute_sum_errors(mean)[leading].max(initial=0.0))


def note_sums(found: Diagnostics, max_width: int) -> list[str]:
    """Say in words that sums were estimated; nothing where all are exact."""
    if found.estimated_sets == 0:
        return []
    return [
        f"{found.estimated_sets} sums over the sets of components a fault may have affected would "
        f"hold open more than {max_width} components and were estimated; the leading hypotheses' "
        f"log probabilities are uncertain by up to {found.sum_error:.2g} for it (standard error)."
    ]


def _screen(draws: Draws, reruns: int, common: list[str], shared: dict[str, Any]) -> Diagnostics:
    k = draws.pareto_k if draws.pareto_k is not None else float("inf")
    problems = []
    if not k < PARETO_K_LIMIT:
        problems.append(
            f"Pareto k-hat {k:.2f} is not below {PARETO_K_LIMIT}: a few draws carry the answer; "
            "use NUTS (--method nuts)"
        )
    problems += common
    w = draws.weights
    return Diagnostics(
        healthy=not problems,
        problems=tuple(problems),
        n_draws=w.size,
        n_chains=0,
        r_hat=None,
        ess=float(1.0 / (w**2).sum()),
        divergences=None,
        e_bfmi=None,
        pareto_k=float(k),
        reruns=reruns,
        **shared,
    )


def _sum_problems(sum_error: float) -> list[str]:
    if sum_error <= SUM_ERROR_LIMIT:
        return []
    return [
        f"estimated sums leave a leading hypothesis' log probability uncertain by {sum_error:.2f}, "
        f"more than {SUM_ERROR_LIMIT}: raise max_width (--max-width), or leave out edges a fault "
        "cannot travel"
    ]


def _far_from_prior(draws: Draws) -> list[str]:
    """One problem for each parameter whose posterior mean lies far outside its prior."""
    mean = draws.mean
    return [
        f"parameter {name} lies {d:.1f} prior standard deviations from anything the model was "
        "made for"
        for name, d in zip(parameter_names(), _prior_distances(mean, draws.prior), strict=True)
        if not d <= PRIOR_DISTANCE_LIMIT
    ]


def _prior_distances(mean: Floats, prior: Prior) -> Floats:
    """Distance of posterior means [p] from the prior's centres, in prior standard deviations, [p].

    Calm vitals have lighter tails than any Lomax law, which then tends to an exponential one: its
    index and scale grow together, without end in large systems. That is harmless. Only a heavier
    tail counts, and of the scale what the index does not explain.
    """
    centre, sd = prior
    shift = mean - centre
    distance = np.abs(shift) / sd
    scale, index = (parameter_names().index(n) for n in ("vital_scale", "vital_index"))
    if shift[index] > 0.0:
        distance[index] = 0.0
        distance[scale] = abs(shift[scale] - shift[index]) / np.hypot(sd[scale], sd[index])
    return distance


def _chains(columns: Floats) -> tuple[float, float]:
    """Largest R-hat and smallest bulk or tail ESS over columns [c, d, m] that move at all.

    Where they are undefined (nothing moves, too few draws, one chain for R-hat) the worst there is:
    infinity and 0.
    """
    x = columns[..., np.ptp(columns, axis=(0, 1)) > 0]
    # Split chains of fewer than two draws have no variance.
    if x.shape[1] < 4 or x.shape[2] == 0:
        return float("inf"), 0.0
    # Late, for it takes four CPU seconds and only NUTS needs it; by name, for it is untyped.
    array_stats: Any = import_module("arviz_stats.base").array_stats

    axes = {"chain_axis": 0, "draw_axis": 1}
    bulk = np.asarray(array_stats.ess(x, method="bulk", **axes))
    tail = np.asarray(array_stats.ess(x, method="tail", prob=(0.05, 0.95), **axes))
    ess = float(min(bulk.min(), tail.min()))
    r_hat = float("inf")
    if x.shape[0] > 1:
        r_hat = float(np.max(np.asarray(array_stats.rhat(x, method="rank", **axes))))
    return r_hat if np.isfinite(r_hat) else float("inf"), ess if np.isfinite(ess) else 0.0


def _e_bfmi(draws: Draws) -> float | None:
    """Smallest energy Bayesian fraction of missing information over chains (Betancourt 2016)."""
    energy = draws.sample_stats.get("energy")
    if energy is None or energy.shape[1] < 2:
        return None
    change = np.mean(np.diff(energy, axis=1) ** 2, axis=1)
    spread = np.var(energy, axis=1)
    return float(np.min(change / spread)) if (spread > 0).all() else None
