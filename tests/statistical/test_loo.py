"""Leave-one-out densities are densities where they are said to be, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from bayesrca.config import Settings
from bayesrca.errors import NotSupportedError
from bayesrca.evaluation.simulate import simulate_evidence
from bayesrca.evaluation.simulate_cells import Continuous
from bayesrca.evidence import Evidence, StateTable, VitalTable
from bayesrca.evidence.left_out import has_telemetry, without_components
from bayesrca.kernels.propagation import PreparedLikelihood
from bayesrca.model import loo
from bayesrca.model.loo import estimate_loo, find_unlawful
from bayesrca.model.parameters import unconstrained_prior
from bayesrca.model.screen import estimate_by_screen
from tests.oracle.incidents import empty_table, make_evidence, make_vitals

Floats = NDArray[np.float64]
SETTINGS = Settings(screen_points=128, max_causes=1)
EDGES = np.array([[0, 1], [1, 2]], dtype=np.int64)
U, WEIGHT = np.polynomial.legendre.leggauss(160)
"""Nodes of u in (-1, 1), with z = u / (1 - |u|): effects' tails of z^-2 become flat."""


def log_likelihood(evidence: Evidence, theta: Floats) -> float:
    with PreparedLikelihood(evidence, none_prior=0.15, max_width=14) as likelihood:
        return float(likelihood.compute_logp_grad(theta)[0])


def random_theta(seed: int) -> Floats:
    mean, sd = unconstrained_prior()
    return np.asarray(mean + sd * np.random.default_rng(seed).standard_normal(len(mean)))


def plain(z: tuple[float, float, float], *, vital: float | None = None) -> Evidence:
    """A chain of three with one latency series each and no doses, alarmed at the end."""
    tables = [
        empty_table(3, 1, EDGES, series_component=np.arange(3), z=np.array(z).reshape(-1, 1)),
        empty_table(3, 1, EDGES),
    ]
    vitals = None if vital is None else make_vitals([(0, 1)], np.array([[vital]]))
    return make_evidence((tables[0], tables[1]), target=2, alarm_family=0, vitals=vitals)


def with_doses(first: float) -> Evidence:
    """The same with doses at both ends; only the first component's contrast is free."""
    rng = np.random.default_rng(1)
    cells = [Continuous(rng, has_dose=i != 1) for i in range(3)]
    evidence = plain((first, 2.5, 6.0))
    table = evidence.families[0]
    for i, (cell, z) in enumerate(zip(cells, (first, 2.5, 6.0), strict=True)):
        cell.z = z
        for name, value in cell.row().items():
            getattr(table, name)[i, 0] = value
    return evidence


def integrate(make: Any, rest: float, theta: Floats) -> float:  # noqa: ANN401
    """Integral over z of exp(log likelihood - rest), in two halves: densities jump at 0."""
    total = 0.0
    for low, high in ((-1.0, 0.0), (0.0, 1.0)):
        u = low + (high - low) * (U + 1) / 2
        z, slope = u / (1 - np.abs(u)), (1 - np.abs(u)) ** -2
        values = [np.exp(log_likelihood(make(x), theta) - rest) for x in z]
        total += float((WEIGHT * slope * values).sum() * (high - low) / 2)
    return total


@pytest.mark.parametrize("seed", range(6))
def test_a_lawful_density_integrates_to_one(seed: int) -> None:
    theta = random_theta(seed)
    rest = log_likelihood(without(plain((1.0, 3.0, 8.0), vital=2.0), 1), theta)
    assert find_unlawful(plain((1.0, 3.0, 8.0), vital=2.0)) == {}
    total = integrate(lambda x: plain((1.0, x, 8.0), vital=2.0), rest, theta)
    assert total == pytest.approx(1.0, abs=2e-3)


def test_a_density_whose_dose_others_read_does_not() -> None:
    """Which is why it is refused: without the root's dose another law is used, not the mean."""
    evidence = with_doses(9.0)
    assert set(find_unlawful(evidence)) == {0, 2}
    assert "excess work" in find_unlawful(evidence)[0]
    gaps = []
    for seed in range(6):
        theta = random_theta(seed)
        rest = log_likelihood(without(evidence, 0), theta)
        gaps.append(abs(integrate(with_doses, rest, theta) - 1.0))
    assert max(gaps) > 0.05


