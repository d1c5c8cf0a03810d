"""What is decided in which case, for the gate as it is and for its mutants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf, nan
from typing import Any

from bayesrca.posterior.result import Answer
from tests.unit.decision.kit import CIRCUMSTANCES, NOW, make_answer, policy_table

BEST = {"a": 0.9375, "b": 0.03125}
UNSURE = {"a": 0.75, "b": 0.03125}
NODES = {"host": {"x": 0.9375, "y": 0.03125}}
AT_HOST = {"scope": {"patterns": ["*"], "level": "host"}}
Pairs = Mapping[str, str]


@dataclass(frozen=True)
class Case:
    """A decision: the reasons, by check, and the verdict that follows from them."""

    name: str
    reasons: Pairs
    sets: Mapping[str, float] = field(default_factory=lambda: BEST)
    answer: Mapping[str, Any] = field(default_factory=dict)
    policy: Mapping[str, Any] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)
    component: str | None = "a"

    @property
    def verdict(self) -> str:
        found = set(self.reasons.values())
        return "hold" if "hold" in found else "review" if found else "run"

    def make_answer(self) -> Answer:
        return make_answer(self.sets, **self.answer)

    def make_policy(self) -> dict[str, Any]:
        return policy_table(**self.policy)

    def circumstances(self) -> dict[str, Any]:
        return {**CIRCUMSTANCES, **self.given}


def case(name: str, reasons: str = "", **parts: Any) -> Case:  # noqa: ANN401
    """``reasons`` as ``"p_cause review, lead review"``."""
    pairs = dict(pair.split(" ") for pair in reasons.split(", ")) if reasons else {}
    return Case(name, pairs, **parts)


NUTS = {"method": "nuts"}
TINY = 2.0**-30
CASES = [
    case("all is well"),
    case("by NUTS", answer=NUTS),
    case("the kill switch is on", "kill_switch hold", given={"kill_switch": True}),
    # health
    case("not healthy", "healthy hold", answer={"healthy": False}),
    case("k-hat just below", answer={"pareto_k": 0.7 - 2**-50}),
    case("k-hat at .7", "pareto_k hold", answer={"pareto_k": 0.7}),
    case("k-hat above", "pareto_k hold", answer={"pareto_k": 0.9}),
    case("k-hat not known", "pareto_k hold", answer={"pareto_k": None}),
    case("k-hat not defined", "pareto_k hold", answer={"pareto_k": nan}),
    case("k-hat of NUTS is none", answer={**NUTS, "pareto_k": 0.9}),
    case("R-hat just below", answer={**NUTS, "r_hat": 1.01 - 2**-50}),
    case("R-hat at 1.01", "r_hat hold", answer={**NUTS, "r_hat": 1.01}),
    case("R-hat above", "r_hat hold", answer={**NUTS, "r_hat": 1.2}),
    case("R-hat infinite", "r_hat hold", answer={**NUTS, "r_hat": inf}),
    case("R-hat not known", "r_hat hold", answer={**NUTS, "r_hat": None}),
    case("ESS just above", answer={**NUTS, "ess": 400.0 + 2**-40}),
    case("ESS at 400", "ess hold", answer={**NUTS, "ess": 400.0}),
    case("ESS below", "ess hold", answer={**NUTS, "ess": 200.0}),
    case("a divergence", "divergences hold", answer={**NUTS, "divergences": 1}),
    case("divergences not known", "divergences hold", answer={**NUTS, "divergences": None}),
    case("sums just good enough", answer={"sum_error": 0.5}),
    case("sums too rough", "sum_error hold", answer={"sum_error": 0.5 + 2**-50}),
    case("a method not allowed", "method hold", policy={"health__methods": ["nuts"]}),
    case("the method allowed", answer=NUTS, policy={"health__methods": ["nuts"]}),
    case("ESS as asked for", policy={"health__min_ess": 500}),
    case("ESS less than asked for", "min_ess hold", policy={"health__min_ess": 501}),
    case("ESS not defined", "min_ess hold", answer={"ess": nan}),
    case("ESS infinite", "min_ess hold", answer={"ess": inf}),
    case("ESS of NUTS infinite", "ess hold, min_ess hold", answer={**NUTS, "ess": inf}),
    case("intervals too narrow", "interval_mass hold", answer={"interval_mass": 0.5}),
    case("intervals wider than asked for", answer={"interval_mass": 0.95}),
    # numbers that are none
    case("a probability above one", "numbers hold", answer={"mcse": -1.0}),
    case("p(none) below zero", "numbers hold", answer={"none": -0.5}),
    case("all of the probability", sets={"a": 1.0}, answer={"none": 0.0}),
    case("a kind above one", "numbers hold", answer={"kinds": {"latency": 2.0}}),
    case("a kind below zero", "numbers hold", answer={"kinds": {"latency": 1.0, "load": -1.0}}),
    case("kinds that add up, but for rounding", answer={"only": {"a": 0.9375 - TINY}}),
    case("kinds of more than that", "numbers hold", answer={"only": {"a": 0.9375 - 2 * TINY}}),
    case("an only cause that is all, but for rounding", answer={"only": {"a": 0.9375 + TINY}}),
    case("an only cause beyond", "numbers hold", answer={"only": {"a": 0.9375 + 2 * TINY}}),
    case("sums better than exact", "numbers hold", answer={"sum_error": -(2**-50)}),
    case("fewer divergences than none", "numbers hold", answer={**NUTS, "divergences": -1}),
    case("a set that is none", "numbers hold", sets={**BEST, "c": -0.25}),
    case("a place that is none", "numbers hold", answer={"levels": {"host": {"x": 2.0}}}),
    case("p(none) not defined", "numbers hold, p_none hold", answer={"none": nan}),
    case("an endless error", "numbers hold, p_cause review, lead review, expected_loss review",
         answer={"mcse": inf}),
    # the anomaly and the clock
    case("nothing is anomalous", "anomalous hold", answer={"anomalous": False}),
    case("as old as may be", given={"analyzed_at": NOW - 1024.0}),
    case("too old", "age hold", given={"analyzed_at": NOW - 1025.0}),
    case("this very moment", given={"analyzed_at": NOW}),
    case("from the future", "age hold", given={"analyzed_at": NOW + 1.0}),
    case("of unknown age", "age hold", given={"analyzed_at": None}),
    # the rate
    case("ran once", given={"history": (NOW - 5.0,)}),
    case("ran twice", "rate_limit hold", given={"history": (NOW - 5.0, NOW - 6.0)}),
    case("ran thrice", "rate_limit hold", given={"history": (NOW - 5.0, NOW - 6.0, NOW - 7.0)}),
    case("the window's end counts", "rate_limit hold",
         given={"history": (NOW - 4096.0, NOW - 6.0)}),
    case("before it does not", given={"history": (NOW - 4097.0, NOW - 6.0)}),
    case("the future counts", "rate_limit hold", given={"history": (NOW + 9.0, NOW + 8.0)}),
    case("runs not known", "rate_limit hold", given={"history": None}),
    case("cannot be undone", "reversible review", policy={"reversible": False}),
    # the scope
    case("covers nothing", "scope hold", policy={"scope": {"components": ["z"]}}, component=None),
    case("covers by pattern", policy={"scope": {"patterns": ["[ax]"]}}),
    case("covers anything", policy={"scope": {"patterns": ["*"]}}),
    case("covers the other", "p_cause hold, lead review, expected_loss hold",
         policy={"scope": {"components": ["b"]}}, component="b"),
    # p(cause)
    case("p(cause) at its threshold", sets={"a": 0.875, "b": 0.0}),
    case("p(cause) below it", "p_cause review", sets={"a": 0.875 - 2**-50, "b": 0.0}),
    case("p(cause) at that of review", "p_cause review", sets={"a": 0.625, "b": 0.0}),
    case("p(cause) below that", "p_cause hold", sets={"a": 0.625 - 2**-50, "b": 0.0}),
    case("three Monte Carlo errors reach it", answer={"mcse": 2**-6},
         policy={"thresholds__p_cause": 0.9375 - 3 * 2**-6}),
    case("three Monte Carlo errors do not", "p_cause review", answer={"mcse": 2**-6},
         policy={"thresholds__p_cause": 0.9375 - 3 * 2**-6 + 2**-50}),
    case("the interval reaches it", answer={"width": 0.0625}),
    case("the interval does not", "p_cause review", answer={"width": 0.0625 + 2**-50}),
    case("the interval is not asked", answer={"width": 0.25, "explained_width": 0.5},
         policy={"thresholds__bound": "mcse"}),
    case("Monte Carlo errors alone do not reach it", "p_cause review", answer={"mcse": 0.03125},
         policy={"thresholds__bound": "mcse"}),
    # p(none)
    case("p(none) at its threshold", answer={"none": 0.0625}),
    case("p(none) above it", "p_none review", answer={"none": 0.0625 + 2**-50}),
    case("p(none) at that of review", "p_none review", answer={"none": 0.5}),
    case("p(none) above that", "p_none hold", answer={"none": 0.5 + 2**-50}),
    case("p(none) with its errors at it", answer={"none": 0.0625 - 3 * 2**-8, "none_mcse": 2**-8}),
    case("p(none) with its errors above", "p_none review",
         answer={"none": 0.0625 - 3 * 2**-8 + 2**-50, "none_mcse": 2**-8}),
    case("p(none) with its interval at it", answer={"none_width": 0.03125}),
    case("p(none) with its interval above", "p_none review",
         answer={"none_width": 0.03125 + 2**-50}),
    case("p(none) without its interval", answer={"none_width": 0.25},
         policy={"thresholds__bound": "mcse"}),
    case("p(none) is never above one", answer={"none": 0.25, "none_width": 2.0},
         policy={"thresholds__p_none": 1.0, "thresholds__p_none_review": 1.0}),
    # rivals
    case("the lead at its threshold", sets={"a": 0.625, "b": 0.375},
         policy={"thresholds__p_cause": 0.625}),
    case("the lead below it", "lead review", sets={"a": 0.625, "b": 0.375 + 2**-50},
         policy={"thresholds__p_cause": 0.625}),
    case("the strongest of several rivals counts", "lead review",
         sets={"a": 0.625, "c": 0.125, "b": 0.5, "d": 0.0}, policy={"thresholds__p_cause": 0.625}),
    case("a tie", "lead review", sets={"a": 0.5, "b": 0.5},
         policy={"thresholds__p_cause": 0.5, "thresholds__p_cause_review": 0.5,
                 "thresholds__lead": 2**-50}),
    case("a tie of two that are covered", "lead review", sets={"b": 0.5, "a": 0.5},
         policy={"thresholds__p_cause": 0.5, "thresholds__p_cause_review": 0.5,
                 "thresholds__lead": 2**-50, "scope": {"patterns": ["*"]}}),
    case("errors of both count against the lead", sets={"a": 0.875, "b": 0.25},
         answer={"mcse": 2**-6},
         policy={"thresholds__p_cause": 0.75, "thresholds__lead": 0.625 - 6 * 2**-6}),
    case("and may cost it", "lead review", sets={"a": 0.875, "b": 0.25}, answer={"mcse": 2**-6},
         policy={"thresholds__p_cause": 0.75, "thresholds__lead": 0.625 - 6 * 2**-6 + 2**-50}),
    case("without a rival", sets={"a": 0.9375}, policy={"thresholds__lead": 0.9375}),
    case("a partner is no rival", sets={"a": 0.5, "ab": 0.4375, "b": 0.0},
         policy={"thresholds__lead": 0.9375}),
    case("what it does without is", "lead review", sets={"a": 0.5, "ab": 0.4375, "b": 0.03125},
         policy={"thresholds__lead": 0.9375}),
    # several causes
    case("as often alone as not", sets={"a": 0.46875, "ab": 0.46875}),
    case("rather with another", "alone review", sets={"a": 0.46875 - 2**-50, "ab": 0.46875}),
    case("which may hold", "alone hold", sets={"ab": 0.9375}, policy={"several": "hold"}),
    case("which may run", sets={"ab": 0.9375}, policy={"several": "run"}),
    # kinds of fault
    case("the fault at its threshold", policy={"scope__faults": ["latency"]},
         answer={"kinds": {"latency": 0.75, "errors": 0.25}}),
    case("the fault below it", "fault review", policy={"scope__faults": ["latency"]},
         answer={"kinds": {"latency": 0.75 - 2**-50, "errors": 0.25}}),
    case("two faults together", policy={"scope__faults": ["latency", "errors"]},
         answer={"kinds": {"latency": 0.5, "errors": 0.5}}),
    case("no such fault", "scope hold, fault review, expected_loss hold",
         policy={"scope__faults": ["latncy"]}),
    case("never alone, so of no kind", "alone review, fault review, expected_loss hold",
         sets={"ab": 0.9375}, policy={"scope__faults": ["latency"]}),
    # the explained share
    case("explains just enough", answer={"explained": 0.5}),
    case("explains too little", "explained_share review", answer={"explained": 0.5 - 2**-50}),
    case("its interval just enough", answer={"explained_width": 0.25}),
    case("its interval too little", "explained_share review",
         answer={"explained_width": 0.25 + 2**-50}),
    case("its mean is asked", answer={"explained_width": 0.5},
         policy={"thresholds__bound": "mcse"}),
    case("explains who knows what", "explained_share review", answer={"explained": None}),
    case("an undefined share", "explained_share review", answer={"explained": nan},
         policy={"explained_share__minimum": 0}),
    case("an undefined share where that holds", "explained_share hold", answer={"explained": nan},
         policy={"explained_share__unknown": "hold"}),
    case("a share with an undefined interval", "explained_share review",
         answer={"explained_width": nan}),
    case("a share above one", "explained_share review", answer={"explained": 1.5}),
    case("which may hold, too", "explained_share hold", answer={"explained": None},
         policy={"explained_share__unknown": "hold"}),
    case("or run", answer={"explained": None}, policy={"explained_share__unknown": "run"}),
    # the expected loss: 8 gained by being right, 24 lost by being wrong, even at .75
    case("acting costs as much as waiting", sets=UNSURE,
         policy={"thresholds__p_cause": 0.75, "loss__act_wrong": 24}),
    case("acting costs more", "expected_loss hold", sets=UNSURE,
         policy={"thresholds__p_cause": 0.75, "loss__act_wrong": 24 + 2**-40}),
    case("acting may cost more", "expected_loss review", sets=UNSURE, answer={"width": 2**-10},
         policy={"thresholds__p_cause": 0.625, "loss__act_wrong": 24}),
    case("a fault of another kind counts as wrong", "expected_loss hold",
         answer={"kinds": {"latency": 0.75, "errors": 0.25}},
         policy={"scope__faults": ["latency"], "loss__act_wrong": 24}),
    case("waiting in vain costs, too", sets=UNSURE,
         policy={"thresholds__p_cause": 0.75, "loss__act_wrong": 25, "loss__wait_wrong": 1}),
    case("acting rightly costs, too", "expected_loss hold", sets=UNSURE,
         policy={"thresholds__p_cause": 0.75, "loss__act_wrong": 24, "loss__act_right": 2}),
    # places
    case("a place", answer={"levels": NODES}, component="x",
         policy={**AT_HOST, "explained_share__unknown": "run"}),
    case("explains nobody knows what", "explained_share review", answer={"levels": NODES},
         policy=AT_HOST, component="x"),
    case("the strongest of several places counts", "lead review", component="x",
         answer={"levels": {"host": {"x": 0.9375, "y": 0.03125, "z": 0.875, "w": 0.0}}},
         policy={**AT_HOST, "explained_share__unknown": "run"}),
    case("no such level", "scope hold", policy=AT_HOST, component=None),
    case("another level", "scope hold", policy=AT_HOST, answer={"levels": {"pod": {"x": 0.9}}},
         component=None),
    case("no place covered", "scope hold", answer={"levels": NODES}, component=None,
         policy={"scope": {"components": ["z"], "level": "host"}}),
    case("a tie of places", "lead review", component="x",
         answer={"levels": {"host": {"y": 0.9375, "x": 0.9375}}},
         policy={**AT_HOST, "explained_share__unknown": "run"}),
    case("the only place", answer={"levels": {"host": {"x": 0.9375}}}, component="x",
         policy={**AT_HOST, "explained_share__unknown": "run", "thresholds__lead": 0.9375}),
    # several reasons
    case("hold beats review", "anomalous hold, reversible review", answer={"anomalous": False},
         policy={"reversible": False}),
]  # fmt: skip

SAID = [
    ("the kill switch is on", "kill_switch", "the kill switch is on"),
    ("all is well", "kill_switch", "the kill switch is off"),
    ("all is well", "healthy", "the answer is healthy"),
    ("not healthy", "healthy", "the answer is not healthy: made up"),
    ("all is well", "numbers", "every number is one that can be"),
    ("p(none) below zero", "numbers", "not every number is one that can be"),
    ("all is well", "anomalous", "something is anomalous"),
    ("nothing is anomalous", "anomalous", "nothing is anomalous"),
    ("this very moment", "age",
     "the age of the analysis in seconds is 0; it has to be <= 1024"),
    ("from the future", "age", "the age of the analysis in seconds is -1; it has to be >= 0"),
    ("of unknown age", "age", "it is not known when the analysis was made"),
    ("k-hat not known", "pareto_k", "the screen's Pareto k-hat is not defined; it has to be < 0.7"),
    ("R-hat infinite", "r_hat", "R-hat is not defined; it has to be < 1.01"),
    ("all is well", "reversible", "the runbook can be undone"),
    ("cannot be undone", "reversible", "the runbook cannot be undone"),
    ("all is well", "scope", "the policy covers a"),
    ("covers nothing", "scope", "the policy covers none of the answer's components"),
    ("no such level", "scope", "the policy covers none of the answer's places of kind host"),
    ("no such fault", "scope",
     "the answer knows no fault of kind 'latncy', but errors, latency"),
    ("two faults together", "fault",
     "the probability of a fault of kind errors or latency is 1; it has to be >= 0.75"),
]  # fmt: skip
"""What a check of a case says."""
TOLD = {
    "all is well": "RUN restart on a: all 19 checks passed.",
    "cannot be undone": "REVIEW restart on a: the runbook cannot be undone.",
    "hold beats review": "HOLD restart on a: nothing is anomalous (1 more).",
    "covers nothing": ("HOLD restart: the policy covers none of the answer's components."),
}
"""What a decision says."""
COMPARED = [
    ("too old", "age", 1025.0, "<=", 1024.0),
    ("ran twice", "rate_limit", 2.0, "<", 2.0),
    ("a divergence", "divergences", 1.0, "<=", 0.0),
    ("k-hat not known", "pareto_k", None, "<", 0.7),
    ("not healthy", "healthy", None, None, None),
]
"""What the document of a decision says was compared."""
