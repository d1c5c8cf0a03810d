"""The rpcs of the gate: decisions, policies, kill switches."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

import grpc
from google.protobuf.message import DecodeError

from bayesrca.api.v1 import answer_pb2, decision_pb2
from bayesrca.api.v1 import decision_service_pb2 as pb
from bayesrca.decision import Policy, Verdict
from bayesrca.errors import InvalidRequestError, InvalidSettingsError
from bayesrca.posterior.result import Answer
from bayesrca.service.analyses import parsed
from bayesrca.service.caller import current_caller
from bayesrca.service.interceptors import Context
from bayesrca.service.messages import CallFailedError, Failure
from bayesrca.service.records import Record
from bayesrca.service.rpc import unary
from bayesrca.service.sourcing import NO_STORE
from bayesrca.service.status import shorten
from bayesrca.service.store_analyses import AnalysisTable
from bayesrca.service.store_decisions import DecisionTable, Placed, Question
from bayesrca.wire import AnalysisState, analysis_id, checked_request_id, decode_answer
from bayesrca.wire.decisions import decision_id
from bayesrca.wire.paging import Page, read_page
from bayesrca.wire.policies import (
    VERDICTS,
    StoredPolicy,
    decode_policy,
    encode_kill_switch,
    encode_stored_policy,
    policy_version,
)

DECISION = pb.DESCRIPTOR.services_by_name["DecisionService"].full_name
_LONGEST_TEXT = 1000

_log = logging.getLogger("bayesrca.service")


class DecisionHandlers:
    """Handlers of every rpc of `DecisionService`.

    Args:
        decisions: where decisions are kept; None where the server keeps nothing.
        analyses: what they are made on; None likewise.
        decided: told the verdict of every decision that is made.
    """

    def __init__(
        self,
        decisions: DecisionTable | None,
        analyses: AnalysisTable | None,
        decided: Callable[[Verdict], None],
    ) -> None:
        self._open = None if decisions is None or analyses is None else (decisions, analyses)
        self._decided = decided

    def rpcs(self) -> dict[str, grpc.RpcMethodHandler[bytes, bytes]]:
        """Return the handlers, by the rpcs' names."""
        every = {
            "Decide": self._decide,
            "GetDecision": self._get_decision,
            "ListDecisions": self._list_decisions,
            "CreatePolicy": self._create_policy,
            "GetPolicy": self._get_policy,
            "ListPolicies": self._list_policies,
            "EngageKillSwitch": self._engage,
            "ReleaseKillSwitch": self._release,
            "ListKillSwitches": self._list_switches,
        }
        return {rpc: unary(rpc, answer) for rpc, answer in every.items()}

    async def _decide(self, request: bytes, _: Context) -> bytes:
        decisions, analyses = self._stored()
        question = _read_question(parsed(pb.DecideRequest, request))
        caller = current_caller()
        known = await decisions.recall(caller.tenant, question)
        if known is None:
            record = await _record_of(analyses, caller.tenant, question.analysis)
            answer = await _answer_of(analyses, record)
            known, decision = await decisions.decide(
                caller.tenant, caller.subject, question, answer, record.created
            )
            if decision is not None:
                self._decided(decision.verdict)
                # Not on which component: the log holds nothing of an incident.
                name = _decision(known).name
                _log.info("%s: %s %r", name, decision.verdict.name, decision.runbook)
        return pb.DecideResponse(decision=_decision(known)).SerializeToString()

    async def _get_decision(self, request: bytes, _: Context) -> bytes:
        decisions, _analyses = self._stored()
        identity = decision_id(parsed(pb.GetDecisionRequest, request).name)
        found = await decisions.get(current_caller().tenant, identity)
        return pb.GetDecisionResponse(decision=_decision(found)).SerializeToString()

    async def _list_decisions(self, request: bytes, _: Context) -> bytes:
        decisions, _analyses = self._stored()
        asked = parsed(pb.ListDecisionsRequest, request)
        verdicts = [VERDICTS.word(n, f"verdicts[{i}]") for i, n in enumerate(asked.verdicts)]
        words = (_text(asked.runbook, "runbook"), *sorted(set(verdicts)))
        page = read_page(asked.page_size, asked.page_token, words)
        found = await decisions.page(
            # One more tells whether there is a next page.
            current_caller().tenant, asked.runbook, verdicts, page.size + 1, page.before,
        )  # fmt: skip
        return await asyncio.to_thread(_listed_decisions, found, page)

    async def _create_policy(self, request: bytes, _: Context) -> bytes:
        decisions, _analyses = self._stored()
        policy = await asyncio.to_thread(_read_policy, request)
        caller = current_caller()
        stored = await decisions.create_policy(caller.tenant, policy, caller.subject)
        return pb.CreatePolicyResponse(policy=encode_stored_policy(stored)).SerializeToString()

    async def _get_policy(self, request: bytes, _: Context) -> bytes:
        decisions, _analyses = self._stored()
        version = policy_version(parsed(pb.GetPolicyRequest, request).name, "name")
        stored = await decisions.get_policy(current_caller().tenant, version)
        return pb.GetPolicyResponse(policy=encode_stored_policy(stored)).SerializeToString()

    async def _list_policies(self, request: bytes, _: Context) -> bytes:
        decisions, _analyses = self._stored()
        asked = parsed(pb.ListPoliciesRequest, request)
        words = [_text(asked.runbook, "runbook")]
        page = read_page(asked.page_size, asked.page_token, words)
        found = await decisions.page_policies(
            current_caller().tenant, asked.runbook, page.size + 1, page.before
        )
        return await asyncio.to_thread(_listed_policies, found, page)

    async def _engage(self, request: bytes, _: Context) -> bytes:
        asked = parsed(pb.EngageKillSwitchRequest, request)
        switch = await self._switch(asked.runbook, asked.reason, engaged=True)
        return pb.EngageKillSwitchResponse(kill_switch=switch).SerializeToString()

    async def _release(self, request: bytes, _: Context) -> bytes:
        asked = parsed(pb.ReleaseKillSwitchRequest, request)
        switch = await self._switch(asked.runbook, asked.reason, engaged=False)
        return pb.ReleaseKillSwitchResponse(kill_switch=switch).SerializeToString()

    async def _switch(self, runbook: str, reason: str, *, engaged: bool) -> decision_pb2.KillSwitch:
        decisions, _analyses = self._stored()
        caller = current_caller()
        return encode_kill_switch(
            await decisions.set_switch(
                caller.tenant,
                _text(runbook, "runbook"),
                engaged=engaged,
                reason=_text(reason, "reason"),
                updater=caller.subject,
            )
        )

    async def _list_switches(self, request: bytes, _: Context) -> bytes:
        decisions, _analyses = self._stored()
        parsed(pb.ListKillSwitchesRequest, request)
        found = await decisions.switches(current_caller().tenant)
        return pb.ListKillSwitchesResponse(
            kill_switches=[encode_kill_switch(switch) for switch in found]
        ).SerializeToString()

    def _stored(self) -> tuple[DecisionTable, AnalysisTable]:
        if self._open is None:
            raise CallFailedError(NO_STORE)
        return self._open


