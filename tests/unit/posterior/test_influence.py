"""Answers without a component's telemetry, against running the screen on what is left."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from bayesrca.analysis import Analysis, analyze
from bayesrca.config import Method, Settings
from bayesrca.errors import UnknownComponentError
from bayesrca.evidence.left_out import without_components
from bayesrca.ingest import load_incident
from bayesrca.model.prepare import prepare_likelihood
from bayesrca.model.screen import estimate_by_screen
from bayesrca.posterior import influence
from bayesrca.posterior.influence import Influence
from bayesrca.posterior.summary import RootProbabilities, compute_root_probabilities
from tests.unit.posterior.synthetic import make_shop

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
SCREEN = Settings(method=Method.SCREEN)
CULPRIT = "PetSearch_AWS::ECS::Fargate"
SOME = (CULPRIT, "PetSite", "S3_AWS::S3")


@pytest.fixture(scope="module")
def screened() -> Analysis:
    return analyze(load_incident(EXAMPLES / "search_delay"), seed=3, settings=SCREEN)


@pytest.fixture(scope="module")
def found(screened: Analysis) -> Influence:
    return screened.estimate_influence(seed=4, components=SOME)


def again(analysis: Analysis, name: str) -> RootProbabilities:
    """The screen's answer without a component's telemetry."""
    only = np.array([c == name for c in analysis.components])
    left = without_components(analysis.evidence, only)
    settings = dataclasses.replace(analysis.settings, screen_points=256)
    with prepare_likelihood(left, settings, seed=1) as likelihood:
        draws = estimate_by_screen(likelihood, seed=11, settings=settings)
    return compute_root_probabilities(draws, settings.interval_mass, likelihood.sets)


def test_reweighting_is_the_screen_without_it(screened: Analysis, found: Influence) -> None:
    assert {one.component for one in found.left_out} == set(SOME)
    for one in found.left_out:
        exact = again(screened, one.component)
        allowed = 4 * np.hypot(one.mcse, exact.mcse) + 1e-3
        assert (np.abs(one.probabilities - exact.values) <= allowed).all(), one.component
        assert one.change == np.abs(one.probabilities - screened.root.values).max()


def test_the_answer_rests_on_the_culprits_own_telemetry(found: Influence) -> None:
    first = found.left_out[0]
    assert first.component == CULPRIT
    assert first.change > 0.5
    assert [one.change for one in found.left_out] == sorted(
        (one.change for one in found.left_out), reverse=True
    )
    text = found.describe(first)
    assert text.startswith(f"Without the telemetry of {CULPRIT}, {CULPRIT} has a probability of 0.")
    assert "leads with" in text


def test_a_new_screen_where_reweighting_fails(
    screened: Analysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(influence, "PARETO_K_LIMIT", -10.0)
    (one,) = screened.estimate_influence(seed=4, components=SOME[:1]).left_out
    exact = again(screened, one.component)
    assert one.refitted
    assert (np.abs(one.probabilities - exact.values) <= 4 * np.hypot(one.mcse, exact.mcse)).all()


def test_only_what_reports_can_be_left_out() -> None:
    shop = analyze(make_shop(), seed=1, settings=SCREEN)
    found = shop.estimate_influence(seed=1)
    assert {one.component for one in found.left_out} == {"front", "cart", "store", "search"}
    assert shop.estimate_influence(seed=1, components=["hosts/dark"]).left_out == ()
    with pytest.raises(UnknownComponentError, match="'shop'"):
        shop.estimate_influence(seed=1, components=["shop"])


def test_the_seed_decides() -> None:
    shop = analyze(make_shop(), seed=1, settings=SCREEN)
    one, same, other = (shop.estimate_influence(seed=s).left_out[0] for s in (5, 5, 6))
    assert_array_equal(one.probabilities, same.probabilities)
    assert not np.array_equal(one.probabilities, other.probabilities)
