"""Prior and posterior predictive draws of an incident's evidence, and what they say of the model.

What is drawn has the incident's own shape: its graph, target and alarm, the cells that exist, their
null scales, dose noise and request counts. It belongs to one footprint, the most probable, for the
quiet law of several overlapping ones is a composite that nothing can be drawn from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesrca.evaluation.predictive_cells import GivenCount, GivenSeries, GivenSpread, given_cells
from bayesrca.evaluation.simulate_faults import Fault
from bayesrca.evidence import VITALS, Evidence
from bayesrca.evidence.left_out import without_telemetry
from bayesrca.kernels.propagation import KINDS
from bayesrca.model.draws import resample
from bayesrca.model.parameters import natural_values
from bayesrca.model.prepare import prepare_likelihood
from bayesrca.posterior.build import most_probable_footprint
from bayesrca.posterior.predictive import build_predictive_tree

if TYPE_CHECKING:
    from xarray import DataTree

    from bayesrca.analysis import Analysis

Floats = NDArray[np.float64]

GROUPS = ("latency", "errors", "vitals")
STATISTICS: Mapping[str, Callable[[Floats], Floats]] = {
    "largest": lambda z: np.abs(z).max(axis=-1),
    "beyond 3": lambda z: (np.abs(z) > 3.0).sum(axis=-1).astype(np.float64),
    "mean log size": lambda z: np.log1p(np.abs(z)).mean(axis=-1),
}
"""Test statistics of contrasts [..., m]; means of sizes themselves do not exist under eq. 4."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictiveStatistic:
    """One test statistic of the evidence and of its replicates.

    Attributes:
        name: one of `STATISTICS`.
        group: one of `GROUPS`, or ``all``.
        part: ``prior`` or ``posterior``: where replicates' parameters and causes come from.
        observed: of the evidence.
        replicated: 5.5%, 50% and 94.5% quantiles of the replicates.
        p_value: share of replicates at least as large, ties counted half. Near 0 the evidence is
            larger than the model expects, near 1 smaller; never a probability that it is wrong.
        mcse: Monte Carlo standard error of the share, at the largest it can be for the tails.
    """

    name: str
    group: str
    part: str
    observed: float
    replicated: tuple[float, float, float]
    p_value: float
    mcse: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictiveCheck:
    """Evidence of one footprint and its replicates under prior and posterior.

    Attributes:
        footprint: start and end in seconds.
        labels: names of the series or components of each group.
        observed: contrasts [m] by group, in null scales; of counts the excess over its noise.
        prior: replicates [d, m] by group.
        posterior: replicates [d, m] by group.
        thetas: [d, p] unconstrained parameters by part.
        statistics: test statistics by part, group and name.
    """

    footprint: tuple[float, float]
    labels: Mapping[str, tuple[str, ...]]
    observed: Mapping[str, Floats]
    prior: Mapping[str, Floats]
    posterior: Mapping[str, Floats]
    thetas: Mapping[str, Floats]
    statistics: tuple[PredictiveStatistic, ...]

    def to_datatree(self) -> DataTree:
        """Return groups that ArviZ reads: see `bayesrca.posterior.predictive`."""
        return build_predictive_tree(
            labels=self.labels,
            observed=self.observed,
            replicates={"prior": self.prior, "posterior": self.posterior},
            thetas=self.thetas,
            attrs={"footprint": list(self.footprint)},
        )


def estimate_predictive(analysis: Analysis, *, seed: int, draws: int = 200) -> PredictiveCheck:
    """Draw replicates of an incident's evidence, and compare them with it.

    Theta is drawn from its prior or its posterior, the cause from the model's p(cause | theta), for
    the posterior given the evidence and the footprint; everything else from the model's laws.

    Args:
        analysis: what to check.
        seed: every stochastic number follows from it.
        draws: replicates under each of prior and posterior (>= 2).
    """
    rng = np.random.default_rng(seed)
    evidence = analysis.evidence
    flat = analysis.draws.thetas.reshape(-1, analysis.draws.thetas.shape[-1])
    mean, sd = analysis.draws.prior
    thetas = {
        "prior": mean + sd * rng.standard_normal((draws, len(mean))),
        "posterior": flat[rng.permutation(resample(analysis.draws, draws, rng))],
    }
    with prepare_likelihood(evidence, analysis.settings, seed=seed) as likelihood:
        s = most_probable_footprint(analysis.draws, likelihood)
        joint = [likelihood.compute_footprint_log_joint(t)[:, s] for t in thetas["posterior"]]
        sets = likelihood.sets
    silent = without_telemetry(evidence)
    with prepare_likelihood(silent, analysis.settings, seed=seed) as nothing:
        log_prior, _ = nothing.compute_root_log_posterior(thetas["prior"])
        prior_sets = nothing.sets
    generator = _Generator(analysis, s, rng)
    replicates = {}
    for part, log_p, members in (
        ("prior", log_prior, prior_sets),
        ("posterior", np.array(joint), sets),
    ):
        p = np.exp(log_p - log_p.max(axis=1, keepdims=True))
        replicates[part] = generator.replicate(thetas[part], p, members)
    observed = generator.observe()
    return PredictiveCheck(
        footprint=(float(evidence.footprints[s, 0]), float(evidence.footprints[s, 1])),
        labels=generator.labels,
        observed=observed,
        prior=replicates["prior"],
        posterior=replicates["posterior"],
        thetas=thetas,
        statistics=_statistics(observed, replicates),
    )


