"""The health gates."""

from __future__ import annotations

import math
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from bayesrca.kernels.propagation import KINDS
from bayesrca.model.draws import Draws
from bayesrca.model.parameters import unconstrained_prior
from bayesrca.posterior import diagnostics
from bayesrca.posterior.diagnostics import compute_diagnostics
from bayesrca.posterior.result import Diagnostics
from bayesrca.posterior.summary import compute_root_probabilities
from tests.unit.posterior.synthetic import make_draws

array_stats: Any = import_module("arviz_stats.base").array_stats


def diagnose(draws: Draws, reruns: int = 0) -> Diagnostics:
    root = compute_root_probabilities(draws, 0.89)
    return compute_diagnostics(draws, root, reruns=reruns, max_width=3)


def test_independent_draws_are_healthy() -> None:
    found = diagnose(make_draws(1), reruns=1)
    assert found.healthy
    assert found.problems == ()
    assert (found.n_draws, found.n_chains, found.reruns, found.max_width) == (2000, 4, 1, 3)
    assert found.r_hat is not None
    assert 0.99 < found.r_hat < 1.01
    assert 400 < found.ess < 3000
    assert found.divergences == 0
    assert found.pareto_k is None


def test_the_worst_column_decides() -> None:
    draws = make_draws(2)
    root = compute_root_probabilities(draws, 0.89)
    found = diagnose(draws)
    columns = [draws.thetas[..., j] for j in range(draws.thetas.shape[-1])]
    columns += [root.by_draw[..., j] for j in range(4)]
    axes = {"chain_axis": 0, "draw_axis": 1}
    ess = [
        min(
            float(array_stats.ess(x, method="bulk", **axes)),
            float(array_stats.ess(x, method="tail", prob=(0.05, 0.95), **axes)),
        )
        for x in columns
    ]
    rhat = [float(array_stats.rhat(x, method="rank", **axes)) for x in columns]
    assert found.ess == pytest.approx(min(ess), rel=1e-9)
    assert found.r_hat == pytest.approx(max(rhat), rel=1e-9)


@pytest.mark.parametrize(
    ("r_hat", "ess", "healthy", "word"),
    [
        (1.0099, 400.1, True, ""),
        (1.01, 1000.0, False, "R-hat"),
        (math.nextafter(1.01, 0), 1000.0, True, ""),
        (1.0, 400.0, False, "effective sample size"),
        (1.0, math.nextafter(400.0, 500.0), True, ""),
        (math.nan, 1000.0, False, "R-hat"),
        (1.0, math.nan, False, "effective sample size"),
    ],
)
def test_chain_gates_at_their_limits(
    monkeypatch: pytest.MonkeyPatch, r_hat: float, ess: float, healthy: bool, word: str
) -> None:
    monkeypatch.setattr(diagnostics, "_chains", lambda _columns: (r_hat, ess))
    found = diagnose(make_draws(3))
    assert found.healthy is healthy
    assert len(found.problems) == (not healthy)
    assert all(word in p for p in found.problems)


def test_one_divergence_fails() -> None:
    found = diagnose(make_draws(3, divergences=1))
    assert not found.healthy
    assert found.divergences == 1
    assert "1 divergent" in found.problems[0]


def test_several_gates_are_all_named() -> None:
    draws = make_draws(3, draws=60, divergences=7)
    shifted = draws.thetas.copy()
    shifted[0] += 3.0
    found = diagnose(replace(draws, thetas=shifted))
    assert [p.split()[0] for p in found.problems] == ["R-hat", "effective", "7"]


@pytest.mark.parametrize("part", ["theta", "root"])
def test_one_chain_elsewhere_is_seen_in_parameters_and_in_probabilities(part: str) -> None:
    draws = make_draws(4)
    if part == "theta":
        thetas = draws.thetas.copy()
        thetas[2, :, 5] += 2.0
        moved = replace(draws, thetas=thetas)
    else:
        log_root = draws.log_root.copy()
        log_root[2, :, 0] += 3.0
        log_root -= np.logaddexp.reduce(log_root, axis=-1, keepdims=True)
        moved = replace(draws, log_root=log_root)
    found = diagnose(moved)
    assert not found.healthy
    assert found.r_hat is not None
    assert found.r_hat > 1.1