def without(evidence: Evidence, i: int) -> Evidence:
    return without_components(evidence, np.arange(len(evidence.components)) == i)


def test_what_is_unlawful_is_said() -> None:
    good = plain((1.0, 3.0, 8.0), vital=2.0)
    still = replace(good, vitals=make_vitals([(0, 1)], np.array([[0.0]])))
    assert "stands still" in find_unlawful(still)[0]
    two = replace(good, vitals=make_vitals([(0, 1), (0, 1)], np.array([[1.0], [2.0]])))
    assert "composite" in find_unlawful(two)[0]
    silent = replace(good, root_log_factor=np.array([[0.0], [-1.0], [0.0]]))
    assert "silence" in find_unlawful(silent)[1]
    table = good.families[0]
    double = replace(
        table,
        series_component=np.array([0, 1, 2, 2]),
        z=np.array([[1.0], [3.0], [8.0], [7.0]]),
    )
    several = replace(good, families=(double, good.families[1]))
    assert set(find_unlawful(several)) == {2}
    wide = replace(good, footprint_log_prior=np.log([0.5, 0.5]))
    assert set(find_unlawful(wide)) == {0, 1, 2}
    with pytest.raises(NotSupportedError, match=r"overlapping footprints.*estimate_influence"):
        estimate_loo(wide, fit(good), seed=1, settings=SETTINGS)


def fit(evidence: Evidence) -> Any:  # noqa: ANN401
    with PreparedLikelihood(evidence, none_prior=0.05, max_width=14) as likelihood:
        return estimate_by_screen(likelihood, seed=1, settings=SETTINGS)


def log_evidence(evidence: Evidence) -> float:
    """Log of the likelihood's mean over the prior: plain Monte Carlo, nothing shared."""
    mean, sd = unconstrained_prior()
    uniform = stats.qmc.Sobol(len(mean), seed=7).random(2**13)
    thetas = mean + sd * stats.norm.ppf(np.clip(uniform, 1e-12, 1 - 1e-12))
    with PreparedLikelihood(evidence, none_prior=0.05, max_width=14) as likelihood:
        _, values = likelihood.compute_root_log_posterior(thetas)
    return float(np.log(np.exp(values - values.max()).mean()) + values.max())


@pytest.mark.parametrize("limit", [0.7, -10.0])
def test_it_is_the_ratio_of_marginal_likelihoods(
    limit: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By smoothed weights, and by new screens alone."""
    monkeypatch.setattr(loo, "K_LIMIT", limit)
    evidence = plain((0.4, 30.0, 8.0), vital=2.0)
    found = estimate_loo(evidence, fit(evidence), seed=3, settings=SETTINGS, n_draws=1024)
    whole = log_evidence(evidence)
    for i, name in enumerate(evidence.components):
        expected = whole - log_evidence(without(evidence, i))
        assert float(found.elpd_i.sel(component=name)) == pytest.approx(expected, abs=0.06), name
    assert found.elpd == pytest.approx(float(found.elpd_i.sum()))
    # The one that moved most is the least expected.
    assert str(found.elpd_i.component.values[int(found.elpd_i.values.argmin())]) == "c1"


def test_simulated_incidents_have_lawful_components() -> None:
    evidence, _ = simulate_evidence(seed=5, components=12)
    assert len(find_unlawful(evidence)) == has_telemetry(evidence).sum()  # silence, states
    evidence = replace(evidence, crash_log_ratio=np.zeros((12, 1)), states=StateTable.empty(1))
    unlawful = find_unlawful(evidence)
    lawful = set(np.flatnonzero(has_telemetry(evidence)).tolist()) - set(unlawful)
    assert lawful
    assert unlawful
    found = estimate_loo(evidence, fit(evidence), seed=3, settings=SETTINGS)
    assert set(found.elpd_i.component.values) == {evidence.components[i] for i in lawful}
    assert np.isfinite(found.elpd_i.values).all()
    assert (found.pareto_k.values <= 0.7).all()


def test_no_vitals_is_fine() -> None:
    assert find_unlawful(replace(plain((1.0, 2.0, 3.0)), vitals=VitalTable.empty(1))) == {}