class _Generator:
    """Draws evidence of an incident's shape in one footprint."""

    def __init__(self, analysis: Analysis, s: int, rng: np.random.Generator) -> None:
        evidence = analysis.evidence
        self.evidence, self.s, self.rng = evidence, s, rng
        self.cells = [given_cells(table, s) for table in evidence.families]
        mean, _ = analysis.draws.prior
        self.spread = GivenSpread(rng, analysis.topology, natural_values(mean), evidence)
        z = evidence.vitals.z[:, s]
        self.vital_rows = np.flatnonzero(~np.isnan(z) & (z != 0.0))
        self.labels = self._labels(evidence)

    def _labels(self, evidence: Evidence) -> dict[str, tuple[str, ...]]:
        out = {}
        for group, cells in zip(GROUPS, self.cells, strict=False):
            names = [
                [name] * len(c.rows) if isinstance(c, GivenSeries) else [name]
                for name, c in zip(evidence.components, cells, strict=True)
                if c is not None
            ]
            out[group] = tuple(name for part in names for name in part)
        v = evidence.vitals
        out[GROUPS[-1]] = tuple(
            f"{evidence.components[v.component[r]]} {VITALS[v.family[r]].value} {v.signal[r]}"
            for r in self.vital_rows
        )
        return out

    def observe(self) -> dict[str, Floats]:
        """What was seen, laid out as the replicates are."""
        out = {}
        for group, table, cells in zip(GROUPS, self.evidence.families, self.cells, strict=False):
            seen = [np.zeros(0)]
            for i, cell in enumerate(cells):
                if isinstance(cell, GivenSeries):
                    seen.append(table.z[cell.rows, self.s])
                elif cell is not None:
                    seen.append(table.excess[i, self.s : self.s + 1] / cell.noise)
            out[group] = np.concatenate(seen)
        out[GROUPS[-1]] = self.evidence.vitals.z[self.vital_rows, self.s]
        return out

    def replicate(
        self, thetas: Floats, p: Floats, sets: Sequence[tuple[int, ...]]
    ) -> dict[str, Floats]:
        """Replicates [d, m] by group for thetas [d, p] and hypothesis weights [d, k]."""
        rows = [self._one(t, w, sets) for t, w in zip(thetas, p, strict=True)]
        return {group: np.stack([row[group] for row in rows]) for group in GROUPS}

    def _one(self, theta: Floats, p: Floats, sets: Sequence[tuple[int, ...]]) -> dict[str, Floats]:
        self.spread.theta = natural_values(theta)
        faults = self._draw_faults(int(self.rng.choice(len(p), p=p / p.sum())), sets)
        out = {}
        for f, (group, cells) in enumerate(zip(GROUPS, self.cells, strict=False)):
            for cell in cells:
                if cell is not None:
                    cell.prepare(self.spread.theta, f)
            self.spread.draw_family(cells, f, [x for x in faults if x.shows[f]])
            out[group] = np.concatenate([np.zeros(0), *(_values(c) for c in cells if c)])
        vitals, *_ = self.spread.draw_vitals(faults)
        out[GROUPS[-1]] = vitals.z[self.vital_rows, 0]
        return out

    def _draw_faults(self, column: int, sets: Sequence[tuple[int, ...]]) -> list[Fault]:
        """Causes of a hypothesis, numbered as the likelihood does."""
        singles = len(KINDS) * len(self.evidence.components)
        if column < singles:
            root, kind = divmod(column, len(KINDS))
            return self.spread.draw_single(root, KINDS[kind])
        if column == singles + len(sets):
            return []
        return self.spread.draw_set(sets[column - singles])


def _values(cell: GivenSeries | GivenCount) -> Floats:
    return cell.values.copy() if isinstance(cell, GivenSeries) else np.array([cell.excess])


def _statistics(
    observed: Mapping[str, Floats], replicates: Mapping[str, Mapping[str, Floats]]
) -> tuple[PredictiveStatistic, ...]:
    out = []
    for part, groups in replicates.items():
        every: dict[str, tuple[Any, Any]] = {g: (observed[g], groups[g]) for g in GROUPS}
        every["all"] = (
            np.concatenate([observed[g] for g in GROUPS]),
            np.concatenate([groups[g] for g in GROUPS], axis=-1),
        )
        for group, (seen, drawn) in every.items():
            if seen.size:
                out += [_compare(n, group, part, f(seen), f(drawn)) for n, f in STATISTICS.items()]
    return tuple(out)


def _compare(
    name: str, group: str, part: str, observed: Floats, drawn: Floats
) -> PredictiveStatistic:
    low, middle, high = np.quantile(drawn, [0.055, 0.5, 0.945])
    p = float((drawn > observed).mean() + 0.5 * (drawn == observed).mean())
    return PredictiveStatistic(
        name=name,
        group=group,
        part=part,
        observed=float(observed),
        replicated=(float(low), float(middle), float(high)),
        p_value=p,
        # A share of 0 or 1 among d draws has an error, too: one of about 1 / d.
        mcse=float(np.sqrt(max(p * (1.0 - p), 1.0 / len(drawn)) / len(drawn))),
    )
