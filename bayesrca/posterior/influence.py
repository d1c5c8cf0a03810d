"""What the answer rests on: how it would read without the telemetry of each component."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesrca.config import Settings
from bayesrca.errors import UnknownComponentError
from bayesrca.evidence import Evidence
from bayesrca.evidence.left_out import has_telemetry, without_components
from bayesrca.model.draws import Draws, resample
from bayesrca.model.prepare import prepare_likelihood
from bayesrca.model.prior_file import prior_in_use
from bayesrca.model.screen import estimate_by_screen
from bayesrca.model.tempering import temper_as_set
from bayesrca.posterior.limits import PARETO_K_LIMIT
from bayesrca.posterior.summary import RootProbabilities, compute_root_probabilities

Floats = NDArray[np.float64]

N_DRAWS = 256
_BATCHES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """The answer without one component's telemetry.

    Attributes:
        component: whose telemetry is left out.
        change: largest change of a probability, in [0, 1].
        probabilities: [n + 1] p(component is a cause) without it, "none of these" last.
        mcse: [n + 1] their Monte Carlo standard errors.
        pareto_k: Pareto shape of the weights behind them; of a new screen where ``refitted``.
        refitted: whether reweighting the draws failed (k-hat above .7), so that the screen ran
            again without the telemetry.
    """

    component: str
    change: float
    probabilities: Floats
    mcse: Floats
    pareto_k: float
    refitted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Influence:
    """How far the answer rests on each component's telemetry.

    Attributes:
        components: names of the n components.
        base: [n + 1] the answer, "none of these" last.
        left_out: one entry for each component asked for that reports anything, by falling change.
    """

    components: tuple[str, ...]
    base: Floats
    left_out: tuple[LeftOut, ...]

    def describe(self, one: LeftOut) -> str:
        """One plain sentence about one of ``left_out``."""
        names = (*self.components, "none of these")
        best, now = int(np.argmax(self.base)), int(np.argmax(one.probabilities))
        text = (
            f"Without the telemetry of {one.component}, {names[best]} has a probability of "
            f"{one.probabilities[best]:.2f} instead of {self.base[best]:.2f}"
        )
        if now != best:
            text += f", and {names[now]} leads with {one.probabilities[now]:.2f}"
        return f"{text}."


def estimate_influence(
    evidence: Evidence,
    draws: Draws,
    root: RootProbabilities,
    *,
    seed: int,
    settings: Settings,
    components: Sequence[str] | None = None,
    n_draws: int = N_DRAWS,
) -> Influence:
    """Answer again without each component's telemetry in turn.

    This is the answer to another question (what would have been said had the component not
    reported?), so it holds for any evidence, whether or not the likelihood is a joint density of
    it. Draws are reweighted by the ratio of the likelihoods, smoothed (Vehtari, Simpson, Gelman,
    Yao & Gabry 2024); where that fails the screen runs again.

    Args:
        evidence: what was analysed.
        draws: the draws behind the answer.
        root: their probabilities.
        seed: of the choice of draws and of new screens.
        settings: of the analysis.
        components: names to leave out; all that report anything by default. Each costs about a
            quarter of a screen, or a whole one.
        n_draws: draws to reweight; at most as many as there are are worth it.

    Raises:
        UnknownComponentError: a name that the topology does not have.
    """
    chosen = _chosen(evidence, components)
    rng = np.random.default_rng(seed)
    flat = draws.thetas.reshape(-1, draws.thetas.shape[-1])[resample(draws, n_draws, rng)]
    with prepare_likelihood(evidence, settings, seed=seed) as likelihood:
        _, whole = likelihood.compute_root_log_posterior(flat, threads=settings.cores)
    rows = [
        _left_out(evidence, i, flat, whole, root, settings=settings, seed=int(rng.integers(2**63)))
        for i in chosen
    ]
    return Influence(
        components=evidence.components,
        base=root.values,
        left_out=tuple(sorted(rows, key=lambda row: -row.change)),
    )


def _chosen(evidence: Evidence, components: Sequence[str] | None) -> list[int]:
    reports = has_telemetry(evidence)
    if components is None:
        return [int(i) for i in np.flatnonzero(reports)]
    unknown = [name for name in components if name not in evidence.components]
    if unknown:
        msg = f"no component is named {unknown[0]!r}"
        raise UnknownComponentError(msg, field="components")
    every = (evidence.components.index(name) for name in components)
    return [i for i in every if reports[i]]


def _left_out(
    evidence: Evidence,
    i: int,
    thetas: Floats,
    whole: Floats,
    root: RootProbabilities,
    *,
    settings: Settings,
    seed: int,
) -> LeftOut:
    array_stats: Any = import_module("arviz_stats.base").array_stats
    only = np.arange(len(evidence.components)) == i
    others = without_components(evidence, only)
    with prepare_likelihood(others, settings, seed=seed) as likelihood:
        log_root, rest = likelihood.compute_root_log_posterior(thetas, threads=settings.cores)
        # ArviZ takes log likelihoods and negates them.
        smooth, k = array_stats.psislw(whole - rest)
        refitted = not k <= PARETO_K_LIMIT
        if refitted:
            draws = estimate_by_screen(likelihood, seed=seed, settings=settings)
        else:
            draws = _batched(
                thetas, smooth, log_root, rest, pareto_k=float(k), prior=prior_in_use(settings)
            )
        draws = temper_as_set(draws, settings, likelihood)
        without = compute_root_probabilities(draws, settings.interval_mass, likelihood.sets)
    return LeftOut(
        component=evidence.components[i],
        change=float(np.abs(without.values - root.values).max()),
        probabilities=without.values,
        mcse=without.mcse,
        pareto_k=float(draws.pareto_k if draws.pareto_k is not None else np.inf),
        refitted=refitted,
    )


def _batched(
    thetas: Floats,
    log_weights: Floats,
    log_root: Floats,
    log_likelihood: Floats,
    *,
    pareto_k: float,
    prior: tuple[Floats, Floats],
) -> Draws:
    """Weighted draws in batches of neighbours, whose spread is the Monte Carlo error."""
    shape = (_BATCHES, len(thetas) // _BATCHES)
    kept = shape[0] * shape[1]
    return Draws(
        thetas=thetas[:kept].reshape(*shape, -1),
        log_weights=log_weights[:kept].reshape(shape),
        log_root=log_root[:kept].reshape(*shape, -1),
        log_likelihood=log_likelihood[:kept].reshape(shape),
        prior=prior,
        pareto_k=pareto_k,
    )
