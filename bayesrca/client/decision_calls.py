"""What each call about decisions sends and how its response is read, for both clients."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any

from google.protobuf.message import Message

from bayesrca.api.v1 import decision_service_pb2 as pb
from bayesrca.client.calls import Call
from bayesrca.client.channel import DECISION
from bayesrca.decision import Policy, Verdict
from bayesrca.errors import InvalidSettingsError
from bayesrca.wire import checked_request_id, word_of
from bayesrca.wire.decisions import StoredDecision, decode_decision
from bayesrca.wire.policies import (
    VERDICTS,
    KillSwitch,
    StoredPolicy,
    decode_kill_switch,
    decode_stored_policy,
    encode_policy,
)


def decide(
    analysis: str, *, policy: str | None, runbook: str | None, request_id: str | None
) -> Call[StoredDecision]:
    """Return a `Decide`, with a new id where there is none."""
    if (policy is None) == (runbook is None):
        raise InvalidSettingsError("name either a policy or a runbook", field="policy")
    request = pb.DecideRequest(
        request_id=checked_request_id(request_id or str(uuid.uuid4())), analysis=analysis
    )
    if policy is not None:
        request.policy = policy
    if runbook is not None:
        request.runbook = runbook
    return _call("Decide", request, pb.DecideResponse, _one_decision)


def get_decision(name: str) -> Call[StoredDecision]:
    """Return a `GetDecision`."""
    request = pb.GetDecisionRequest(name=name)
    return _call("GetDecision", request, pb.GetDecisionResponse, _one_decision)


def list_decisions(
    runbook: str, verdicts: Sequence[Verdict | str], page_size: int, page_token: str
) -> Call[tuple[list[StoredDecision], str]]:
    """Return a `ListDecisions`, whose response is read as a page and the token of the next."""
    words = [word_of(Verdict, verdict, "verdicts") for verdict in verdicts]
    request = pb.ListDecisionsRequest(
        page_size=page_size,
        page_token=page_token,
        runbook=runbook,
        verdicts=[VERDICTS.number(word) for word in words],
    )
    return _call(
        "ListDecisions",
        request,
        pb.ListDecisionsResponse,
        lambda found: ([decode_decision(d) for d in found.decisions], str(found.next_page_token)),
    )


def create_policy(policy: Policy) -> Call[StoredPolicy]:
    """Return a `CreatePolicy`."""
    request = pb.CreatePolicyRequest(policy=encode_policy(policy))
    return _call("CreatePolicy", request, pb.CreatePolicyResponse, _one_policy)


def get_policy(name: str) -> Call[StoredPolicy]:
    """Return a `GetPolicy`."""
    return _call("GetPolicy", pb.GetPolicyRequest(name=name), pb.GetPolicyResponse, _one_policy)


def list_policies(
    runbook: str, page_size: int, page_token: str
) -> Call[tuple[list[StoredPolicy], str]]:
    """Return a `ListPolicies`, whose response is read as a page and the token of the next."""
    request = pb.ListPoliciesRequest(page_size=page_size, page_token=page_token, runbook=runbook)
    return _call(
        "ListPolicies",
        request,
        pb.ListPoliciesResponse,
        lambda found: ([decode_stored_policy(p) for p in found.policies], found.next_page_token),
    )


def engage_kill_switch(runbook: str, reason: str) -> Call[KillSwitch]:
    """Return an `EngageKillSwitch`."""
    request = pb.EngageKillSwitchRequest(runbook=runbook, reason=reason)
    return _call("EngageKillSwitch", request, pb.EngageKillSwitchResponse, _one_switch)


def release_kill_switch(runbook: str, reason: str) -> Call[KillSwitch]:
    """Return a `ReleaseKillSwitch`."""
    request = pb.ReleaseKillSwitchRequest(runbook=runbook, reason=reason)
    return _call("ReleaseKillSwitch", request, pb.ReleaseKillSwitchResponse, _one_switch)


def list_kill_switches() -> Call[list[KillSwitch]]:
    """Return a `ListKillSwitches`."""
    return _call(
        "ListKillSwitches",
        pb.ListKillSwitchesRequest(),
        pb.ListKillSwitchesResponse,
        lambda found: [decode_kill_switch(switch) for switch in found.kill_switches],
    )


def _call[A](
    rpc: str, request: Message, response: type[Message], read: Callable[[Any], A]
) -> Call[A]:
    return Call(path=f"/{DECISION}/{rpc}", request=request, response=response, read=read)


def _one_decision(response: Any) -> StoredDecision:  # noqa: ANN401  one of two messages
    return decode_decision(response.decision)


def _one_policy(response: Any) -> StoredPolicy:  # noqa: ANN401  one of two messages
    return decode_stored_policy(response.policy)


def _one_switch(response: Any) -> KillSwitch:  # noqa: ANN401  one of two messages
    return decode_kill_switch(response.kill_switch)
