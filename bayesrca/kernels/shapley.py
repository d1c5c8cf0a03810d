"""Shapley values in the native core: effort in, values with their errors out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesrca import _core

Floats = NDArray[np.float64]
Report = Callable[[int, int | None, float, float | None], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeEstimate:
    """What the core returns; `bayesrca.attribution.ShapleyEstimate` documents each number."""

    values: Floats
    std_err: Floats
    half_width: Floats
    inner_std_err: Floats | None
    n_evaluations: int
    n_surrogate_evaluations: int
    n_units: int
    converged: bool
    baseline: float
    grand: float
    rule: str
    exact: bool


def estimate_shapley(
    game: _core.NativeGame,
    *,
    seed: int,
    tolerance: float | None,
    relative: bool,
    budget: int | None,
    confidence: float,
    method: str,
    guarantee: str,
    threads: int,
    deadline: float | None,
    progress: Report | None,
    cancelled: Callable[[], bool] | None,
) -> NativeEstimate:
    """Estimate Shapley values; see ``_core.estimate_shapley``."""
    return _estimate(
        _core.estimate_shapley(
            game,
            seed=seed,
            tolerance=tolerance,
            relative=relative,
            budget=budget,
            confidence=confidence,
            method=method,
            guarantee=guarantee,
            threads=threads,
            deadline=deadline,
            progress=progress,
            cancelled=cancelled,
        )
    )


def compute_shapley(
    game: _core.NativeGame,
    *,
    threads: int,
    progress: Report | None,
    cancelled: Callable[[], bool] | None,
) -> NativeEstimate:
    """Compute exact Shapley values; see ``_core.compute_shapley``."""
    return _estimate(
        _core.compute_shapley(game, threads=threads, progress=progress, cancelled=cancelled)
    )


def compute_interactions(
    game: _core.NativeGame,
    *,
    threads: int,
    progress: Report | None,
    cancelled: Callable[[], bool] | None,
) -> Floats:
    """Compute exact pairwise interaction indices, [n, n]; see ``_core.compute_interactions``."""
    return _core.compute_interactions(game, threads=threads, progress=progress, cancelled=cancelled)


def _estimate(raw: _core.NativeEstimate) -> NativeEstimate:
    return NativeEstimate(
        values=raw.values,
        std_err=raw.std_err,
        half_width=raw.half_width,
        inner_std_err=raw.inner_std_err,
        n_evaluations=raw.n_evaluations,
        n_surrogate_evaluations=raw.n_surrogate_evaluations,
        n_units=raw.n_units,
        converged=raw.converged,
        baseline=raw.baseline,
        grand=raw.grand,
        rule=raw.rule,
        exact=raw.exact,
    )