def test_a_set_on_which_one_chain_disagrees_is_seen() -> None:
    """Though no component's own probability differs."""
    draws, k, sets = make_draws(4, components=3, sets=2), len(KINDS), ((0, 1), (0, 2))
    p = np.exp(draws.log_root)
    before = compute_root_probabilities(draws, 0.89, sets)
    moved = 0.9 * np.minimum(p[2, :, -2], p[2, :, k])
    for column, sign in ((-3, 1), (2 * k, 1), (-2, -1), (k, -1)):  # {0, 1}, {2}; {0, 2}, {1}
        p[2, :, column] += sign * moved
    changed = replace(draws, log_root=np.log(p))
    root = compute_root_probabilities(changed, 0.89, sets)
    np.testing.assert_allclose(root.by_draw, before.by_draw, rtol=1e-9)
    assert compute_diagnostics(draws, before, reruns=0, max_width=3).healthy
    found = compute_diagnostics(changed, root, reruns=0, max_width=3)
    assert found.problems[0].startswith("R-hat 1.")


def test_probabilities_that_nothing_acts_on_are_not_watched() -> None:
    draws = make_draws(4)
    log_root = draws.log_root.copy()
    log_root[..., : len(KINDS)] = -12.0
    log_root[
        2, :, : len(KINDS)
    ] = -8.0  # one chain disagrees about a probability of a few in a million
    log_root -= np.logaddexp.reduce(log_root, axis=-1, keepdims=True)
    assert diagnose(replace(draws, log_root=log_root)).healthy


def test_constant_columns_give_numbers() -> None:
    draws = make_draws(5)
    thetas = draws.thetas.copy()
    thetas[..., 7] = 2.4  # near the centre of its prior, log 12
    shares = np.append(np.repeat([0.5, 0.3, 0.15], len(KINDS)) / len(KINDS), 0.05)
    fixed = np.broadcast_to(np.log(shares), draws.log_root.shape)
    found = diagnose(replace(draws, thetas=thetas, log_root=fixed.copy()))
    assert found.healthy
    assert found.r_hat is not None
    assert math.isfinite(found.r_hat)
    assert math.isfinite(found.ess)


def test_one_chain_is_never_healthy() -> None:
    found = diagnose(make_draws(6, chains=1, draws=3000))
    assert not found.healthy
    assert len(found.problems) == 1
    assert found.problems[0].startswith("R-hat")


@pytest.mark.parametrize(("chains", "draws"), [(1, 1), (1, 2), (2, 1), (2, 3), (1, 5)])
@pytest.mark.parametrize("moving", [True, False])
@pytest.mark.filterwarnings("error")
def test_too_few_draws_are_unhealthy_in_plain_words_and_never_nan(
    chains: int, draws: int, moving: bool
) -> None:
    few = make_draws(6, chains=chains, draws=draws)
    if not moving:
        still = few.thetas[:1, :1].repeat(chains, 0).repeat(draws, 1)
        root = few.log_root[:1, :1].repeat(chains, 0).repeat(draws, 1)
        energy = {"energy": np.ones((chains, draws))}
        few = replace(few, thetas=still, log_root=root, sample_stats=energy)
    found = diagnose(few)
    assert not found.healthy
    assert found.problems[0].startswith("R-hat is undefined")
    assert found.problems[1].startswith("effective sample size")
    assert not any("nan" in p for p in found.problems)
    assert found.r_hat == math.inf
    assert math.isfinite(found.ess)
    assert found.e_bfmi is None or math.isfinite(found.e_bfmi)


def test_undefined_statistics_are_the_worst_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    undefined = np.array([math.nan, 1.0])
    monkeypatch.setattr(array_stats, "ess", lambda *_, **__: undefined)
    monkeypatch.setattr(array_stats, "rhat", lambda *_, **__: undefined)
    found = diagnose(make_draws(6))
    assert (found.r_hat, found.ess) == (math.inf, 0.0)


@pytest.mark.parametrize("screen", [True, False])
@pytest.mark.parametrize("far", [4.9, 5.1, -5.1, math.nan])
def test_a_parameter_far_outside_its_prior_fails_at_both_speeds(far: float, screen: bool) -> None:
    draws = make_draws(3, screen=screen)
    mean, sd = unconstrained_prior()
    thetas = draws.thetas.copy()
    thetas[..., 1] += mean[1] + far * sd[1] - np.sum(draws.weights * thetas[..., 1])
    found = diagnose(replace(draws, thetas=thetas))
    if far == 4.9:
        assert found.healthy
        return
    assert not found.healthy
    said = [p for p in found.problems if p.startswith("parameter ")]
    if math.isfinite(far):
        assert found.problems == tuple(said)
        assert said == [
            "parameter noise_scale[errors] lies 5.1 prior standard deviations from anything the "
            "model was made for"
        ]
    else:
        assert said


