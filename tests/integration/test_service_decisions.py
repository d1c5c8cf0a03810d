"""The gate on a real server: policies, decisions, kill switches."""

from __future__ import annotations

import asyncio
import random
import re
import signal
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status  # type: ignore[import-untyped]

from bayesrca.api.v1 import decision_service_pb2 as pb
from bayesrca.api.v1 import decision_service_pb2_grpc as pb_grpc
from bayesrca.client import AsyncClient, Client
from bayesrca.decision import Policy, Verdict, decide, parse_policy
from bayesrca.errors import InvalidRequestError, InvalidSettingsError, ServiceError
from bayesrca.posterior.document import hash_answer
from bayesrca.service.caller import Scope
from bayesrca.service.credentials import new_token
from bayesrca.wire import StoredAnalysis
from bayesrca.wire.policies import encode_policy
from tests.integration.kit import (
    ROOT,
    SCREEN,
    Server,
    fetch,
    make_incident,
    mangled,
    pages_of,
)
from tests.unit.decision.kit import policy_table

pytestmark = pytest.mark.grpc


PAGE = (ROOT / "docs" / "grpc.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("data")
    with Server("--data-dir", str(data), "--http-port", "0", analyzer="certain") as server:
        yield server.until_ready()


@pytest.fixture
def client(gate: Server) -> Iterator[Client]:
    with Client(gate.address, timeout=60) as client:
        yield client


@pytest.fixture
def runbook() -> str:
    """One that no other test knows, for rates are counted by it."""
    return f"restart {uuid.uuid4()}"


def policy(runbook: str, **changes: Any) -> Policy:  # noqa: ANN401
    return parse_policy(policy_table(runbook=runbook, **changes))


def analysed(client: Client, name: str = "sure") -> StoredAnalysis:
    made = client.create_analysis(make_incident(name), seed=1, settings=SCREEN)
    return client.wait_for_analysis(made.name)


def reason_of(call: Any, *arguments: object, **named: object) -> str:  # noqa: ANN401
    with pytest.raises(ServiceError) as caught:
        call(*arguments, **named)
    return str(caught.value.reason)


def test_from_a_policy_to_decisions(client: Client, runbook: str) -> None:
    analysis = analysed(client)
    mine = policy(runbook)
    stored = client.decisions.create_policy(mine)
    assert (stored.policy, stored.name) == (mine, f"policies/{mine.version}")
    assert stored.in_force
    first = client.decisions.decide(analysis.name, runbook=runbook)
    d = first.decision
    assert (d.verdict, d.component, d.kill_switch) == (Verdict.RUN, "a", False)
    assert (first.analysis, first.policy, first.caller) == (analysis.name, stored.name, "anyone")
    assert d.analyzed_at == pytest.approx(analysis.created, abs=1e-6)
    second = client.decisions.decide(analysis.name, policy=stored.name)
    assert second.decision.recent_runs == (d.now,)
    third = client.decisions.decide(analysis.name, runbook=runbook)
    assert third.decision.verdict is Verdict.HOLD
    assert [c.name for c in third.decision.reasons] == ["rate_limit"]
    assert client.decisions.get(first.name) == first
    assert [*client.decisions.list(runbook=runbook, page_size=2)] == [third, second, first]
    assert [*client.decisions.list(runbook=runbook, verdicts=["hold"])] == [third]


def test_a_decision_can_be_made_again_anywhere(client: Client, runbook: str) -> None:
    """From what the server tells, to the last bit."""
    analysis = analysed(client)
    name = client.decisions.create_policy(policy(runbook)).name
    for _ in range(3):
        told = client.decisions.decide(analysis.name, policy=name).decision
        answer = client.get_analysis(analysis.name).answer
        assert answer is not None
        assert told.answer_hash == hash_answer(answer)
        again = decide(
            answer, client.decisions.get_policy(name).policy, now=told.now,
            analyzed_at=told.analyzed_at, history=told.recent_runs, kill_switch=told.kill_switch,
        )  # fmt: skip
        assert again.verdict is told.verdict
        assert again.checks == told.checks
        assert (again.expected_loss, again.worst_loss) == (told.expected_loss, told.worst_loss)


@pytest.mark.parametrize(
    ("name", "verdict", "reasons"),
    [
        ("torn", Verdict.HOLD, ["p_cause", "lead"]),
        ("unwell", Verdict.HOLD, ["healthy"]),
        ("sure", Verdict.RUN, []),
    ],
)
def test_the_answer_decides(
    client: Client, runbook: str, name: str, verdict: Verdict, reasons: list[str]
) -> None:
    client.decisions.create_policy(policy(runbook))
    found = client.decisions.decide(analysed(client, name).name, runbook=runbook).decision
    assert (found.verdict, [c.name for c in found.reasons]) == (verdict, reasons)


def test_a_question_asked_again_is_answered_once(client: Client, runbook: str) -> None:
    analysis, request_id = analysed(client), str(uuid.uuid4())
    client.decisions.create_policy(policy(runbook))
    first = client.decisions.decide(analysis.name, runbook=runbook, request_id=request_id)
    client.delete_analysis(analysis.name)
    client.decisions.create_policy(policy(runbook, reversible=False))
    upper = request_id.upper()
    assert client.decisions.decide(analysis.name, runbook=runbook, request_id=upper) == first
    assert len([*client.decisions.list(runbook=runbook)]) == 1
    other = analysed(client)
    reused = reason_of(client.decisions.decide, other.name, runbook=runbook, request_id=request_id)
    assert reused == "REQUEST_ID_REUSED"


def test_of_many_at_once_no_more_than_allowed_run(client: Client, runbook: str) -> None:
    analysis = analysed(client)
    client.decisions.create_policy(policy(runbook))
    with ThreadPoolExecutor(16) as threads:
        asked = [
            threads.submit(client.decisions.decide, analysis.name, runbook=runbook)
            for _ in range(32)
        ]
        verdicts = [future.result().decision.verdict for future in asked]
    assert sorted(verdicts) == ["hold"] * 30 + ["run"] * 2


def test_a_kill_switch_holds_until_it_is_released(client: Client, runbook: str) -> None:
    analysis = analysed(client)
    client.decisions.create_policy(policy(runbook))

    def verdict() -> Verdict:
        return client.decisions.decide(analysis.name, runbook=runbook).decision.verdict

    for held in (runbook, ""):
        engaged = client.decisions.engage_kill_switch(held, reason="a drill")
        assert (engaged.runbook, engaged.engaged, engaged.updater) == (held, True, "anyone")
        assert verdict() is Verdict.HOLD
        assert engaged in client.decisions.list_kill_switches()
        released = client.decisions.release_kill_switch(held, reason="it is over")
        assert (released.engaged, released.reason) == (False, "it is over")
        assert released.updated >= engaged.updated
    assert client.decisions.list_kill_switches()[0].runbook == ""
    assert verdict() is Verdict.RUN


def test_policies_are_listed_and_put_in_force_again(client: Client, runbook: str) -> None:
    ages = [10.0, 20.0, 30.0]
    names = [
        client.decisions.create_policy(policy(runbook, max_age_seconds=age)).name for age in ages
    ]
    listed = [*client.decisions.list_policies(runbook=runbook, page_size=2)]
    assert [p.policy.max_age_seconds for p in listed] == ages[::-1]
    assert [p.in_force for p in listed] == [True, False, False]
    assert client.decisions.create_policy(policy(runbook, max_age_seconds=10)).name == names[0]
    assert client.decisions.get_policy(names[0]).in_force
    assert not client.decisions.get_policy(names[2]).in_force


def test_an_analysis_without_an_answer_decides_nothing(client: Client, runbook: str) -> None:
    client.decisions.create_policy(policy(runbook))
    failed = analysed(client, "no-evidence")
    assert reason_of(client.decisions.decide, failed.name, runbook=runbook) == "NO_ANSWER"
    assert [*client.decisions.list(runbook=runbook)] == []


def test_what_there_is_not_is_not_found(client: Client, runbook: str) -> None:
    analysis = analysed(client)
    none = f"policies/{'0' * 64}"
    for call, arguments in (
        (client.decisions.get, ("decisions/1",)),
        (client.decisions.get_policy, (none,)),
    ):
        assert reason_of(call, *arguments) == "NOT_FOUND"
    assert reason_of(client.decisions.decide, analysis.name, policy=none) == "NOT_FOUND"
    assert reason_of(client.decisions.decide, analysis.name, runbook=runbook) == "NOT_FOUND"
    client.decisions.create_policy(policy(runbook))
    assert reason_of(client.decisions.decide, "analyses/1", runbook=runbook) == "NOT_FOUND"


ID = "123e4567-e89b-42d3-a456-426614174000"
DECIDE = {"request_id": ID, "analysis": "analyses/1", "runbook": "x"}


@pytest.mark.parametrize(
    ("rpc", "request_", "field"),
    [
        ("Decide", pb.DecideRequest(**{**DECIDE, "request_id": "1"}), "request_id"),
        ("Decide", pb.DecideRequest(**{**DECIDE, "analysis": "1"}), "analysis"),
        ("Decide", pb.DecideRequest(request_id=ID, analysis="analyses/1"), "policy"),
        ("Decide", pb.DecideRequest(**{**DECIDE, "runbook": ""}), "runbook"),
        ("Decide", pb.DecideRequest(**{**DECIDE, "runbook": "x" * 1001}), "runbook"),
        ("Decide", pb.DecideRequest(request_id=ID, analysis="analyses/1", policy="x"), "policy"),
        ("GetDecision", pb.GetDecisionRequest(name="analyses/1"), "name"),
        ("GetDecision", pb.GetDecisionRequest(), "name"),
        ("GetPolicy", pb.GetPolicyRequest(name="policies/../x"), "name"),
        ("GetPolicy", pb.GetPolicyRequest(name=f"policies/{'A' * 64}"), "name"),
        ("CreatePolicy", pb.CreatePolicyRequest(), "policy"),
        ("ListDecisions", pb.ListDecisionsRequest(page_size=-1), "page_size"),
        ("ListDecisions", pb.ListDecisionsRequest(page_token="x"), "page_token"),
        ("ListDecisions", pb.ListDecisionsRequest(verdicts=[7]), "verdicts[0]"),  # type: ignore[list-item]
        ("ListDecisions", pb.ListDecisionsRequest(verdicts=[0]), "verdicts[0]"),  # type: ignore[list-item]
        ("ListPolicies", pb.ListPoliciesRequest(page_token="WzEsIFsieCJdXQ=="), "page_token"),
        ("EngageKillSwitch", pb.EngageKillSwitchRequest(runbook="x" * 1001), "runbook"),
        ("ReleaseKillSwitch", pb.ReleaseKillSwitchRequest(reason="x" * 1001), "reason"),
    ],
)
def test_a_call_that_cannot_be_names_the_field(
    gate: Server, rpc: str, request_: object, field: str
) -> None:
    with gate.channel() as channel:
        stub = pb_grpc.DecisionServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            getattr(stub, rpc)(request_, timeout=30)
    status = rpc_status.from_call(caught.value)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    bad = error_details_pb2.BadRequest()
    assert any(detail.Unpack(bad) for detail in status.details)
    assert [v.field for v in bad.field_violations] == [field]


def test_a_policy_that_is_none_is_refused_with_its_path(gate: Server) -> None:
    message = pb.CreatePolicyRequest()
    message.policy.runbook = "x"
    with Client(gate.address, timeout=30) as client, gate.channel() as channel:
        stub = pb_grpc.DecisionServiceStub(channel)
        with pytest.raises(grpc.RpcError, match="lacks reversible"):
            stub.CreatePolicy(message, timeout=30)
        assert client.decisions.list_kill_switches() is not None


def test_the_client_refuses_what_cannot_be(client: Client) -> None:
    with pytest.raises(InvalidSettingsError):
        client.decisions.decide("analyses/1")
    with pytest.raises(InvalidSettingsError):
        client.decisions.decide("analyses/1", policy="p", runbook="r")
    with pytest.raises(InvalidRequestError):
        client.decisions.decide("analyses/1", runbook="r", request_id="1")
    with pytest.raises(InvalidSettingsError):
        next(client.decisions.list(verdicts=["maybe"]))


def test_decisions_outlive_a_server_that_is_killed(tmp_path: Path, runbook: str) -> None:
    arguments = ("--data-dir", str(tmp_path / "data"))
    with Server(*arguments, analyzer="certain") as server:
        server.until_ready()
        with Client(server.address, timeout=60) as client:
            analysis = analysed(client)
            client.decisions.create_policy(policy(runbook))
            client.decisions.engage_kill_switch("other", reason="kept")
            made = [client.decisions.decide(analysis.name, runbook=runbook) for _ in range(2)]
            server.signal(signal.SIGKILL)
            server.wait()
    with (
        Server(*arguments, analyzer="certain") as server,
        Client(server.until_ready().address, timeout=60) as client,
    ):
        assert [*client.decisions.list()] == made[::-1]
        after = client.decisions.decide(analysis.name, runbook=runbook)
        assert [c.name for c in after.decision.reasons] == ["rate_limit"]
        assert [s.runbook for s in client.decisions.list_kill_switches()] == ["other"]


def test_without_a_data_directory_nothing_is_decided(service: Server) -> None:
    with Client(service.address, timeout=60) as client:
        gone = client.decisions
        assert reason_of(gone.decide, "analyses/1", runbook="x") == "NO_STORE"
        assert reason_of(gone.engage_kill_switch) == "NO_STORE"
        assert reason_of(gone.create_policy, policy("x")) == "NO_STORE"


def test_each_rpc_takes_its_scope_and_each_tenant_its_own(tmp_path: Path, runbook: str) -> None:
    tokens, lines = {}, []
    for name, tenant, scopes in (
        ("bot", "t", [Scope.DECIDE]), ("reader", "t", [Scope.READ]), ("ops", "t", [Scope.ADMIN]),
        ("other", "u", [*Scope]), ("maker", "t", [Scope.ANALYZE, Scope.READ]),
    ):  # fmt: skip
        tokens[name], line = new_token(name, tenant, scopes, None)
        lines.append(line)
    (tmp_path / "credentials.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    files = ("--credentials-file", str(tmp_path / "credentials.toml"))
    data = ("--data-dir", str(tmp_path / "data"))
    with Server(*files, *data, analyzer="certain") as server, ExitStack() as clients:
        server.until_ready()
        bot, reader, ops, other, maker = (
            clients.enter_context(Client(server.address, timeout=60, token=tokens[name])).decisions
            for name in ("bot", "reader", "ops", "other", "maker")
        )
        with Client(server.address, timeout=60, token=tokens["maker"]) as client:
            analysis = analysed(client)
        stored = ops.create_policy(policy(runbook))
        made = bot.decide(analysis.name, runbook=runbook)
        assert (stored.creator, made.caller) == ("ops", "bot")
        bot.engage_kill_switch(runbook)
        ops.release_kill_switch(runbook)
        assert reader.get(made.name) == made
        refused: tuple[tuple[Any, tuple[Any, ...], dict[str, str]], ...] = (
            (reader.decide, (analysis.name,), {"runbook": runbook}),
            (ops.decide, (analysis.name,), {"runbook": runbook}),
            (maker.decide, (analysis.name,), {"runbook": runbook}),
            (bot.get, (made.name,), {}),
            (bot.create_policy, (policy(runbook),), {}),
            (bot.release_kill_switch, (runbook,), {}),
            (maker.engage_kill_switch, (runbook,), {}),
            (ops.list_kill_switches, (), {}),
        )
        for call, given, named in refused:
            assert reason_of(call, *given, **named) == "MISSING_SCOPE"
        assert reason_of(other.get, made.name) == "NOT_FOUND"
        assert reason_of(other.decide, analysis.name, policy=stored.name) == "NOT_FOUND"
        assert [*other.list(), *other.list_policies(), *other.list_kill_switches()] == []


def test_decisions_are_counted_and_logged(gate: Server, client: Client, runbook: str) -> None:
    def counted() -> dict[str, float]:
        _, text = fetch(pages_of(gate), "/metrics")
        found = re.findall(r'bayesrca_decisions_total\{verdict="(\w+)"\} (\S+)', text)
        return {verdict: float(n) for verdict, n in found}

    before = counted()
    analysis = analysed(client)
    client.decisions.create_policy(policy(runbook))
    for i in range(3):
        for _ in range(2):  # the second is told what was decided
            request_id = str(uuid.UUID(int=i))
            client.decisions.decide(analysis.name, runbook=runbook, request_id=request_id)
    after = counted()
    assert {v: after[v] - before[v] for v in after} == {"run": 2.0, "review": 0.0, "hold": 1.0}
    said = gate.wait_for(lambda line: f": RUN '{runbook}'" in line)
    assert said.endswith("'")  # and nothing of the incident
    assert next(client.decisions.list(runbook=runbook, verdicts=["hold"])).name not in said


def test_hostile_messages_are_refused_one_by_one(gate: Server, client: Client) -> None:
    rng = random.Random(5)
    create = pb.CreatePolicyRequest(policy=encode_policy(policy("hostile")))
    valid = {"CreatePolicy": create.SerializeToString()}
    decide_by = pb.DecideRequest(**DECIDE).SerializeToString()
    rpcs = [method.name for method in pb.DESCRIPTOR.services_by_name["DecisionService"].methods]
    refused = {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
    }
    with gate.channel() as channel:
        for _ in range(400):
            rpc = rng.choice(rpcs)
            message = mangled(valid.get(rpc, decide_by), rng)
            send: grpc.UnaryUnaryMultiCallable[bytes, bytes]
            send = channel.unary_unary(f"/bayesrca.api.v1.DecisionService/{rpc}")
            try:
                send(message, timeout=60)
            except grpc.RpcError as error:
                assert error.code() in refused, (rpc, message, error)
    for switch in client.decisions.list_kill_switches():
        client.decisions.release_kill_switch(switch.runbook)
    assert not any(s.engaged for s in client.decisions.list_kill_switches())


def test_the_example_of_the_page_runs(
    gate: Server, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = (c for c in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "decide(" in c)
    gates = (ROOT / "docs" / "runbook-gates.md").read_text(encoding="utf-8")
    (toml,) = re.findall(r"```toml\n(.*?)```", gates, re.DOTALL)
    (tmp_path / "policy.toml").write_text(
        toml.replace("PetSearch_AWS::ECS::Fargate", "a").replace("p_none = 0.02", "p_none = 0.1"),
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    restarted: list[str] = []
    names = {"name": analysed(client).name, "restart": restarted.append}
    exec(compile(code.replace("127.0.0.1:50051", gate.address), "docs/grpc.md", "exec"), names)
    assert restarted == ["a"]


def test_the_asynchronous_client_does_the_same(gate: Server, runbook: str) -> None:
    async def work() -> None:
        async with AsyncClient(gate.address, timeout=60) as client:
            made = await client.create_analysis(make_incident("sure"), seed=1, settings=SCREEN)
            await client.wait_for_analysis(made.name)
            stored = await client.decisions.create_policy(policy(runbook))
            assert await client.decisions.get_policy(stored.name) == stored
            decision = await client.decisions.decide(made.name, runbook=runbook)
            assert decision.decision.verdict is Verdict.RUN
            assert await client.decisions.get(decision.name) == decision
            assert [d async for d in client.decisions.list(runbook=runbook)] == [decision]
            listed = client.decisions.list_policies(runbook=runbook, page_size=1)
            assert [p async for p in listed] == [stored]
            engaged = await client.decisions.engage_kill_switch(runbook)
            assert engaged in await client.decisions.list_kill_switches()
            assert not (await client.decisions.release_kill_switch(runbook)).engaged

    asyncio.run(work())