def _read_policy(request: bytes) -> Policy:
    """Return the policy of a request to create it, which its lists can make large."""
    try:
        asked = pb.CreatePolicyRequest.FromString(request)
    except DecodeError as error:
        msg = f"the request is not a CreatePolicyRequest: {shorten(str(error), 200)}"
        raise InvalidRequestError(msg) from error
    if not asked.HasField("policy"):
        raise InvalidSettingsError("policy is missing", field="policy")
    return decode_policy(asked.policy)


def _read_question(asked: pb.DecideRequest) -> Question:
    request_id = checked_request_id(asked.request_id)
    which = asked.WhichOneof("by")
    if which is None or not getattr(asked, which):
        msg = "name a policy or a runbook to decide by"
        raise InvalidRequestError(msg, field=which or "policy")
    return Question(
        request_id=request_id,
        analysis=analysis_id(asked.analysis, "analysis"),
        version=policy_version(asked.policy, "policy") if which == "policy" else "",
        runbook=_text(asked.runbook, "runbook"),
    )


async def _record_of(analyses: AnalysisTable, tenant: str, identity: str) -> Record:
    try:
        return await analyses.get(tenant, identity)
    except CallFailedError as error:  # it names the field of another request
        raise CallFailedError(replace(error.failure, field="analysis")) from error


async def _answer_of(analyses: AnalysisTable, record: Record) -> Answer:
    if record.state is not AnalysisState.SUCCEEDED or record.answer is None:
        raise CallFailedError(
            Failure(
                reason="NO_ANSWER",
                message=f"the analysis is {record.state} and has no answer to decide on",
                field="analysis",
            )
        )
    content = await analyses.read(record, record.answer)
    return await asyncio.to_thread(lambda: decode_answer(answer_pb2.Answer.FromString(content)))


def _listed_decisions(found: list[Placed[bytes]], page: Page[str]) -> bytes:
    shown = found[: page.size]
    return pb.ListDecisionsResponse(
        decisions=[_decision(one.content) for one in shown],
        next_page_token=page.token(shown[-1].place) if len(found) > page.size else "",
    ).SerializeToString()


def _listed_policies(found: list[Placed[StoredPolicy]], page: Page[str]) -> bytes:
    shown = found[: page.size]
    return pb.ListPoliciesResponse(
        policies=[encode_stored_policy(one.content) for one in shown],
        next_page_token=page.token(shown[-1].place) if len(found) > page.size else "",
    ).SerializeToString()


def _decision(content: bytes) -> decision_pb2.Decision:
    return decision_pb2.Decision.FromString(content)


def _text(text: str, field: str) -> str:
    if len(text) > _LONGEST_TEXT:
        msg = f"{field} must be at most {_LONGEST_TEXT} characters long, got {len(text)}"
        raise InvalidRequestError(msg, field=field)
    return text
