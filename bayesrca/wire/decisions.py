"""Decisions to their messages and back."""

from __future__ import annotations

from dataclasses import dataclass

from bayesrca.api.v1 import decision_pb2 as pb
from bayesrca.decision import Check, Decision, ExpectedLoss, Side
from bayesrca.errors import IncidentFormatError, InvalidRequestError, InvalidSettingsError
from bayesrca.wire.moments import seconds_of, set_moment
from bayesrca.wire.policies import VERDICTS
from bayesrca.wire.vocabulary import Vocabulary

_SIDES = Vocabulary(Side, pb.Side, "SIDE", error=InvalidSettingsError)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDecision:
    """A decision on a server.

    Attributes:
        name: ``decisions/`` and the id the server gave it.
        request_id: the id its caller gave it.
        analysis: name of the analysis it was decided on.
        policy: name of the policy it was decided by.
        caller: name of the credential that asked.
        decision: the decision.
    """

    name: str
    request_id: str
    analysis: str
    policy: str
    caller: str
    decision: Decision


def decision_name(identity: str) -> str:
    """Return the name of the decision with an id."""
    return f"decisions/{identity}"


def decision_id(name: str) -> str:
    """Return the id in a decision's name.

    Raises:
        InvalidRequestError: it is not ``decisions/{id}``.
    """
    identity = name.removeprefix("decisions/")
    if name != f"decisions/{identity}" or not identity or "/" in identity or len(name) > 100:
        msg = f"name must be decisions/{{id}}, got {name[:100]!r}"
        raise InvalidRequestError(msg, field="name")
    return identity


def encode_decision(stored: StoredDecision) -> pb.Decision:
    """Return a decision as a message; times are kept to the microsecond."""
    d = stored.decision
    message = pb.Decision(
        name=stored.name,
        request_id=stored.request_id,
        verdict=VERDICTS.number(d.verdict),
        runbook=d.runbook,
        component=d.component,
        checks=[_encode_check(check) for check in d.checks],
        expected_loss=_encode_loss(d.expected_loss),
        worst_loss=_encode_loss(d.worst_loss),
        text=d.text,
        analysis=stored.analysis,
        answer_hash=d.answer_hash,
        policy=stored.policy,
        kill_switch=d.kill_switch,
        caller=stored.caller,
    )
    set_moment(message.decide_time, d.now)
    for t in d.recent_runs or ():
        set_moment(message.recent_run_times.add(), t)
    if d.analyzed_at is not None and d.valid_until is not None:
        set_moment(message.analysis_time, d.analyzed_at)
        set_moment(message.expire_time, d.valid_until)
    return message


def decode_decision(message: pb.Decision, field: str = "decision") -> StoredDecision:
    """Return the decision a message holds.

    Raises:
        IncidentFormatError: a verdict or a side in it is unknown; ``field`` says which. Nothing may
            act on a decision that cannot be read.
    """
    try:
        checks = tuple(
            _decode_check(c, f"{field}.checks[{i}]") for i, c in enumerate(message.checks)
        )
        verdict = VERDICTS.word(message.verdict, f"{field}.verdict")
    except InvalidSettingsError as error:
        raise IncidentFormatError(str(error), field=error.field) from error
    timed = message.HasField("analysis_time")
    decision = Decision(
        verdict=verdict,
        runbook=message.runbook,
        component=message.component if message.HasField("component") else None,
        checks=checks,
        expected_loss=_decode_loss(message, "expected_loss"),
        worst_loss=_decode_loss(message, "worst_loss"),
        policy_version=message.policy.removeprefix("policies/"),
        answer_hash=message.answer_hash,
        now=seconds_of(message.decide_time),
        analyzed_at=seconds_of(message.analysis_time) if timed else None,
        valid_until=seconds_of(message.expire_time) if timed else None,
        kill_switch=message.kill_switch,
        recent_runs=tuple(seconds_of(t) for t in message.recent_run_times),
    )
    return StoredDecision(
        name=message.name,
        request_id=message.request_id,
        analysis=message.analysis,
        policy=message.policy,
        caller=message.caller,
        decision=decision,
    )


def _encode_check(check: Check) -> pb.Check:
    return pb.Check(
        name=check.name,
        verdict=VERDICTS.number(check.verdict),
        value=check.value,
        side=pb.SIDE_UNSPECIFIED if check.side is None else _SIDES.number(check.side),
        threshold=check.threshold,
        text=check.text,
    )


def _decode_check(message: pb.Check, field: str) -> Check:
    return Check(
        name=message.name,
        verdict=VERDICTS.word(message.verdict, f"{field}.verdict"),
        value=message.value if message.HasField("value") else None,
        side=_SIDES.word(message.side, f"{field}.side") if message.side else None,
        threshold=message.threshold if message.HasField("threshold") else None,
        text=message.text,
    )


def _encode_loss(loss: ExpectedLoss | None) -> pb.ExpectedLoss | None:
    if loss is None:
        return None
    return pb.ExpectedLoss(p=loss.p, acting=loss.acting, waiting=loss.waiting)


def _decode_loss(message: pb.Decision, name: str) -> ExpectedLoss | None:
    if not message.HasField(name):  # type: ignore[arg-type]  # one of two names
        return None
    loss: pb.ExpectedLoss = getattr(message, name)
    return ExpectedLoss(p=loss.p, acting=loss.acting, waiting=loss.waiting)