def test_the_distance_from_the_prior_is_of_the_weighted_mean() -> None:
    """Draws far out that carry no weight are no reason to distrust the rest."""
    draws = make_draws(3, screen=True)
    thetas, log_weights = draws.thetas.copy(), draws.log_weights.copy()
    thetas[0] += 100.0
    log_weights[0] = -1e3
    assert diagnose(replace(draws, thetas=thetas, log_weights=log_weights)).healthy
    assert not diagnose(replace(draws, thetas=thetas)).healthy


def test_energy_of_independent_draws_has_no_missing_information() -> None:
    found = diagnose(make_draws(7, draws=2000))
    assert found.e_bfmi == pytest.approx(2.0, rel=0.15)  # independent energies: E diff^2 = 2 var
    slow = np.cumsum(make_draws(7, draws=2000).sample_stats["energy"], axis=1)
    sluggish = diagnose(replace(make_draws(7, draws=2000), sample_stats={"energy": slow}))
    assert sluggish.e_bfmi is not None
    assert sluggish.e_bfmi < 0.3
    assert diagnose(replace(make_draws(7), sample_stats={})).e_bfmi is None


@pytest.mark.parametrize(
    ("k", "healthy"),
    [
        (0.7, False),
        (math.nextafter(0.7, 0), True),
        (-0.3, True),
        (math.inf, False),
        (math.nan, False),
    ],
)
def test_screen_gate_at_its_limit(k: float, healthy: bool) -> None:
    found = diagnose(make_draws(8, chains=16, draws=64, screen=True, pareto_k=k))
    assert found.healthy is healthy
    assert found.n_chains == 0
    assert found.n_draws == 1024
    assert (found.r_hat, found.divergences, found.e_bfmi) == (None, None, None)
    if not healthy:
        assert "--method nuts" in found.problems[0]


def test_screen_ess_counts_equal_weights_fully_and_a_single_heavy_one_as_one() -> None:
    draws = make_draws(9, chains=16, draws=64, screen=True)
    equal = replace(draws, log_weights=np.full((16, 64), -3.0))
    assert diagnose(equal).ess == pytest.approx(1024.0)
    heavy = np.full((16, 64), -500.0)
    heavy[3, 3] = 0.0
    assert diagnose(replace(draws, log_weights=heavy)).ess == pytest.approx(1.0)


def test_lighter_tails_of_vitals_are_harmless_and_heavier_ones_are_not() -> None:
    """Calm vitals drive the index and the scale of their law up together."""
    from bayesrca.model.parameters import parameter_names, unconstrained_prior
    from bayesrca.posterior.diagnostics import _prior_distances
    from bayesrca.posterior.limits import PRIOR_DISTANCE_LIMIT

    centre, sd = unconstrained_prior()
    scale, index = (parameter_names().index(n) for n in ("vital_scale", "vital_index"))

    def distances(of_scale: float, of_index: float) -> tuple[float, float]:
        mean = centre.copy()
        mean[scale] += of_scale
        mean[index] += of_index
        found = _prior_distances(mean, (centre, sd))
        others = np.delete(found, [scale, index])
        np.testing.assert_array_equal(others, 0.0)
        return found[scale], found[index]

    assert max(distances(2.8, 2.7)) < 1.0
    assert distances(0.0, -2.7)[1] > PRIOR_DISTANCE_LIMIT
    assert distances(4.0, 0.0)[0] > PRIOR_DISTANCE_LIMIT
    assert distances(-2.0, 2.7)[0] > PRIOR_DISTANCE_LIMIT
    assert sd[index] > 0


def test_estimated_sums_are_a_gate() -> None:
    draws = make_draws(1)
    root = compute_root_probabilities(draws, 0.89)
    for error, healthy in ((0.0, True), (0.5, True), (0.51, False), (math.inf, False)):
        found = compute_diagnostics(
            draws, root, reruns=0, max_width=3, estimated_sets=4, sum_error=error
        )
        assert (found.estimated_sets, found.sum_error) == (4, error)
        assert found.healthy == healthy
        assert len(found.problems) == (not healthy)
    assert "--max-width" in found.problems[0]
    assert not compute_diagnostics(
        draws, root, reruns=0, max_width=3, estimated_sets=4, sum_error=math.nan
    ).healthy
