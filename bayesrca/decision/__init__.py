"""The gate between an answer and automation (docs/runbook-gates.md)."""

from bayesrca.decision.decision import (
    Check,
    Decision,
    ExpectedLoss,
    Side,
    decision_document,
)
from bayesrca.decision.gate import decide
from bayesrca.decision.policy import (
    Bound,
    ExplainedShareRule,
    HealthRule,
    LossTable,
    Policy,
    RateLimit,
    Scope,
    Thresholds,
    Verdict,
    policy_document,
)
from bayesrca.decision.policy_file import load_policy, parse_policy

__all__ = [
    "Bound",
    "Check",
    "Decision",
    "ExpectedLoss",
    "ExplainedShareRule",
    "HealthRule",
    "LossTable",
    "Policy",
    "RateLimit",
    "Scope",
    "Side",
    "Thresholds",
    "Verdict",
    "decide",
    "decision_document",
    "load_policy",
    "parse_policy",
    "policy_document",
]
