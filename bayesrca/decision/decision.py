"""What the gate decided, and everything it was decided by."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from bayesrca.decision.policy import Verdict

SCHEMA = 1
"""Number of the document's form; grows when a key is removed or changes its meaning."""


class Side(StrEnum):
    """How a number has to lie to its threshold for the runbook to run."""

    AT_LEAST = ">="
    AT_MOST = "<="
    ABOVE = ">"
    BELOW = "<"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing a decision rests on.

    Attributes:
        name: a stable word, one of those in docs/runbook-gates.md.
        verdict: the most this check lets the runbook do.
        value: the number compared; None where the check compares none, or it is not known.
        side: how ``value`` has to lie to ``threshold`` to let it run; None likewise.
        threshold: what it is compared with; None likewise.
        text: the same in one plain sentence.
    """

    name: str
    verdict: Verdict
    value: float | None = None
    side: Side | None = None
    threshold: float | None = None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedLoss:
    """What acting and waiting cost on average, in the unit of the policy's loss table.

    Attributes:
        p: probability that the runbook would be right.
        acting, waiting: expected losses at that probability.
    """

    p: float
    acting: float
    waiting: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The gate's answer.

    The circumstances are those it was given: the same answer, policy and circumstances give the
    same decision.

    Attributes:
        verdict: the least of what the checks allow.
        runbook: what it is about.
        component: the component, or place of the policy's level, that the runbook would act on:
            the most probable that the policy covers. None where it covers none.
        checks: everything compared, passed or not, in the order of docs/runbook-gates.md.
        expected_loss: at the probability itself; None without a component.
        worst_loss: at its lower bound; None likewise.
        policy_version: hash of the policy, see `Policy.version`.
        answer_hash: hash of the answer, see `hash_answer`.
        now: when it was decided, in seconds of Unix time.
        analyzed_at: when the analysis was made, in seconds of Unix time; None if not known.
        valid_until: until when the analysis may be acted on, in seconds of Unix time; None
            likewise.
        kill_switch: whether the kill switch was on.
        recent_runs: when the runbook ran within the policy's window, in seconds of Unix time,
            earliest first; None if not known.
    """

    verdict: Verdict
    runbook: str
    component: str | None
    checks: tuple[Check, ...]
    expected_loss: ExpectedLoss | None
    worst_loss: ExpectedLoss | None
    policy_version: str
    answer_hash: str
    now: float
    analyzed_at: float | None
    valid_until: float | None
    kill_switch: bool
    recent_runs: tuple[float, ...] | None

    @property
    def reasons(self) -> tuple[Check, ...]:
        """The checks that keep the runbook from running, those that hold it first."""
        held = (c for c in self.checks if c.verdict is Verdict.HOLD)
        reviewed = (c for c in self.checks if c.verdict is Verdict.REVIEW)
        return (*held, *reviewed)

    @property
    def text(self) -> str:
        """The decision in a plain sentence, with its first reason."""
        what = f"{self.verdict.name} {self.runbook}"
        if self.component is not None:
            what += f" on {self.component}"
        if not self.reasons:
            return f"{what}: all {len(self.checks)} checks passed."
        first, *others = self.reasons
        more = f" ({len(others)} more)" if others else ""
        return f"{what}: {first.text}{more}."


def decision_document(decision: Decision) -> dict[str, Any]:
    """Return a decision as plain dicts, lists, strings, numbers, booleans and None."""
    document: dict[str, Any] = {"schema": SCHEMA, "text": decision.text, **asdict(decision)}
    document["verdict"] = decision.verdict.value
    document["checks"] = [_check(c) for c in decision.checks]
    if decision.recent_runs is not None:
        document["recent_runs"] = list(decision.recent_runs)
    return document


def _check(check: Check) -> dict[str, Any]:
    side = check.side and check.side.value
    return {**asdict(check), "verdict": check.verdict.value, "side": side}
