"""What the gate decides, case by case."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bayesrca.decision import Verdict, decide, parse_policy
from bayesrca.errors import InvalidSettingsError
from tests.unit.decision.kit import CIRCUMSTANCES, NOW, make_answer, policy_table
from tests.unit.decision.table import BEST, CASES, Case


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_case_is_decided_as_it_says(case: Case) -> None:
    decision = decide(case.make_answer(), parse_policy(case.make_policy()), **case.circumstances())
    assert {c.name: c.verdict.value for c in decision.reasons} == case.reasons
    assert decision.verdict.value == case.verdict
    assert decision.component == case.component
    assert all(c.verdict is Verdict.RUN for c in decision.checks if c not in decision.reasons)


def test_every_check_has_a_case_it_fails() -> None:
    policy = parse_policy(policy_table(scope={"components": ["a"], "faults": ["latency"]}))
    names = {
        c.name
        for method in ("screen", "nuts")
        for c in decide(make_answer(BEST, method=method), policy, **CIRCUMSTANCES).checks
    }
    assert names == {name for case in CASES for name in case.reasons}


def test_the_order_of_an_answer_does_not_matter_to_a_tie() -> None:
    table = policy_table(
        scope={"patterns": ["*"]},
        thresholds={"p_cause": 0.5, "p_cause_review": 0.5, "lead": 0.125},
    )
    policy = parse_policy(table)
    orders = [{"a": 0.5, "b": 0.5}, {"b": 0.5, "a": 0.5}]
    found = [decide(make_answer(sets), policy, **CIRCUMSTANCES) for sets in orders]
    first, second = (replace(d, answer_hash="") for d in found)
    assert first == second
    assert first.component == "a"
    assert first.verdict is Verdict.REVIEW


def test_what_it_was_decided_by_is_recorded() -> None:
    policy = parse_policy(policy_table())
    history = (NOW - 9.0, NOW - 5000.0, NOW - 4096.0, NOW - 20.0)
    d = decide(
        make_answer(BEST), policy, now=NOW, analyzed_at=NOW - 1.0, history=history, kill_switch=True
    )
    assert (d.now, d.analyzed_at, d.kill_switch) == (NOW, NOW - 1.0, True)
    assert d.recent_runs == (NOW - 4096.0, NOW - 20.0, NOW - 9.0)
    assert d.valid_until == NOW - 1.0 + 1024.0
    assert d.policy_version == policy.version
    again = decide(
        make_answer(BEST), policy, now=d.now, analyzed_at=d.analyzed_at,
        history=d.recent_runs, kill_switch=d.kill_switch,
    )  # fmt: skip
    assert again == d


def test_each_number_is_told_with_its_threshold_and_side() -> None:
    policy = parse_policy(policy_table(reversible=False))
    d = decide(make_answer({"a": 0.75, "b": 0.0}), policy, **CIRCUMSTANCES)
    (first, second) = d.reasons
    assert (first.name, first.value, first.threshold) == ("reversible", None, None)
    assert (second.name, second.value, second.side, second.threshold) == (
        "p_cause", 0.75, ">=", 0.875,
    )  # fmt: skip
    assert second.text == (
        "the lower bound of p(cause), itself 0.75, is 0.75; it has to be >= 0.875"
    )
    assert d.text == "REVIEW restart on a: the runbook cannot be undone (1 more)."


def test_the_losses_are_those_of_the_table() -> None:
    d = decide(make_answer(BEST, width=0.0625), parse_policy(policy_table()), **CIRCUMSTANCES)
    assert d.expected_loss is not None
    assert d.worst_loss is not None
    assert d.expected_loss.p == 0.9375
    assert d.expected_loss.acting == 0.9375 * 1 + 0.0625 * 8
    assert d.expected_loss.waiting == 0.9375 * 9
    assert (d.worst_loss.p, d.worst_loss.waiting) == (0.875, 0.875 * 9)
    benefit = next(c.value for c in d.checks if c.name == "expected_loss")
    assert benefit == d.worst_loss.waiting - d.worst_loss.acting


@pytest.mark.parametrize("name", ["now", "analyzed_at"])
def test_a_time_that_is_none_is_refused(name: str) -> None:
    given = {**CIRCUMSTANCES, name: float("nan")}
    with pytest.raises(InvalidSettingsError, match=name):
        decide(make_answer(BEST), parse_policy(policy_table()), **given)


def test_a_run_at_no_time_is_refused() -> None:
    given = {**CIRCUMSTANCES, "history": [NOW, float("inf")]}
    with pytest.raises(InvalidSettingsError, match="history"):
        decide(make_answer(BEST), parse_policy(policy_table()), **given)
