"""Policies that are none, with the path of what is wrong, and odd ones that are."""

from __future__ import annotations

from typing import Any

from tests.unit.decision.kit import policy_table

HUGE = 10**400
TINY = 5e-324
YEAR = 366 * 86400


def over(**changes: Any) -> dict[str, Any]:  # noqa: ANN401
    return policy_table(**changes)


REFUSED: list[tuple[Any, str]] = [
    ([], ""),
    (over(scope=[]), "scope"),
    # keys
    (over(runbok="x"), "runbok"),
    (over(loss__act_rigth=1), "loss.act_rigth"),
    (over(runbook=None), "runbook"),
    (over(reversible=None), "reversible"),
    (over(scope=None), "scope"),
    (over(loss=None), "loss"),
    (over(rate_limit=None), "rate_limit"),
    (over(rate_limit={"runs": 1}), "rate_limit.window_seconds"),
    # names
    (over(runbook=""), "runbook"),
    (over(runbook=3), "runbook"),
    (over(reversible=1), "reversible"),
    (over(reversible="yes"), "reversible"),
    (over(scope={}), "scope"),
    (over(scope={"faults": ["latency"]}), "scope"),
    (over(scope__components="a"), "scope.components"),
    (over(scope__components=[""]), "scope.components"),
    (over(scope__components=[1]), "scope.components"),
    (over(scope__components=["a", None]), "scope.components"),
    (over(scope__patterns={"a": 1}), "scope.patterns"),
    (over(scope__level="galaxy"), "scope.level"),
    (over(scope={"patterns": ["*"], "level": "host", "faults": ["latency"]}), "scope.faults"),
    (over(several="maybe"), "several"),
    (over(explained_share__unknown="?"), "explained_share.unknown"),
    (over(thresholds__bound="hope"), "thresholds.bound"),
    (over(health__methods=[]), "health.methods"),
    (over(health__methods=["auto"]), "health.methods"),
    (over(health__methods=["nuts", "guess"]), "health.methods"),
    (over(health__methods="nuts"), "health.methods"),
    # numbers
    *((over(**{f"thresholds__{name}": value}), f"thresholds.{name}")
      for name in ("p_cause", "p_cause_review", "lead") for value in (0, -TINY, 1.0 + 2**-52)),
    *((over(**{f"thresholds__{name}": value}), f"thresholds.{name}")
      for name in ("p_none", "p_none_review", "alone", "fault", "interval_mass")
      for value in (-TINY, 1.0 + 2**-52)),
    *((over(thresholds__p_cause=value), "thresholds.p_cause")
      for value in (True, "0.9", None, float("nan"), float("inf"), HUGE, [0.9])),
    (over(thresholds__p_cause_review=0.875 + 2**-52), "thresholds.p_cause_review"),
    (over(thresholds__p_none_review=0.0625 - 2**-56), "thresholds.p_none_review"),
    (over(explained_share__minimum=-TINY), "explained_share.minimum"),
    (over(explained_share__minimum=1.0 + 2**-52), "explained_share.minimum"),
    (over(health__min_ess=-TINY), "health.min_ess"),
    (over(health__min_ess=1e300), "health.min_ess"),
    (over(max_age_seconds=0), "max_age_seconds"),
    (over(rate_limit__window_seconds=0), "rate_limit.window_seconds"),
    (over(rate_limit__window_seconds=YEAR + 1), "rate_limit.window_seconds"),
    (over(max_age_seconds=YEAR + 1), "max_age_seconds"),
    (over(runbook="x" * 1001), "runbook"),
    (over(scope__components=["x" * 1001, "a"]), "scope.components"),
    (over(scope__components=[str(i) for i in range(1001)]), "scope.components"),
    *((over(rate_limit__runs=value), "rate_limit.runs") for value in (0, -1, True, 1.0, "1")),
    # losses
    *((over(**{f"loss__{name}": -TINY}), f"loss.{name}")
      for name in ("act_right", "act_wrong", "wait_right", "wait_wrong")),
    (over(loss__act_right=9), "loss.act_right"),
    (over(loss__act_right=10), "loss.act_right"),
    (over(loss__wait_wrong=8), "loss.act_wrong"),
    (over(loss__wait_wrong=9), "loss.act_wrong"),
]  # fmt: skip
SAID: list[tuple[Any, str]] = [
    ([], "the policy's document must be a table, got []"),
    (over(scope=[]), "the policy's scope must be a table, got []"),
    (over(runbok="x"), "the policy has no key runbok; did you mean runbook?"),
    (over(loss__zzz=1),
     "the policy has no key loss.zzz; known: act_right, act_wrong, wait_right, wait_wrong"),
    (over(loss={}), "the policy lacks loss.act_right"),
    (over(runbook=""), "the policy's runbook must be a name of 1 to 1000 characters"),
    (over(thresholds__lead=0),
     "the policy's thresholds.lead must be a number above 0 and at most 1, got 0"),
    (over(max_age_seconds=0),
     "the policy's max_age_seconds must be a number above 0 and at most 31622400, got 0"),
    (over(health__min_ess=-1),
     "the policy's health.min_ess must be a number at least 0 and below 1e300, got -1"),
    (over(scope={}), 'the policy\'s scope names no component; patterns = ["*"] means any'),
]  # fmt: skip
"""What some of them are told."""
ACCEPTED: list[dict[str, Any]] = [
    over(),
    over(thresholds=None, explained_share=None, health=None, max_age_seconds=None),
    over(scope={"patterns": ["*"], "level": "host"}),
    over(scope={"patterns": ["*"], "faults": ["latency"]}),
    over(several="hold", explained_share__unknown="run", thresholds__bound="mcse"),
    over(thresholds={"p_cause": TINY, "p_cause_review": TINY, "lead": TINY}),
    over(thresholds={"p_cause": 1, "p_cause_review": 1, "lead": 1}),
    over(thresholds={"p_none": 0, "p_none_review": 0, "alone": 0, "fault": 0, "interval_mass": 0}),
    over(thresholds={"p_none": 1, "p_none_review": 1, "alone": 1, "fault": 1, "interval_mass": 1}),
    over(explained_share__minimum=0),
    over(explained_share__minimum=1),
    over(health={"methods": ["screen"], "min_ess": 0}),
    over(health__min_ess=9e299),
    over(max_age_seconds=TINY),
    over(max_age_seconds=YEAR, rate_limit__window_seconds=YEAR),
    over(runbook="x" * 1000, scope__components=["x" * 1000, *map(str, range(999))]),
    over(rate_limit={"runs": 1, "window_seconds": TINY}),
    over(loss={"act_right": 0, "act_wrong": TINY, "wait_right": TINY, "wait_wrong": 0}),
]
SAME: list[dict[str, Any]] = [
    over(scope={"components": ["a", "a"], "patterns": [], "faults": []}),
    over(several="review"),
    over(loss__act_right=1.0, max_age_seconds=1024.0),
    over(health={"methods": ["screen", "nuts"], "min_ess": 100}),
    over(thresholds__bound="interval", thresholds__interval_mass=0.89),
    dict(reversed(over().items())),
]
"""What is the same policy as the one without changes."""
OTHER: list[dict[str, Any]] = [
    over(reversible=False),
    over(runbook="other"),
    over(several="hold"),
    over(loss__act_right=1.5),
    over(thresholds__p_cause=0.875 + 2**-52),
    over(scope={"patterns": ["a"]}),
    over(scope={"components": ["a"], "faults": ["latency"]}),
    over(scope={"components": ["a"], "level": "host"}),
    over(rate_limit__runs=3),
    over(explained_share__unknown="hold"),
    over(health__methods=["nuts"]),
]
"""What is another, each from the rest, too."""
