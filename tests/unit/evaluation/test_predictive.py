"""Predictive draws of a given incident: the right shape, the model's laws, honest p-values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import optimize, stats

from bayesrca.analysis import Analysis, analyze
from bayesrca.config import Method, Settings
from bayesrca.evaluation.predictive import GROUPS, PredictiveCheck, estimate_predictive
from bayesrca.evaluation.predictive_cells import (
    GivenCount,
    GivenSeries,
    GivenSpread,
    GivenVitals,
    given_cells,
)
from bayesrca.evaluation.simulate import simulate_evidence
from bayesrca.evaluation.simulate_graph import draw_topology
from bayesrca.evaluation.simulate_vitals import Disturbance
from bayesrca.ingest import load_incident
from bayesrca.kernels.propagation import PreparedLikelihood
from bayesrca.model.parameters import natural_values, unconstrained_prior
from bayesrca.model.screen import estimate_by_screen
from bayesrca.posterior.summary import RootProbabilities

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
SCREEN = Settings(method=Method.SCREEN)


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return analyze(load_incident(EXAMPLES / "search_errors"), seed=1, settings=SCREEN)


@pytest.fixture(scope="module")
def check(analysis: Analysis) -> PredictiveCheck:
    return estimate_predictive(analysis, seed=2, draws=120)


class TestCells:
    def test_doses_are_the_evidences_own(self, analysis: Analysis) -> None:
        """Cells rebuilt from the evidence map contrasts to the doses that were read."""
        seen = 0
        for table in analysis.evidence.families:
            for s in range(0, table.dose.shape[1], 5):
                for i, cell in enumerate(given_cells(table, s)):
                    if cell is None or not cell.has_dose:
                        continue
                    if isinstance(cell, GivenSeries):
                        cell.z = float(table.z[cell.rows[0], s])
                    else:
                        cell.k = int(table.counts[i].failed[s])
                        assert cell.excess == pytest.approx(
                            table.excess[i, s] / table.dose_noise[i, s], abs=1e-9
                        )
                    assert cell.dose == pytest.approx(table.dose[i, s], rel=1e-6, abs=1e-6)
                    seen += 1
        assert seen > 100

    def test_a_dose_that_is_set_is_the_dose(self, analysis: Analysis) -> None:
        first, second = analysis.evidence.families
        latency = next(c for c in given_cells(first, 3) if c is not None and c.has_dose)
        for y in (-2.0, 0.5, 4.0, 9.0):
            latency.set_dose(y)
            assert latency.dose == pytest.approx(y, abs=1e-6)
        count = next(c for c in given_cells(second, 3) if isinstance(c, GivenCount) and c.n > 50)
        for k in (0, 1, 7, count.n):
            count.k = k
            y = count.dose
            count.k = -1
            count.set_dose(y)
            assert count.k == k

    def test_counts_follow_the_laws_that_were_read(self, analysis: Analysis) -> None:
        """Frequencies of the observed count against the evidence's own probabilities."""
        rng = np.random.default_rng(4)
        table = analysis.evidence.families[1]
        tried = 0
        for i, cell in enumerate(given_cells(table, 2)):
            if not isinstance(cell, GivenCount) or tried == 6:
                continue
            tried += 1
            counts = table.counts[i]
            least = -1.0 if counts.no_excess[2] else counts.read[2]
            k = (least, counts.read[2])
            for tail, law in ((0.0, table.log_quiet), (1.0, table.log_wide)):
                cell.tail = tail
                check_share(cell, cell.draw_quiet, k, float(np.exp(law[i, 2])), rng)
            check_share(cell, cell.draw_effect, k, float(np.exp(table.log_affected[i, 2])), rng)
        assert tried == 6

    def test_vitals_keep_the_order_of_the_evidence(self, analysis: Analysis) -> None:
        """The family at fault moves where the evidence has it, and nowhere else."""
        rng = np.random.default_rng(1)
        mean, _ = unconstrained_prior()
        theta = natural_values(mean) | {"vital_rate": 0.0, "own_visible": 1.0, "vital_scale": 1e-9}
        table = analysis.evidence.vitals
        vitals = GivenVitals(rng, analysis.evidence)
        vitals.at_fault = np.ones(len(vitals.at_fault)) / len(vitals.at_fault)
        at = int(table.component[-1])
        for _ in range(30):
            drawn = vitals.draw(theta, {at: Disturbance(resource=True)})[0].z[:, 0]
            assert len(drawn) == len(table.component)
            order = np.argsort(np.abs(drawn))
            if np.abs(drawn[order[-1]]) > 1e2 * np.abs(drawn[order[-2]]):
                assert table.component[order[-1]] == at

    def test_of_several_series_one_responds(self) -> None:
        rng = np.random.default_rng(2)
        cell = GivenSeries(np.arange(4), np.nan, np.nan, np.nan)
        mean, _ = unconstrained_prior()
        cell.prepare(natural_values(mean), 0)
        cell.medians = (1e6, 1e6)
        counts = np.zeros(4)
        for _ in range(400):
            cell.draw_quiet(rng)
            cell.draw_effect(rng)
            large = np.abs(cell.values) > 100.0
            assert large.sum() == 1
            counts += large
        assert stats.chisquare(counts).pvalue > 1e-3


