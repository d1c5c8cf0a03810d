"""The part of both clients that is about decisions: `Client.decisions`, `AsyncClient.decisions`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from typing import Protocol

from bayesrca.client import decision_calls as calls
from bayesrca.client.calls import Call
from bayesrca.decision import Policy, Verdict
from bayesrca.wire.decisions import StoredDecision
from bayesrca.wire.policies import KillSwitch, StoredPolicy


class _Send(Protocol):
    def __call__[A](self, call: Call[A], timeout: float | None, /) -> A: ...


class _AsyncSend(Protocol):
    def __call__[A](self, call: Call[A], timeout: float | None, /) -> Awaitable[A]: ...


class Decisions:
    """Decisions, policies and kill switches of a server.

    Every method takes ``timeout``, the seconds to wait (> 0), None for the client's own, and raises
    `ServiceError` when the server refused, failed or was not reached: decide nothing then, and do
    not act.

    Args:
        send: sends a call and reads its response.
    """

    def __init__(self, send: _Send) -> None:
        self._send = send

    def decide(
        self,
        analysis: str,
        *,
        policy: str | None = None,
        runbook: str | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> StoredDecision:
        """Have the server decide whether a runbook may act on a stored analysis.

        Args:
            analysis: its name.
            policy: name of the policy, ``policies/{version}``; or else
            runbook: name of the runbook, whose policy in force is taken.
            request_id: a UUID that stands for this question: asked again with it, the server
                returns the decision it made, or fails (``RUN_WITHDRAWN``) where that was to run and
                may not be acted on any more. None makes one, for this call and its retries.
            timeout: seconds to wait.

        Raises:
            InvalidSettingsError: not one of `policy` and `runbook`.
            InvalidRequestError: a `request_id` that is no UUID.
        """
        call = calls.decide(analysis, policy=policy, runbook=runbook, request_id=request_id)
        return self._send(call, timeout)

    def get(self, name: str, *, timeout: float | None = None) -> StoredDecision:
        """Return a decision by its name."""
        return self._send(calls.get_decision(name), timeout)

    def list(
        self,
        *,
        runbook: str = "",
        verdicts: Sequence[Verdict | str] = (),
        page_size: int = 50,
        timeout: float | None = None,
    ) -> Iterator[StoredDecision]:
        """Yield decisions, newest first.

        Args:
            runbook: only those about it; all when empty.
            verdicts: only those with one of these; all when empty.
            page_size: how many to ask for at once.
            timeout: seconds each page may take.
        """
        token = ""
        while True:
            call = calls.list_decisions(runbook, verdicts, page_size, token)
            page, token = self._send(call, timeout)
            yield from page
            if not token:
                return

    def create_policy(self, policy: Policy, *, timeout: float | None = None) -> StoredPolicy:
        """Store a policy and put it in force for its runbook."""
        return self._send(calls.create_policy(policy), timeout)

    def get_policy(self, name: str, *, timeout: float | None = None) -> StoredPolicy:
        """Return a policy by its name."""
        return self._send(calls.get_policy(name), timeout)

    def list_policies(
        self, *, runbook: str = "", page_size: int = 50, timeout: float | None = None
    ) -> Iterator[StoredPolicy]:
        """Yield policies, that created last first; only a runbook's where one is named."""
        token = ""
        while True:
            page, token = self._send(calls.list_policies(runbook, page_size, token), timeout)
            yield from page
            if not token:
                return

    def engage_kill_switch(
        self, runbook: str = "", *, reason: str = "", timeout: float | None = None
    ) -> KillSwitch:
        """Hold a runbook, or all of them when it is empty, from now on."""
        return self._send(calls.engage_kill_switch(runbook, reason), timeout)

    def release_kill_switch(
        self, runbook: str = "", *, reason: str = "", timeout: float | None = None
    ) -> KillSwitch:
        """End what `engage_kill_switch` began for the same runbook, or for all."""
        return self._send(calls.release_kill_switch(runbook, reason), timeout)

    def list_kill_switches(self, *, timeout: float | None = None) -> Sequence[KillSwitch]:
        """Return the switches that were ever engaged or released; that of all comes first."""
        return self._send(calls.list_kill_switches(), timeout)


class AsyncDecisions:
    """As `Decisions`, with awaitable methods.

    Args:
        send: sends a call and reads its response.
    """

    def __init__(self, send: _AsyncSend) -> None:
        self._send = send

    async def decide(
        self,
        analysis: str,
        *,
        policy: str | None = None,
        runbook: str | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> StoredDecision:
        """As `Decisions.decide`."""
        call = calls.decide(analysis, policy=policy, runbook=runbook, request_id=request_id)
        return await self._send(call, timeout)

    async def get(self, name: str, *, timeout: float | None = None) -> StoredDecision:
        """As `Decisions.get`."""
        return await self._send(calls.get_decision(name), timeout)

    async def list(
        self,
        *,
        runbook: str = "",
        verdicts: Sequence[Verdict | str] = (),
        page_size: int = 50,
        timeout: float | None = None,
    ) -> AsyncIterator[StoredDecision]:
        """As `Decisions.list`."""
        token = ""
        while True:
            call = calls.list_decisions(runbook, verdicts, page_size, token)
            page, token = await self._send(call, timeout)
            for decision in page:
                yield decision
            if not token:
                return

    async def create_policy(self, policy: Policy, *, timeout: float | None = None) -> StoredPolicy:
        """As `Decisions.create_policy`."""
        return await self._send(calls.create_policy(policy), timeout)

    async def get_policy(self, name: str, *, timeout: float | None = None) -> StoredPolicy:
        """As `Decisions.get_policy`."""
        return await self._send(calls.get_policy(name), timeout)

    async def list_policies(
        self, *, runbook: str = "", page_size: int = 50, timeout: float | None = None
    ) -> AsyncIterator[StoredPolicy]:
        """As `Decisions.list_policies`."""
        token = ""
        while True:
            page, token = await self._send(calls.list_policies(runbook, page_size, token), timeout)
            for policy in page:
                yield policy
            if not token:
                return

    async def engage_kill_switch(
        self, runbook: str = "", *, reason: str = "", timeout: float | None = None
    ) -> KillSwitch:
        """As `Decisions.engage_kill_switch`."""
        return await self._send(calls.engage_kill_switch(runbook, reason), timeout)

    async def release_kill_switch(
        self, runbook: str = "", *, reason: str = "", timeout: float | None = None
    ) -> KillSwitch:
        """As `Decisions.release_kill_switch`."""
        return await self._send(calls.release_kill_switch(runbook, reason), timeout)

    async def list_kill_switches(self, *, timeout: float | None = None) -> Sequence[KillSwitch]:
        """As `Decisions.list_kill_switches`."""
        return await self._send(calls.list_kill_switches(), timeout)
