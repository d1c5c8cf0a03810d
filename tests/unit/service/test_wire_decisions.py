"""Policies and decisions over the wire."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesrca.api.v1 import decision_pb2 as pb
from bayesrca.decision import Policy, Verdict, decide, parse_policy
from bayesrca.errors import IncidentFormatError, InvalidSettingsError
from bayesrca.wire.decisions import StoredDecision, decode_decision, encode_decision
from bayesrca.wire.moments import seconds_of, set_moment, to_microsecond
from bayesrca.wire.policies import (
    StoredPolicy,
    decode_policy,
    decode_stored_policy,
    encode_policy,
)
from tests.property.test_decision import circumstances, details, policies
from tests.unit.decision.kit import CIRCUMSTANCES, make_answer, policy_table

BEST = {"a": 0.9375, "b": 0.03125}


@given(policies())
@settings(max_examples=100, deadline=None)
def test_a_policy_travels_unchanged(policy: Policy) -> None:
    message = pb.Policy.FromString(encode_policy(policy).SerializeToString())
    found = decode_policy(message)
    assert found == policy
    assert found.version == policy.version


def test_places_travel_too() -> None:
    policy = parse_policy(policy_table(scope={"patterns": ["*"], "level": "host"}))
    assert decode_policy(encode_policy(policy)) == policy


def test_what_is_absent_takes_its_default() -> None:
    whole = encode_policy(parse_policy(policy_table(thresholds=None, health=None)))
    for name in ("thresholds", "health"):
        whole.ClearField(name)
    assert decode_policy(whole) == parse_policy(policy_table(thresholds=None, health=None))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda m: m.ClearField("reversible"), "policy.reversible"),
        (lambda m: m.ClearField("runbook"), "policy.runbook"),
        (lambda m: m.ClearField("loss"), "policy.loss"),
        (lambda m: m.loss.ClearField("act_wrong"), "policy.loss.act_wrong"),
        (lambda m: setattr(m.loss, "act_wrong", float("nan")), "policy.loss.act_wrong"),
        (lambda m: setattr(m.thresholds, "p_cause", 1.5), "policy.thresholds.p_cause"),
        (lambda m: setattr(m.thresholds, "bound", 7), "policy.bound"),
        (lambda m: setattr(m, "several", 9), "policy.several"),
        (lambda m: setattr(m.rate_limit, "runs", 0), "policy.rate_limit.runs"),
        (lambda m: m.scope.components.append(""), "policy.scope.components"),
        (lambda m: m.health.methods.append("auto"), "policy.health.methods"),
    ],
)
def test_a_message_that_is_no_policy_is_refused_with_its_path(change: Any, field: str) -> None:  # noqa: ANN401
    message = encode_policy(parse_policy(policy_table()))
    change(message)
    with pytest.raises(InvalidSettingsError) as caught:
        decode_policy(message)
    assert caught.value.field == field


def test_a_stored_policy_says_whose_it_is() -> None:
    policy = parse_policy(policy_table())
    message = pb.StoredPolicy(
        name=f"policies/{policy.version}", policy=encode_policy(policy), creator="ops",
        in_force=True,
    )  # fmt: skip
    set_moment(message.create_time, 12.5)
    assert decode_stored_policy(message) == StoredPolicy(
        name=f"policies/{policy.version}", policy=policy, creator="ops", created=12.5,
        in_force=True,
    )  # fmt: skip
    message.ClearField("policy")
    with pytest.raises(IncidentFormatError):
        decode_stored_policy(message)


@given(details(), policies(), circumstances(), st.floats(0.0, 1.0))
@settings(max_examples=100, deadline=None)
def test_a_decision_travels_unchanged(
    more: dict[str, Any], policy: Policy, given_: dict[str, Any], p: float
) -> None:
    answer = make_answer({"a": p, "b": 1.0 - p}, none=0.0, **more)
    decision = decide(answer, policy, **given_)
    stored = StoredDecision(
        name="decisions/1", request_id="r", analysis="analyses/1",
        policy=f"policies/{policy.version}", caller="bot", decision=decision,
    )  # fmt: skip
    message = encode_decision(stored)
    assert message.text == decision.text
    runs = decision.recent_runs or ()
    kept = replace(
        decision,
        now=to_microsecond(decision.now),
        analyzed_at=moment(decision.analyzed_at),
        valid_until=moment(decision.valid_until),
        recent_runs=tuple(map(to_microsecond, runs)),
    )
    assert decode_decision(pb.Decision.FromString(message.SerializeToString())) == replace(
        stored, decision=kept
    )


def moment(seconds: float | None) -> float | None:
    return None if seconds is None else to_microsecond(seconds)


@given(st.floats(-1e9, 4e9))
def test_moments_keep_their_microseconds(seconds: float) -> None:
    stamp = Timestamp()
    set_moment(stamp, seconds)
    kept = to_microsecond(seconds)
    assert seconds_of(stamp) == kept
    assert to_microsecond(kept) == kept
    assert abs(kept - seconds) <= 1e-6


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda m: m.ClearField("verdict"), "decision.verdict"),
        (lambda m: setattr(m, "verdict", 4), "decision.verdict"),
        (lambda m: setattr(m.checks[2], "verdict", 4), "decision.checks[2].verdict"),
        (lambda m: setattr(m.checks[2], "side", 5), "decision.checks[2].side"),
    ],
)
def test_a_decision_that_cannot_be_read_is_none(change: Any, field: str) -> None:  # noqa: ANN401
    decision = decide(make_answer(BEST), parse_policy(policy_table()), **CIRCUMSTANCES)
    assert decision.verdict is Verdict.RUN
    message = encode_decision(
        StoredDecision(name="", request_id="", analysis="", policy="", caller="", decision=decision)
    )
    change(message)
    with pytest.raises(IncidentFormatError) as caught:
        decode_decision(message)
    assert caught.value.field == field