def check_share(
    cell: GivenCount,
    draw: Callable[[np.random.Generator], None],
    between: tuple[float, float],
    p: float,
    rng: np.random.Generator,
) -> None:
    n = 3000
    hits = 0
    for _ in range(n):
        draw(rng)
        hits += between[0] <= cell.k <= between[1]
    # Twelve nodes of a quadrature against the law itself: a few percent.
    assert hits / n == pytest.approx(p, abs=4.5 * np.sqrt(p * (1 - p) / n) + 0.03 * p + 1e-3)


class TestCheck:
    def test_replicates_have_the_evidences_shape(
        self, analysis: Analysis, check: PredictiveCheck
    ) -> None:
        evidence = analysis.evidence
        assert list(check.footprint) in evidence.footprints.tolist()
        for group in GROUPS:
            m = len(check.labels[group])
            assert check.observed[group].shape == (m,)
            assert check.prior[group].shape == check.posterior[group].shape == (120, m)
            assert np.isfinite(check.posterior[group]).all()
        s = int(np.flatnonzero((evidence.footprints == check.footprint).all(axis=1))[0])
        z = evidence.vitals.z[:, s]
        assert_array_equal(check.observed["vitals"], z[np.isfinite(z) & (z != 0.0)])

    def test_the_posterior_knows_where_it_was(self, check: PredictiveCheck) -> None:
        """The culprit's errors rise in the posterior's replicates, seldom in the prior's.

        Not in all: counts under a fault are so dispersed that a third of them are 0.
        """
        at = check.labels["errors"].index("PetSearch_AWS::ECS::Fargate")
        assert (check.posterior["errors"][:, at] > 3.0).mean() > 0.3
        assert (check.prior["errors"][:, at] > 3.0).mean() < 0.2

    def test_p_values_are_those_of_the_replicates(self, check: PredictiveCheck) -> None:
        found = {(s.part, s.group, s.name): s for s in check.statistics}
        assert len(found) == 2 * 4 * 3
        largest = np.abs(check.posterior["vitals"]).max(axis=1)
        observed = np.abs(check.observed["vitals"]).max()
        one = found["posterior", "vitals", "largest"]
        assert one.observed == observed
        assert one.p_value == pytest.approx((largest > observed).mean())
        assert_allclose(one.replicated, np.quantile(largest, [0.055, 0.5, 0.945]))
        every = found["prior", "all", "beyond 3"]
        counts = sum((np.abs(check.prior[g]) > 3).sum(axis=1) for g in GROUPS)
        seen = sum((np.abs(check.observed[g]) > 3).sum() for g in GROUPS)
        assert every.observed == seen
        expected = np.mean(counts > seen) + 0.5 * np.mean(counts == seen)
        assert every.p_value == pytest.approx(expected)

    def test_the_tree_is_arvizs(self, check: PredictiveCheck) -> None:
        tree: Any = check.to_datatree()
        assert set(tree.children) == {
            "observed_data", "prior", "prior_predictive", "posterior", "posterior_predictive",
        }  # fmt: skip
        back = np.sinh(tree["posterior_predictive"]["latency"].values[0])
        assert_allclose(back, check.posterior["latency"], rtol=1e-9)
        assert_allclose(np.sinh(tree["observed_data"]["vitals"]), check.observed["vitals"])
        az: Any = import_module("arviz")
        az.rcParams["plot.backend"] = "none"
        az.plot_ppc_dist(tree, num_samples=20)

    def test_the_seed_decides(self, analysis: Analysis) -> None:
        one, same, other = (estimate_predictive(analysis, seed=s, draws=3) for s in (5, 5, 6))
        assert_array_equal(one.posterior["latency"], same.posterior["latency"])
        assert not np.array_equal(one.posterior["latency"], other.posterior["latency"])


