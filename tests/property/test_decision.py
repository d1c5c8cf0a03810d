"""Laws of the gate, over made-up answers and policies of any kind."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bayesrca.decision import Decision, Policy, Verdict, decide, parse_policy, policy_document
from bayesrca.posterior.result import Answer, Diagnostics
from tests.unit.decision.kit import make_answer, policy_table

ORDER = (Verdict.HOLD, Verdict.REVIEW, Verdict.RUN)
SHARE = st.floats(0.0, 1.0)
POSITIVE = st.floats(0.001, 1.0)
LOSS = st.floats(0.0, 1e6)
TIME = st.floats(-1e9, 1e10)
SETS = ("a", "b", "c", "ab", "ac", "bc", "abc")


def at_most(one: Decision, other: Decision) -> bool:
    """Whether every check of one allows at most what it allows in the other."""
    assert [c.name for c in one.checks] == [c.name for c in other.checks]
    pairs = [(one.verdict, other.verdict)]
    pairs += [(c.verdict, d.verdict) for c, d in zip(one.checks, other.checks, strict=True)]
    return all(ORDER.index(a) <= ORDER.index(b) for a, b in pairs)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Of any thresholds, losses and words that are legal; careless ones included."""
    review, cause = sorted((draw(POSITIVE), draw(POSITIVE)))
    none, none_review = sorted((draw(SHARE), draw(SHARE)))
    right, wait_right = draw(st.lists(LOSS, min_size=2, max_size=2, unique=True).map(sorted))
    wait_wrong, wrong = draw(st.lists(LOSS, min_size=2, max_size=2, unique=True).map(sorted))
    word = st.sampled_from(["run", "review", "hold"])
    table = policy_table(
        reversible=draw(st.booleans()),
        several=draw(word),
        max_age_seconds=draw(st.floats(1.0, 3e7)),
        scope={
            "components": draw(st.lists(st.sampled_from("abc"), min_size=1)),
            "faults": draw(st.lists(st.sampled_from(["latency", "errors", "none"]), max_size=2)),
        },
        loss={
            "act_right": right, "act_wrong": wrong,
            "wait_right": wait_right, "wait_wrong": wait_wrong,
        },
        rate_limit={"runs": draw(st.integers(1, 3)), "window_seconds": draw(st.floats(1.0, 3e7))},
        thresholds={
            "p_cause": cause, "p_cause_review": review,
            "p_none": none, "p_none_review": none_review,
            "lead": draw(POSITIVE), "alone": draw(SHARE), "fault": draw(SHARE),
            "bound": draw(st.sampled_from(["interval", "mcse"])),
            "interval_mass": draw(SHARE),
        },
        explained_share={"minimum": draw(SHARE), "unknown": draw(word)},
        health={
            "methods": draw(st.lists(st.sampled_from(["nuts", "screen"]), min_size=1)),
            "min_ess": draw(st.floats(0.0, 1e3)),
        },
    )  # fmt: skip
    return parse_policy(table)


LAX = parse_policy(
    policy_table(
        scope={"patterns": ["*"]},
        several="run",
        max_age_seconds=3e7,
        loss={"act_right": 0, "act_wrong": 1e-9, "wait_right": 1e9, "wait_wrong": 0},
        rate_limit={"runs": 1000, "window_seconds": 1},
        thresholds={
            "p_cause": 1e-9, "p_cause_review": 1e-9, "p_none": 1, "p_none_review": 1,
            "lead": 1e-9, "alone": 0, "fault": 0, "interval_mass": 0,
        },
        explained_share={"minimum": 0, "unknown": "run"},
        health={"min_ess": 0},
    )
)  # fmt: skip
"""The most careless policy there is."""


@st.composite
def probabilities(draw: st.DrawFn) -> dict[str, float]:
    """Of every set of three causes and of ``none``; they sum to one."""
    weights = np.array(draw(st.lists(POSITIVE, min_size=8, max_size=8)))
    sharp = draw(st.sampled_from([1.0, 4.0, 16.0]))
    p = weights**sharp / (weights**sharp).sum()
    return dict(zip((*SETS, "none"), draw(st.permutations(p.tolist())), strict=True))


