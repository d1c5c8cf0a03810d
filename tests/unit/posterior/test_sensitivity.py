"""Power-scaling against reweighting written out here, and against laws that are known."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from bayesrca.analysis import Analysis, analyze
from bayesrca.config import Method, Settings
from bayesrca.ingest import load_incident
from bayesrca.model.log_prior import compute_log_prior, split_by_parameter
from bayesrca.model.parameters import PRIORS, parameter_names, unconstrained_prior
from bayesrca.posterior.sensitivity import (
    CONFLICT,
    STRONG_PRIOR,
    SensitivityRow,
    compute_scaled_answer,
    compute_sensitivity,
)
from bayesrca.posterior.summary import compute_root_probabilities
from bayesrca.posterior.tree import build_tree
from tests.unit.posterior.synthetic import make_draws, make_shop

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
CULPRIT = "PetSearch_AWS::ECS::Fargate"


@pytest.fixture(scope="module")
def screened() -> Analysis:
    incident = load_incident(EXAMPLES / "search_delay")
    return analyze(incident, seed=6, settings=Settings(method=Method.SCREEN, screen_points=256))


def log_prior(thetas: Any) -> Any:  # noqa: ANN401
    mean, sd = unconstrained_prior()
    return stats.norm.logpdf(thetas, mean, sd)


def cumulative_distance(x: Any, w: Any) -> float:  # noqa: ANN401
    """Kallioinen et al. 2024, eq. 8: CJS distance between equal weights and weights w."""
    order = np.argsort(x)
    x, w = x[order], w[order]
    width = np.diff(x)
    p = np.linspace(1 / len(x), 1 - 1 / len(x), len(x) - 1)
    q = np.cumsum(w / w.sum())[:-1]
    half = (p + q) / 2
    forward = np.sum(width * (p * np.log2(p / half))) + np.sum(width * (q - p)) / (2 * np.log(2))
    backward = np.sum(width * (q * np.log2(q / half))) + np.sum(width * (p - q)) / (2 * np.log(2))
    return float(np.sqrt((forward + backward) / np.sum(width * (p + q))))


def sensitivity(x: Any, log_part: Any) -> float:  # noqa: ANN401
    lower, upper = (np.exp((a - 1) * (log_part - log_part.max())) for a in (0.99, 1.01))
    low = max(cumulative_distance(x, lower), cumulative_distance(-x, lower))
    high = max(cumulative_distance(x, upper), cumulative_distance(-x, upper))
    return float((high / np.log2(1.01) - low / np.log2(0.99)) / 2)


def test_the_log_prior_is_that_of_normals() -> None:
    draws = make_draws(3)
    thetas = draws.thetas
    got = compute_log_prior(thetas, draws.prior)
    assert_allclose(got, log_prior(thetas), rtol=1e-12, atol=1e-12)
    parts = split_by_parameter(got)
    assert list(parts) == list(PRIORS)
    assert parts["transmission"].shape == (*thetas.shape[:2], 2)
    every = np.concatenate([v.reshape(*thetas.shape[:2], -1) for v in parts.values()], axis=-1)
    assert_array_equal(every, got)


def test_a_prior_of_ones_own_is_the_one_that_counts() -> None:
    draws = make_draws(3)
    mean, sd = draws.prior
    other = replace(draws, prior=(mean + 1.0, 0.5 * sd))
    got = compute_log_prior(other.thetas, other.prior)
    wanted = stats.norm.logpdf(other.thetas, mean + 1.0, 0.5 * sd)
    assert_allclose(got, wanted, rtol=1e-12, atol=1e-12)
    root = compute_root_probabilities(draws, 0.89)
    of = [compute_scaled_answer(d, root, part="prior", alpha=0.8) for d in (draws, other)]
    assert not np.allclose(of[0].probabilities, of[1].probabilities, rtol=1e-3)


def test_scaled_answers_are_those_of_plain_reweighting(screened: Analysis) -> None:
    draws, root = screened.draws, screened.root
    found = screened.compute_sensitivity()
    assert [(s.part, s.alpha) for s in found.scaled] == [
        ("prior", 0.8), ("prior", 1.25), ("likelihood", 0.8), ("likelihood", 1.25),
    ]  # fmt: skip
    for scaled in found.scaled:
        part = log_prior(draws.thetas).sum(-1) if scaled.part == "prior" else draws.log_likelihood
        log_w = draws.log_weights + (scaled.alpha - 1) * part
        w = np.exp(log_w - log_w.max())
        plain = np.einsum("cd,cdn->n", w / w.sum(), root.by_draw)
        # Smoothing only touches the largest weights.
        assert_allclose(scaled.probabilities, plain, atol=2e-3)
        assert scaled.pareto_k < 0.7
    assert found.largest_shift == max(
        np.abs(s.probabilities - root.values).max() for s in found.scaled[:2]
    )


def test_the_error_of_a_shift_is_what_other_seeds_show() -> None:
    settings = Settings(method=Method.SCREEN, screen_points=32)
    runs = [analyze(make_shop(), seed=seed, settings=settings) for seed in range(24)]
    scaled = [
        (run, compute_scaled_answer(run.draws, run.root, part="prior", alpha=0.8)) for run in runs
    ]
    shifts = np.array([s.probabilities - run.root.values for run, s in scaled])
    claimed = np.sqrt(np.mean([s.shift_mcse**2 for _, s in scaled], axis=0))
    # Root mean squares of 24 runs, 15 degrees of freedom each: within a factor of two.
    assert_allclose(np.log2(claimed / shifts.std(axis=0, ddof=1)), 0.0, atol=1.0)


def test_a_wider_prior_is_a_wider_prior() -> None:
    """Draws from the prior with weights of power .8 are draws of sd 1 / sqrt(.8)."""
    draws = make_draws(5, chains=4, draws=40_000)
    mean, sd = unconstrained_prior()
    z = (draws.thetas - mean) / sd
    p = stats.norm.cdf(z[..., :1] + 1.0)  # depends on the first entry alone
    by_draw = np.concatenate([p, 1 - p], axis=-1)
    root = replace(
        compute_root_probabilities(draws, 0.89),
        by_draw=by_draw,
        values=by_draw.mean(axis=(0, 1)),
    )
    scaled = compute_scaled_answer(draws, root, part="prior", alpha=0.8)
    expected = stats.norm.cdf(1.0 / np.sqrt(1.0 + 1.25))
    error = float(scaled.shift_mcse[0]) + p.std() / np.sqrt(p.size)
    assert scaled.probabilities[0] == pytest.approx(expected, abs=4 * error)
    assert abs(p.mean() - expected) > 5 * error  # the test can fail


def test_rows_are_the_distances_of_the_paper(screened: Analysis) -> None:
    tree: Any = screened.to_datatree()
    rows = {r.name: r for r in screened.compute_sensitivity().rows}
    prior = sum(tree["log_prior"][n].values.reshape(4096, -1).sum(axis=-1) for n in PRIORS)
    likelihood = tree["log_likelihood"]["theta"].values.ravel()
    quantities = {
        "transmission[latency]": tree["posterior"]["transmission"].values[..., 0].ravel(),
        "full_dose_path": tree["posterior"]["full_dose_path"].values.ravel(),
        "p_none": tree["root_cause"]["p_none"].values.ravel(),
        f"p_cause[{CULPRIT}]": tree["root_cause"]["p_cause"].sel(component=CULPRIT).values.ravel(),
    }
    for name, x in quantities.items():
        assert rows[name].prior == pytest.approx(sensitivity(x, prior), rel=0.05), name
        assert rows[name].likelihood == pytest.approx(sensitivity(x, likelihood), rel=0.05), name
    assert set(parameter_names()) <= set(rows)


def test_noise_is_what_a_quantity_without_any_part_shows() -> None:
    draws = make_draws(7, draws=1000)
    root = compute_root_probabilities(draws, 0.89)
    rows = compute_sensitivity(draws, root, ("a", "b", "c"), seed=1).rows
    # Here the likelihood is noise, the draws are the prior's own.
    for row in rows:
        assert 0.2 < row.likelihood / row.likelihood_noise < 4.0, row
        assert row.diagnosis in ("", STRONG_PRIOR)
    theta = [r for r in rows if not r.name.startswith("p_")]
    assert np.mean([r.prior > 2 * r.prior_noise for r in theta]) > 0.9


def test_diagnoses_are_arvizs_where_chance_is_ruled_out(screened: Analysis) -> None:
    tree = build_tree(screened.draws, screened.root, screened.components, {}, seed=6)
    summary: Any = import_module("arviz_stats").psense_summary
    table = summary(tree, round_to=6)
    for row in screened.compute_sensitivity(()).rows:
        if row.name.startswith("p_"):
            continue
        sure = SensitivityRow(
            name=row.name,
            prior=row.prior,
            likelihood=row.likelihood,
            prior_noise=0.0,
            likelihood_noise=0.0,
        )
        theirs = table.loc[row.name]
        assert row.prior == pytest.approx(theirs["prior"], abs=1e-5)
        assert row.likelihood == pytest.approx(theirs["likelihood"], abs=1e-5)
        assert (sure.diagnosis or "✓") == theirs["diagnosis"]
        assert row.diagnosis in ("", STRONG_PRIOR, CONFLICT)