def null_scale(dose_low: float, noise: float) -> float:
    """The null scale at which the dose of z = 2 is this one: simulated tables do not tell it."""
    x = np.exp(dose_low) / noise  # softplus of the excess over its noise

    def gap(scale: float) -> float:
        return float(np.logaddexp(0.0, np.expm1(2.0 * scale) / scale) - x)

    return float(optimize.brentq(gap, 1e-4, 2.0))


def simulated(seed: int) -> Analysis:
    """What there is to check of evidence that the model itself made; no answer."""
    topology = draw_topology(np.random.default_rng(seed), components=9)
    evidence, _ = simulate_evidence(topology, seed=seed, traced=0.0)
    for table in evidence.families:
        for i in np.flatnonzero(~np.isnan(table.dose_jacobian[:, 0])):
            table.scale[i, 0] = null_scale(table.dose_low[i, 0], table.dose_noise[i, 0])
    with PreparedLikelihood(evidence, none_prior=0.05, max_width=14) as likelihood:
        draws = estimate_by_screen(likelihood, seed=seed, settings=SCREEN)
    missing: Any = None
    return Analysis(
        answer=missing,
        topology=topology,
        draws=draws,
        root=cast(RootProbabilities, missing),
        evidence=evidence,
        settings=SCREEN,
    )


@pytest.mark.slow
def test_prior_predictive_p_values_are_uniform_and_posterior_ones_conservative() -> None:
    """Evidence drawn from the model itself: ranks among its prior replicates are uniform."""
    p: dict[tuple[str, str, str], list[float]] = {}
    for seed in range(60):
        for s in estimate_predictive(simulated(seed), seed=seed, draws=40).statistics:
            p.setdefault((s.part, s.group, s.name), []).append(s.p_value)
    for group in ("latency", "vitals"):
        for name in ("largest", "mean log size"):
            values = np.array(p["prior", group, name])
            assert stats.kstest(values, "uniform").pvalue > 1e-3, (group, name)
            posterior = np.array(p["posterior", group, name])
            assert np.abs(posterior - 0.5).mean() < np.abs(values - 0.5).mean() + 0.03


@pytest.mark.parametrize("in_vitals", [False, True])
def test_the_alarm_is_where_the_evidence_has_it(analysis: Analysis, in_vitals: bool) -> None:
    evidence = replace(analysis.evidence, alarm_in_vitals=in_vitals)
    theta = natural_values(unconstrained_prior()[0])
    for seed in range(20):
        made = GivenSpread(np.random.default_rng(seed), analysis.topology, theta, evidence)
        assert (made.target, made.alarm) == (evidence.target, evidence.alarm_family)
        assert made.alarm_in_vitals == in_vitals
