"""The JSON form."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import replace
from typing import Any

import pytest

from bayesrca.analysis import analyze
from bayesrca.config import Method, Settings
from bayesrca.ingest import load_incident
from bayesrca.kernels.propagation import KINDS
from bayesrca.posterior.document import SCHEMA, answer_document
from bayesrca.posterior.result import Answer
from tests.integration.kit import ROOT
from tests.unit.posterior.synthetic import make_incident, make_shop

FAST = Settings(method=Method.SCREEN, screen_scrambles=4, screen_points=8)
KEYS = {
    "": (
        "schema incident method healthy may_act alarm interval_mass ambiguity none causes sets "
        "levels changes onsets attribution diagnostics notes seed versions timings"
    ),
    "none": "probability mcse interval",
    "ambiguity": "entropy effective credible credible_mass word text",
    "causes": "component kind kinds probability mcse interval only explains",
    "kinds": " ".join(KINDS),
    "only": "probability mcse interval",
    "sets": "components probability mcse interval",
    "alarm": "target_p incident_p anomalous text",
    "onsets": "component signal time lower upper rank",
    "levels": "kind nodes",
    "nodes": "component probability mcse interval",
    "explains": (
        "own dose explained_share path edges affected reaches_target footprint text regions"
    ),
    "explained_share": "family value interval ratio",
    "edges": "source target family probability",
    "affected": "component probability",
    "own": "family signal measure contrast scale log_bayes_factor",
    "dose": "family unit cause target",
    "attribution": (
        "family unit footprint target excess excess_std_err shares rule n_resamples seed"
    ),
    "shares": "component value value_std_err share share_std_err observed",
    "diagnostics": (
        "healthy problems n_draws n_chains r_hat ess divergences e_bfmi pareto_k reruns max_width "
        "estimated_sets sum_error"
    ),
    "versions": "bayesrca numpy scipy pymc pytensor nutpie arviz numba python",
    "timings": "evidence screen diagnose explain",
}


def answers() -> list[Answer]:
    incidents = [
        make_shop(),
        make_incident(("a", "b"), (("a", "b"),), slow=("a",), window=False, baseline=False),
        make_incident(("only",), (), slow=("only",), target="only"),
        *(
            load_incident(ROOT / "examples" / name)
            for name in ("search_delay", "search_errors", "search_delay_no_baseline")
        ),
    ]
    return [analyze(i, seed=2, settings=FAST).answer for i in incidents]


@pytest.fixture(scope="module")
def documents() -> list[tuple[Answer, dict[str, Any]]]:
    return [(a, json.loads(json.dumps(answer_document(a), allow_nan=False))) for a in answers()]


def check_keys(value: Any, name: str = "") -> None:  # noqa: ANN401
    if isinstance(value, list):
        for entry in value:
            check_keys(entry, name)
    elif isinstance(value, dict):
        assert list(value) == KEYS[name].split(), name
        for key, entry in value.items():
            check_keys(entry, key)


def test_keys_are_exactly_the_documented_ones_in_their_order(
    documents: list[tuple[Answer, dict[str, Any]]],
) -> None:
    for _, document in documents:
        check_keys(document)


def test_numbers_come_back_to_the_last_bit(
    documents: list[tuple[Answer, dict[str, Any]]],
) -> None:
    for answer, document in documents:
        assert document["schema"] == SCHEMA
        assert document["healthy"] is answer.healthy
        assert document["seed"] == answer.seed
        assert document["interval_mass"] == answer.interval_mass == 0.89
        none = answer.posterior.none
        assert document["none"] == {
            "probability": none.value, "mcse": none.mcse, "interval": list(none.interval),
        }  # fmt: skip
        for cause, entry in zip(answer.posterior.causes, document["causes"], strict=True):
            assert entry["component"] == cause.component
            assert entry["probability"] == cause.probability.value
            assert entry["mcse"] == cause.probability.mcse
            assert entry["interval"] == list(cause.probability.interval)
            assert entry["kinds"] == dict(cause.kinds)
            assert entry["explains"]["footprint"] == list(cause.explains.footprint)


def test_shares_come_back_to_the_last_bit(
    documents: list[tuple[Answer, dict[str, Any]]],
) -> None:
    assert [d["attribution"] is not None for _, d in documents] == [True, False] + 4 * [True]
    for answer, document in documents:
        ours, entry = answer.attribution, document["attribution"]
        if ours is not None:
            assert entry["footprint"] == list(ours.footprint)
            assert (entry["excess"], entry["seed"]) == (ours.excess, ours.seed)
            for share, row in zip(ours.shares, entry["shares"], strict=True):
                assert row == dataclasses.asdict(share)


def test_ranges_hold(documents: list[tuple[Answer, dict[str, Any]]]) -> None:
    for _, document in documents:
        alone = [cause["only"] for cause in document["causes"]]
        several = [s for s in document["sets"] if len(s["components"]) > 1]
        exclusive = [document["none"], *alone, *several]
        total = sum(e["probability"] for e in exclusive)
        assert 1.0 - 5e-4 < total < 1.0 + 1e-9  # sets below 1e-6 are not listed
        assert 1 <= document["ambiguity"]["effective"] <= len(exclusive)
        for entry in [*exclusive, *document["causes"], *document["sets"]]:
            low, high = entry["interval"]
            assert 0 <= low <= high <= 1
            assert entry["mcse"] >= 0
        for cause in document["causes"]:
            only = cause["only"]["probability"]
            assert math.isclose(sum(cause["kinds"].values()), only, rel_tol=1e-9)
            assert only <= cause["probability"] * (1 + 1e-12)
            assert cause["kind"] == max(cause["kinds"], key=cause["kinds"].__getitem__)


@pytest.mark.parametrize("name", ["pareto_k", "r_hat", "ess", "e_bfmi"])
@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_an_undefined_diagnostic_is_null(name: str, value: float) -> None:
    answer = analyze(make_shop(), seed=1, settings=FAST).answer
    changed: dict[str, Any] = {name: value}
    broken = replace(answer, diagnostics=replace(answer.diagnostics, **changed))
    document = json.loads(json.dumps(answer_document(broken), allow_nan=False))
    assert document["diagnostics"][name] is None
