"""Shares of the target's excess in an incident."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bayesrca.analysis import Analysis, analyze
from bayesrca.attribution import RULES, ExcessAttribution, estimate_excess_attribution
from bayesrca.config import Method, Settings
from bayesrca.errors import NoEvidenceError
from bayesrca.evidence import Evidence
from bayesrca.incident import Incident
from bayesrca.ingest import load_incident
from tests.integration.kit import ROOT
from tests.oracle.incidents import empty_table, make_evidence
from tests.unit.posterior.synthetic import make_incident, make_shop

FAST = Settings(method=Method.SCREEN, screen_scrambles=4, screen_points=16)


def run(incident: Incident, seed: int = 1) -> Analysis:
    return analyze(incident, seed=seed, settings=FAST)


def column(*values: float) -> NDArray[np.float64]:
    return np.array(values)[:, None]


def evidence(
    excess: tuple[float, ...],
    calls: tuple[tuple[int, int], ...],
    *,
    rates: tuple[float, ...] | None = None,
    noise: float = 1.0,
    **changes: Any,  # noqa: ANN401
) -> Evidence:
    """One footprint; component 0 is the target, the alarm is in latency."""
    edges = np.array(calls, dtype=np.int64).reshape(-1, 2)[:, ::-1]
    doses = column(*excess)
    noises = np.where(np.isnan(doses), np.nan, noise)
    table = empty_table(len(excess), 1, edges, excess=doses, dose_noise=noises, unit="s")
    made = make_evidence((table, empty_table(len(excess), 1)), target=0, alarm_family=0)
    rate = made.request_rate if rates is None else column(*rates)
    return dataclasses.replace(made, request_rate=rate, **changes)


def shares_of(attribution: ExcessAttribution) -> dict[str, tuple[float, float]]:
    return {s.component: (s.value, s.share) for s in attribution.shares}


def test_excess_is_shared_along_the_calls_by_requests() -> None:
    # The target calls 1 and 2, which both call 3; 4 calls 3 too and is no business of the target's.
    calls = ((0, 1), (0, 2), (1, 3), (2, 3), (4, 3))
    got = estimate_excess_attribution(
        evidence((12.0, 5.0, 3.0, 8.0, 2.0), calls, rates=(9.0, 5.0, 2.5, 1.0, 2.5), noise=0.1),
        footprint=0,
        seed=3,
    )
    expected = {"c3": (6.0, 0.5), "c0": (4.0, 1 / 3), "c1": (1.0, 1 / 12), "c2": (1.0, 1 / 12)}
    assert list(shares_of(got)) == ["c3", "c0", "c1", "c2", "c4"]
    assert shares_of(got) == {
        name: pytest.approx(pair, abs=1e-12) for name, pair in (expected | {"c4": (0, 0)}).items()
    }
    assert (got.family, got.unit, got.target, got.footprint) == ("latency", "s", "c0", (0.0, 1.0))
    assert (got.excess, got.excess_std_err, got.seed, got.n_resamples) == (12.0, 0.1, 3, 256)
    assert got.rule in RULES
    assert all(s.value_std_err > 0 for s in got.shares[:4])


def test_what_does_not_stand_out_of_its_noise_has_no_share() -> None:
    # Own excesses of 2, 3 and 15; the first two are differences with a noise of 2 ** 0.5.
    got = estimate_excess_attribution(
        evidence((20.0, 18.0, 15.0), ((0, 1), (1, 2))), footprint=0, seed=1
    )
    assert [s.value for s in got.shares] == pytest.approx([15.0, 3.0, 2.0])
    assert [s.share for s in got.shares] == pytest.approx([15 / 18, 3 / 18, 0.0])
    assert got.shares[2].share_std_err > 0


def test_errors_are_those_of_the_doses() -> None:
    """Linear where nothing is near the threshold, so the errors are known."""
    calls = ((0, 1), (1, 2))
    got = estimate_excess_attribution(
        evidence((100.0, 80.0, 50.0), calls), footprint=0, seed=1, n_resamples=20_000
    )
    error = {s.component: s.value_std_err for s in got.shares}
    assert error["c0"] == pytest.approx(2**0.5, rel=0.03)
    assert error["c1"] == pytest.approx(2**0.5, rel=0.03)
    assert error["c2"] == pytest.approx(1.0, rel=0.03)


def test_cycles_and_the_unobserved_pass_excess_on() -> None:
    # 1 and 2 call each other; 2 does not report and calls 3, where the excess began.
    calls = ((0, 1), (1, 2), (2, 1), (2, 3))
    got = estimate_excess_attribution(
        evidence((10.0, 20.0, np.nan, 10.0), calls, rates=(1.0, 1.0, 1.0, 1.0)),
        footprint=0,
        seed=1,
    )
    assert shares_of(got)["c3"] == pytest.approx((10.0, 1.0), abs=1e-9)
    hidden = next(s for s in got.shares if s.component == "c2")
    assert hidden == dataclasses.replace(
        hidden, value=0.0, value_std_err=0.0, share=0.0, share_std_err=0.0, observed=False
    )
    assert sum(s.observed for s in got.shares) == 3


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (evidence((9.0, 9.0), (), target=None, alarm_family=None), "names no target"),
        (evidence((np.nan, 9.0), ()), "takes mean latency and requests"),
        (evidence((9.0, 9.0), (), alarm_family=1), "takes failures and requests"),
        (evidence((1.4, 9.0), ()), "excess in latency of 1.4 s, within 1.5 standard deviations"),
        (evidence((-9.0, 9.0), ()), "of -9 s, within"),
    ],
)
def test_where_there_is_no_excess_it_says_why(made: Evidence, reason: str) -> None:
    with pytest.raises(NoEvidenceError, match=reason):
        estimate_excess_attribution(made, footprint=0, seed=1)


def test_an_analysis_names_the_store_behind_the_shop() -> None:
    analysis = run(make_shop())
    attribution = analysis.attribution
    assert attribution is not None
    assert attribution is analysis.answer.attribution
    best = attribution.shares[0]
    assert best.component == "store"
    assert best.share > 0.5 > 3 * best.share_std_err
    assert {s.component for s in attribution.shares} == set(analysis.components)
    assert sum(s.value for s in attribution.shares) == pytest.approx(attribution.excess)
    assert sum(s.share for s in attribution.shares) == pytest.approx(1.0)
    assert attribution.footprint in {c.explains.footprint for c in analysis.answer.posterior.causes}


@pytest.mark.parametrize("name", ["search_delay", "search_errors"])
def test_examples_have_the_injected_component_first(name: str) -> None:
    attribution = run(load_incident(ROOT / "examples" / name)).attribution
    assert attribution is not None
    assert attribution.family == name.removeprefix("search_").replace("delay", "latency")
    assert attribution.shares[0].component == "PetSearch_AWS::ECS::Fargate"


def test_the_seed_decides_the_errors_and_nothing_else() -> None:
    one, again, other = (run(make_shop(), seed).attribution for seed in (1, 1, 2))
    assert one is not None
    assert other is not None
    assert one == again
    assert one.seed != other.seed
    assert shares_of(one) == shares_of(other)
    assert one.shares[0].share_std_err != other.shares[0].share_std_err


def test_an_answer_without_shares_notes_why() -> None:
    incident = make_incident(("a", "b"), (("a", "b"),), slow=("a",))
    answer = run(incident).answer
    assert answer.attribution is None
    note = "No shares of the target's excess were computed: the incident names no target."
    assert answer.notes[-1] == note
    calm = make_incident(("a", "b"), (("a", "b"),), target="a")
    assert "within 1.5 standard deviations" in run(calm).answer.notes[-1]