@st.composite
def details(draw: st.DrawFn) -> dict[str, Any]:
    """What else an answer holds."""
    latency = draw(SHARE)
    return {
        "mcse": draw(st.sampled_from([0.0, 0.001, 0.01])),
        "width": draw(st.sampled_from([0.0, 0.01, 0.1])),
        "kinds": {"latency": latency, "errors": 1.0 - latency},
        "explained": draw(st.none() | SHARE),
        "method": draw(st.sampled_from(["screen", "nuts"])),
    }


def circumstances() -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda now, age, runs, switch: {
            "now": now,
            "analyzed_at": None if age is None else now - age,
            "history": None if runs is None else [now - ago for ago in runs],
            "kill_switch": switch,
        },
        TIME,
        st.none() | st.floats(-10.0, 2000.0),
        st.none() | st.lists(st.floats(-10.0, 1e4), max_size=3),
        st.sampled_from([False, False, True]),
    )


def build(p: dict[str, float], **more: Any) -> Answer:  # noqa: ANN401
    return make_answer({s: p[s] for s in SETS}, none=p["none"], **more)


def moved(p: dict[str, float], source: str, to: str, share: float) -> dict[str, float]:
    """Some of one hypothesis' probability given to another."""
    step = share * p[source]
    return {**p, source: p[source] - step, to: p[to] + step}


CALM: dict[str, Any] = {"now": 0.0, "analyzed_at": 0.0, "history": (), "kill_switch": False}


@given(probabilities(), details(), policies(), st.sampled_from("bc"), SHARE)
@settings(max_examples=150, deadline=None)
def test_more_for_the_cause_alone_never_allows_less(
    p: dict[str, float], more: dict[str, Any], policy: Policy, rival: str, share: float
) -> None:
    """From a rival that is the only cause, with the policy's cause the most probable covered."""
    policy = replace(policy, scope=replace(policy.scope, components=("a",), patterns=()))
    before = decide(build(p, **more), policy, **CALM)
    after = decide(build(moved(p, rival, "a", share), **more), policy, **CALM)
    assume(not any(map(is_edge, (*before.checks, *after.checks))))
    assert at_most(before, after)


@given(probabilities(), details(), policies(), SHARE)
@settings(max_examples=150, deadline=None)
def test_more_for_none_never_allows_more(
    p: dict[str, float], more: dict[str, Any], policy: Policy, share: float
) -> None:
    policy = replace(policy, scope=replace(policy.scope, components=("a",), patterns=()))
    before = decide(build(p, **more), policy, **CALM)
    after = decide(build(moved(p, "a", "none", share), **more), policy, **CALM)
    assume(not any(map(is_edge, (*before.checks, *after.checks))))
    assert at_most(after, before)


@given(probabilities(), details(), policies(), st.sampled_from(["mcse", "width"]), POSITIVE)
@settings(max_examples=100, deadline=None)
def test_less_certainty_never_allows_more(
    p: dict[str, float], more: dict[str, Any], policy: Policy, name: str, extra: float
) -> None:
    before = decide(build(p, **more), policy, **CALM)
    wider = {**more, name: more[name] + extra}
    after = decide(build(p, **wider), policy, **CALM)
    assert at_most(after, before)


@given(probabilities(), details(), policies(), circumstances())
@settings(max_examples=150, deadline=None)
def test_the_same_is_always_decided_the_same(
    p: dict[str, float], more: dict[str, Any], policy: Policy, given_: dict[str, Any]
) -> None:
    answer = build(p, **more)
    first = decide(answer, policy, **given_)
    rebuilt = parse_policy(policy_document(policy))
    assert rebuilt == policy
    assert rebuilt.version == policy.version
    again = decide(
        replace(build(p, **more), timings={}), rebuilt, now=first.now,
        analyzed_at=first.analyzed_at, history=first.recent_runs, kill_switch=first.kill_switch,
    )  # fmt: skip
    assert again == first


