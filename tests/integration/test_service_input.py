"""Whatever a request can get wrong is INVALID_ARGUMENT with the path of the field."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status  # type: ignore[import-untyped]

from bayesrca.api.v1 import incident_pb2, tensor_pb2
from bayesrca.api.v1 import root_cause_service_pb2 as pb
from bayesrca.api.v1 import root_cause_service_pb2_grpc as pb_grpc
from bayesrca.service.auth import EXPORTS, SCOPES
from tests.integration.kit import SERVICE, Server, make_request

pytestmark = pytest.mark.grpc

Spoil = Callable[[pb.AnalyzeRequest], object]
ROWS: dict[str, tuple[Spoil, str]] = {
    "no incident": (lambda r: r.ClearField("incident"), "incident"),
    "no seed": (lambda r: r.ClearField("seed"), "seed"),
    "no topology": (lambda r: r.incident.ClearField("topology"), "incident.topology"),
    "no name": (lambda r: r.incident.ClearField("name"), "incident.name"),
    "undeclared edge end": (
        lambda r: setattr(r.incident.topology.edges[1], "target", "ghost"),
        "incident.topology.edges[1].target",
    ),
    "self-loop": (
        lambda r: setattr(r.incident.topology.edges[0], "target", "checkout"),
        "incident.topology.edges[0].target",
    ),
    "component twice": (
        lambda r: setattr(r.incident.topology.components[2], "name", "checkout"),
        "incident.topology.components[2].name",
    ),
    "unknown kind": (
        lambda r: setattr(r.incident.topology.components[2], "kind", 99),
        "incident.topology.components[2].kind",
    ),
    "undeclared parent": (
        lambda r: setattr(r.incident.topology.components[2], "parent", "ghost"),
        "incident.topology.components[2].parent",
    ),
    "no family": (
        lambda r: r.incident.signals[1].ClearField("family"),
        "incident.signals[1].family",
    ),
    "no subject": (
        lambda r: r.incident.signals[1].ClearField("component"),
        "incident.signals[1].component",
    ),
    "undeclared subject": (
        lambda r: setattr(r.incident.signals[1], "component", "ghost"),
        "incident.signals[1].component",
    ),
    "time axis out of range": (
        lambda r: setattr(r.incident.signals[1], "time_axis", 1),
        "incident.signals[1].time_axis",
    ),
    "no dtype": (
        lambda r: r.incident.signals[2].values.ClearField("dtype"),
        "incident.signals[2].values.dtype",
    ),
    "bytes missing": (
        lambda r: setattr(r.incident.signals[2].values, "data", b"1234567"),
        "incident.signals[2].values.data",
    ),
    "huge claim": (
        lambda r: r.incident.signals[2].values.shape.extend([1 << 62, 1 << 62]),
        "incident.signals[2].values.data",
    ),
    "negative extent": (
        lambda r: r.incident.signals[2].values.shape.extend([-1]),
        "incident.signals[2].values.shape",
    ),
    "two axes": (
        lambda r: r.incident.signals[2].values.shape.extend([1]),
        "incident.signals[2].values.shape",
    ),
    "infinite value": (
        lambda r: put(r.incident.signals[2].values, 4, float("inf")),
        "incident.signals[2].values[4]",
    ),
    "time is NaN": (
        lambda r: put(r.incident.time_axes[0], 4, float("nan")),
        "incident.time_axes[0]",
    ),
    "time goes back": (
        lambda r: put(r.incident.time_axes[0], 4, 0.0),
        "incident.time_axes[0]",
    ),
    "series of nothing": (
        lambda r: r.incident.ClearField("signals"),
        "incident.signals",
    ),
    "window without samples": (
        lambda r: r.incident.window.MergeFrom(
            incident_pb2.TimeWindow(start_seconds=1e9, end_seconds=2e9)
        ),
        "incident.window",
    ),
    "window backwards": (
        lambda r: setattr(r.incident.window, "end_seconds", 0.0),
        "incident.window.end_seconds",
    ),
    "baseline infinite": (
        lambda r: setattr(r.incident.baseline, "start_seconds", float("-inf")),
        "incident.baseline.start_seconds",
    ),
    "unknown target": (
        lambda r: setattr(r.incident.target, "signal", "ghost"),
        "incident.target.signal",
    ),
    "event at no time": (
        lambda r: r.incident.events.add(time_seconds=float("nan"), kind="deploy"),
        "incident.events[0].time_seconds",
    ),
    "event on nothing": (
        lambda r: r.incident.events.add(time_seconds=1.0, kind="deploy", component="ghost"),
        "incident.events[0].component",
    ),
    "unknown method": (lambda r: setattr(r.settings, "method", 9), "settings.method"),
    "no draws": (lambda r: setattr(r.settings, "draws", 0), "settings.draws"),
    "too many draws": (lambda r: setattr(r.settings, "draws", 500_000), "settings.draws"),
    "too many points": (
        lambda r: setattr(r.settings, "screen_points", 1 << 17),
        "settings.screen_points",
    ),
    "too many points in all": (
        lambda r: r.settings.MergeFrom(
            pb.AnalysisSettings(screen_scrambles=65, screen_points=1 << 16)
        ),
        "settings.screen_points",
    ),
    "a seed only unsigned": (lambda r: setattr(r, "seed", 1 << 63), "seed"),
    "too wide": (lambda r: setattr(r.settings, "max_width", 17), "settings.max_width"),
    "deadline zero": (
        lambda r: setattr(r.settings, "deadline_seconds", 0.0),
        "settings.deadline_seconds",
    ),
    "prior of NaN": (
        lambda r: setattr(r.settings, "none_prior", float("nan")),
        "settings.none_prior",
    ),
}


def raw_call(channel: grpc.Channel) -> grpc.UnaryUnaryMultiCallable[bytes, bytes]:
    return channel.unary_unary(f"/{SERVICE}/Analyze")


def put(tensor: tensor_pb2.Tensor, index: int, value: float) -> None:
    data = bytearray(tensor.data)
    struct.pack_into("<d", data, 8 * index, value)
    tensor.data = bytes(data)


@pytest.mark.parametrize("row", ROWS)
def test_bad_input_names_its_field(service: Server, row: str) -> None:
    spoil, field = ROWS[row]
    request = make_request()
    spoil(request)
    with service.channel() as channel, pytest.raises(grpc.RpcError) as caught:
        pb_grpc.RootCauseServiceStub(channel).Analyze(request, timeout=30)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in rpc_status.from_call(caught.value).details:
        detail.Unpack(info)
        detail.Unpack(bad)
    assert info.domain == "bayesrca"
    assert info.reason in ("INVALID_INCIDENT", "INVALID_SETTINGS")
    assert [(v.field, v.description) for v in bad.field_violations] == [
        (field, caught.value.details())
    ]


def test_bytes_that_are_no_request(service: Server) -> None:
    with service.channel() as channel, pytest.raises(grpc.RpcError) as caught:
        raw_call(channel)(b"\xff\xff\xff\xff", timeout=30)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "INCIDENT_FORMAT" in str(rpc_status.from_call(caught.value))


def test_no_mutation_of_a_request_breaks_the_server(service: Server) -> None:
    """200 requests with bytes changed, cut or repeated: an answer or INVALID_ARGUMENT, always."""
    rng = random.Random(20)
    valid = make_request().SerializeToString()
    allowed = {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT}
    seen = set()
    with service.channel() as channel:
        send = raw_call(channel)
        for _ in range(200):
            raw = bytearray(valid)
            for _ in range(rng.randrange(1, 4)):
                at = rng.randrange(len(raw))
                match rng.randrange(3):
                    case 0:
                        raw[at] = rng.randrange(256)
                    case 1:
                        del raw[at : at + rng.randrange(1, 40)]
                    case _:
                        raw[at:at] = raw[at : at + rng.randrange(1, 40)]
            try:
                send(bytes(raw), timeout=30)
                seen.add(grpc.StatusCode.OK)
            except grpc.RpcError as error:
                seen.add(error.code())
        assert send(valid, timeout=30)
    assert seen == allowed


# They carry content; every other request only names things.
LARGE = ("Analyze", "CreateAnalysis", "AttributeAnomaly", "CreatePolicy", "ServerReflectionInfo")


def test_a_request_that_only_names_things_is_small(tmp_path: Path) -> None:
    """The event loop reads it: 64 MiB of states would hold up every other call for seconds."""
    methods = [m for m in SCOPES if m.rpartition("/")[2] not in LARGE and m not in EXPORTS]
    unknown = b"\xfa\x3f\x80\x80\x04" + b"x" * (1 << 16)  # a field that no message has
    with Server("--data-dir", str(tmp_path)) as server, server.channel() as channel:
        for method in methods:
            send: grpc.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(method)
            with pytest.raises(grpc.RpcError) as caught:
                list(send(unknown, timeout=30))
            assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT, method
            assert "INVALID_REQUEST" in str(rpc_status.from_call(caught.value))
            assert "takes at most 65536" in str(caught.value.details())


def test_a_message_too_large_is_refused_before_it_is_read() -> None:
    with Server("--max-message-bytes", "20000") as server:
        server.until_ready()
        request = make_request()
        with server.channel() as channel:
            stub = pb_grpc.RootCauseServiceStub(channel)
            assert stub.Analyze(request, timeout=30).answer.seed == 3
            request.incident.events.add(time_seconds=1.0, kind="note", text="x" * 20_000)
            with pytest.raises(grpc.RpcError) as caught:
                stub.Analyze(request, timeout=30)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert rpc_status.from_call(caught.value) is None  # no RetryInfo: sending it again is no use
