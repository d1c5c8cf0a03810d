"""Leave-one-component-out predictive densities, where the likelihood allows them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from bayesrca.config import Settings
from bayesrca.errors import NotSupportedError
from bayesrca.evidence import Evidence
from bayesrca.evidence.left_out import has_telemetry, without_components
from bayesrca.kernels.propagation import PreparedLikelihood
from bayesrca.model.draws import Draws, Floats, resample
from bayesrca.model.log_prior import compute_log_prior
from bayesrca.model.prepare import prepare_likelihood
from bayesrca.model.prior_file import prior_in_use
from bayesrca.model.screen import estimate_by_screen

N_DRAWS = 256
K_LIMIT = 0.7
_VARIABLE = "evidence"
_STILL = "one of its series stands still"
_SEVERAL = "several of its series share a cell, whose quiet law is a composite"
_SILENT = "its silence is read, which has no law"
_STATES = "its discrete states are read as ratios, which have no law"
_DOSE = "its excess work enters the laws of other components, were it the cause"


def find_unlawful(evidence: Evidence) -> dict[int, str]:
    """Components whose evidence has no predictive density under the model, and why.

    p(y_i | y_-i, theta) is the likelihood of everything over that of everything but component i
    exactly when the former, integrated over y_i, gives the latter. That holds for a component when

    - there is one footprint: several overlap, and their quiet law is a composite;
    - each of its cells holds one series: the quiet law of several is a composite, too;
    - no contrast of it stands still: that is read as a probability, not as a density;
    - nothing is read from its silence, its absence or its discrete states: those are ratios, and
      not of laws that are written down;
    - no other component has a dose in a family in which it has one: were it the root, its dose
      would enter their laws, and its absence is read as another law, not as an integral.

    Returns:
        Reason by component index, for those that report anything.
    """
    if len(evidence.footprint_log_prior) > 1:
        many = "the incident has several overlapping footprints, whose quiet law is a composite"
        return {int(i): many for i in np.flatnonzero(has_telemetry(evidence))}
    reasons: dict[int, str] = {}
    for component in np.flatnonzero(has_telemetry(evidence)):
        i = int(component)
        reason = _reason(evidence, i)
        if reason:
            reasons[i] = reason
    return reasons


def _reason(evidence: Evidence, i: int) -> str:
    vitals = evidence.vitals
    own = vitals.component == i
    found = [
        (bool((vitals.z[own] == 0.0).any()), _STILL),
        (np.bincount(vitals.family[own]).max(initial=0) > 1, _SEVERAL),
        (bool((evidence.root_log_factor[i] != 0.0).any()), _SILENT),
        (bool((evidence.crash_log_ratio[i] != 0.0).any()), _SILENT),
        (bool((evidence.states.component == i).any()), _STATES),
    ]
    for table in evidence.families:
        rows = table.series_component == i
        counted = ~np.isnan(table.log_quiet[i]).all()
        with_dose = ~np.isnan(table.dose).all(axis=1)
        found += [
            (bool((table.z[rows] == 0.0).any() or (counted and not with_dose[i])), _STILL),
            (rows.sum() > 1, _SEVERAL),
            (bool(with_dose[i] and with_dose.sum() > 1), _DOSE),
        ]
    return next((reason for holds, reason in found if holds), "")


def estimate_loo(
    evidence: Evidence,
    draws: Draws,
    *,
    seed: int,
    settings: Settings,
    n_draws: int = N_DRAWS,
) -> Any:
    """Estimate the log predictive density of each component's evidence given all the others'.

    The root cause is summed out, so components are not independent given theta; the pointwise
    likelihood is the conditional p(y_i | y_-i, theta), the likelihood of everything over that of
    everything but i (Bürkner, Gabry & Vehtari 2021). Pareto-smoothed importance sampling (Vehtari,
    Gelman & Gabry 2017) by ArviZ; where its k-hat exceeds .7 the screen runs again without the
    component.

    Args:
        evidence: what was analysed.
        draws: the draws behind the answer.
        seed: of the choice of draws and of new screens.
        settings: of the analysis.
        n_draws: equally weighted draws to use.

    Returns:
        ArviZ's ``ELPDDataLOO`` with ``elpd_i`` and ``pareto_k`` by component name, over the
        components that have a lawful density; k is 0 where the screen ran again.

    Raises:
        NotSupportedError: no component's evidence has a density of its own (`find_unlawful`), or
            sets of several causes are weighed, which are chosen by the evidence.
    """
    if settings.max_causes > 1:
        msg = (
            "sets of several causes are chosen by looking at the evidence, so leaving some of it "
            "out changes the model: analyse with Settings(max_causes=1)"
        )
        raise NotSupportedError(msg, field="max_causes")
    unlawful = find_unlawful(evidence)
    lawful = [int(i) for i in np.flatnonzero(has_telemetry(evidence)) if int(i) not in unlawful]
    if not lawful:
        why = next(iter(unlawful.values()), "no component reports anything")
        msg = (
            f"leave-one-out densities do not exist for this evidence: {why}; its influence on the "
            "answer does (estimate_influence)"
        )
        raise NotSupportedError(msg, field="evidence")
    rng = np.random.default_rng(seed)
    flat = draws.thetas.reshape(-1, draws.thetas.shape[-1])[resample(draws, n_draws, rng)]
    seeds = {i: int(rng.integers(2**63)) for i in lawful}
    with prepare_likelihood(evidence, settings, seed=seed) as whole:
        problem = _Problem(evidence, whole, settings, seed, seeds)
        everything = problem.compute_whole(flat)
        columns = [problem.compute_pointwise(i, flat, everything) for i in lawful]
        tree = _tree(
            np.stack(columns, axis=-1),
            problem.compute_log_prior(flat),
            [evidence.components[i] for i in lawful],
        )
        stats: Any = import_module("arviz_stats")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about k-hats that the next line mends
            # Resampled draws are not a chain: their neighbours say nothing of their efficiency.
            first = stats.loo(tree, pointwise=True, var_name=_VARIABLE, reff=1.0)
        refit = _refit(stats.SamplingWrapper, tree, problem)
        return stats.reloo(
            refit, loo_orig=first, var_name=_VARIABLE, k_threshold=K_LIMIT, pointwise=True
        )


@dataclass(frozen=True, slots=True)
class _Problem:
    """An incident whose components are left out in turn.

    Attributes:
        evidence: all of it.
        whole: the same, prepared.
        settings: of the analysis.
        seed: of estimated sums.
        seeds: of each lawful component's own screen, by index and in order.
    """

    evidence: Evidence
    whole: PreparedLikelihood
    settings: Settings
    seed: int
    seeds: dict[int, int]

    def prepare_rest(self, i: int) -> PreparedLikelihood:
        only = np.arange(len(self.evidence.components)) == i
        rest = without_components(self.evidence, only)
        return prepare_likelihood(rest, self.settings, seed=self.seed)

    def compute_log_prior(self, thetas: Floats) -> Floats:
        """Log prior density [d] of each theta [d, p]."""
        return np.asarray(compute_log_prior(thetas, prior_in_use(self.settings)).sum(axis=-1))

    def compute_whole(self, thetas: Floats) -> Floats:
        """Log likelihood [d] of all evidence at each theta [d, p]."""
        return self.whole.compute_root_log_posterior(thetas, threads=self.settings.cores)[1]

    def compute_pointwise(self, i: int, thetas: Floats, everything: Floats) -> Floats:
        """Log density [d] of component i's evidence given the others' and each theta [d, p]."""
        cores = self.settings.cores
        with self.prepare_rest(i) as rest:
            _, without = rest.compute_root_log_posterior(thetas, threads=cores)
        return everything - without


def _tree(pointwise: Floats, log_prior: Floats, names: list[str]) -> Any:
    """One chain of draws: ``log_likelihood`` [chain, draw, component], and a posterior for it."""
    import xarray as xr  # noqa: PLC0415  two CPU seconds, only for those who ask

    likelihood = xr.Dataset(
        {_VARIABLE: (("chain", "draw", "component"), pointwise[None])},
        coords={"chain": [0], "draw": np.arange(len(log_prior)), "component": names},
    )
    posterior = xr.Dataset({"log_prior": (("chain", "draw"), log_prior[None])})
    return xr.DataTree.from_dict({"/posterior": posterior, "/log_likelihood": likelihood})


def _refit(base: Any, tree: Any, problem: _Problem) -> Any:
    """ArviZ's way to fit again without an observation: here, by the screen."""
    lawful = list(problem.seeds)

    class Refit(base):  # type: ignore[misc]  # ArviZ is untyped
        def sel_observations(self, idx: Any) -> tuple[int, int]:
            i = lawful[int(idx)]
            return i, i

        def sample(self, i: int) -> tuple[int, Draws]:
            with problem.prepare_rest(i) as rest:
                draws = estimate_by_screen(rest, seed=problem.seeds[i], settings=problem.settings)
            return i, draws

        def get_inference_data(self, fit: tuple[int, Draws]) -> Any:
            i, draws = fit
            rng = np.random.default_rng(problem.seeds[i])
            rows = resample(draws, draws.log_weights.size, rng)
            thetas = draws.thetas.reshape(-1, draws.thetas.shape[-1])[rows]
            name = problem.evidence.components[i]
            everything = problem.compute_whole(thetas)
            pointwise = problem.compute_pointwise(i, thetas, everything)[:, None]
            return _tree(pointwise, problem.compute_log_prior(thetas), [name])

        def log_likelihood__i(self, _: int, fitted: Any) -> Any:
            return fitted["log_likelihood"][_VARIABLE]

    return Refit(model=None, idata_orig=tree)