@given(probabilities(), policies(), st.permutations(range(3)))
@settings(max_examples=100, deadline=None)
def test_names_and_their_order_do_not_matter(
    p: dict[str, float], policy: Policy, order: list[int]
) -> None:
    """Renaming the components renames the decision, unless two are as probable to the last bit."""
    to = dict(zip("abc", ("abc"[i] for i in order), strict=True))
    renamed = {"none": p["none"]} | {
        "".join(sorted(to[c] for c in members)): p[members] for members in SETS
    }
    names = tuple(to[c] for c in policy.scope.components)
    other = replace(policy, scope=replace(policy.scope, components=names))
    here, there = decide(build(p), policy, **CALM), decide(build(renamed), other, **CALM)
    assert here.component is not None
    totals = sorted(sum(v for s, v in p.items() if s != "none" and c in s) for c in "abc")
    assume(min(np.diff(totals)) > 1e-9)
    assert to[here.component] == there.component
    found = [[(c.name, c.verdict) for c in d.checks if not is_edge(c)] for d in (here, there)]
    assert found[0] == found[1]


def is_edge(check: Any) -> bool:  # noqa: ANN401
    """Whether rounding may have crossed the threshold, in a sum or a ratio."""
    summed = check.name in ("p_cause", "lead", "alone", "fault", "expected_loss")
    return summed and check.value is not None and abs(check.value - check.threshold) < 1e-9


@given(st.floats(0.01, 0.5), details(), policies(), st.permutations(["a", "b", "c"]))
@settings(max_examples=100, deadline=None)
def test_a_tie_never_runs_and_favours_none(
    share: float, more: dict[str, Any], policy: Policy, order: list[str]
) -> None:
    first, second, third = order
    scope = replace(policy.scope, components=(first, second), patterns=())
    tied = {first: share, second: share, third: 0.0}
    found = [
        decide(make_answer(sets, none=0.0, **more), replace(policy, scope=scope), **CALM)
        for sets in (tied, dict(reversed(tied.items())))
    ]
    assert found[0].verdict is not Verdict.RUN
    # What differs is the order in which the answer lists its sets.
    assert replace(found[0], answer_hash="") == replace(found[1], answer_hash="")


BAD: list[dict[str, Any]] = [
    {"healthy": False},
    {"anomalous": False},
    {"pareto_k": 0.7},
    {"pareto_k": None},
    {"sum_error": 0.6},
    {"method": "nuts", "r_hat": 1.01},
    {"method": "nuts", "ess": 400.0},
    {"method": "nuts", "divergences": 1},
]


@given(st.sampled_from(BAD), policies() | st.just(LAX), circumstances() | st.just(CALM))
@settings(max_examples=150, deadline=None)
def test_no_policy_lets_run_what_must_not_be_acted_on(
    bad: dict[str, Any], policy: Policy, given_: dict[str, Any]
) -> None:
    answer = make_answer({"a": 1.0, "b": 0.0, "c": 0.0}, none=0.0, explained=1.0, **bad)
    assert decide(answer, policy, **given_).verdict is Verdict.HOLD
    switched = decide(answer, policy, **{**given_, "kill_switch": True})
    assert switched.verdict is Verdict.HOLD


def test_the_careless_policy_lets_a_sound_answer_run() -> None:
    """Else the law above would say nothing."""
    for method in ("screen", "nuts"):
        answer = make_answer({"a": 1.0}, none=0.0, method=method)
        assert decide(answer, LAX, **CALM).verdict is Verdict.RUN


@given(circumstances(), policies())
@settings(max_examples=100, deadline=None)
def test_no_circumstances_allow_more_than_calm_ones(given_: dict[str, Any], policy: Policy) -> None:
    answer = make_answer({"a": 0.9, "b": 0.05, "c": 0.02})
    calm, real = decide(answer, policy, **CALM), decide(answer, policy, **given_)
    assert at_most(real, calm)


@given(st.sampled_from([f.name for f in fields(Diagnostics)]), st.data())
@settings(max_examples=100, deadline=None)
def test_whatever_the_diagnostics_say_it_is_decided(name: str, data: st.DataObject) -> None:
    kind = {"healthy": st.booleans(), "problems": st.just(())}.get(name, st.floats() | st.just(0.0))
    method = data.draw(st.sampled_from(["screen", "nuts"]))
    changed: dict[str, Any] = {name: data.draw(kind)}
    answer = make_answer({"a": 1.0}, none=0.0, method=method)
    odd = replace(answer, diagnostics=replace(answer.diagnostics, **changed))
    assert decide(odd, LAX, **CALM).verdict in (Verdict.RUN, Verdict.HOLD)
