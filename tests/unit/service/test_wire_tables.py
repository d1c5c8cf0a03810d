"""Spans and log records in a request."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bayesrca.api.v1 import incident_pb2, tensor_pb2
from bayesrca.errors import InvalidIncidentError
from bayesrca.incident import Component, Incident, Logs, Run, Spans, Topology
from bayesrca.wire import decode_incident, encode_incident
from bayesrca.wire.tables import MAX_ROWS

ROWS = (np.array([0, 0], dtype=np.int32), np.array([-1, -1], dtype=np.int64))
SMALL = np.array([0, 2], dtype=np.int8)
LONG = np.array([1, 2**62], dtype=np.int64)


def make() -> Incident:
    zeros, none = ROWS
    rows, code = zeros.astype(np.int64), zeros - np.int32(1)
    spans = Spans(
        ("a",), ("x",), (), ("t",), zeros, zeros, code, rows, none, LONG, rows, SMALL, SMALL, code
    )
    logs = Logs(("a",), ("y",), (), zeros, zeros, LONG, SMALL, none, code, ("told",))
    run = Run("normal", spans=spans, logs=logs)
    topology = Topology((Component("a"),))
    return Incident("case", topology, (), normal_runs=(run,), spans=spans, logs=logs)


def test_they_come_back_without_a_copy_of_their_bytes() -> None:
    message = encode_incident(make())
    back = decode_incident(incident_pb2.Incident.FromString(message.SerializeToString()))
    assert back == make()
    assert back.spans is not None
    assert not back.spans.start_ns.flags.owndata


def test_a_message_without_them_has_none() -> None:
    message = encode_incident(make())
    message.ClearField("logs")
    message.normal_runs[0].ClearField("spans")
    back = decode_incident(message)
    assert back.logs is None
    assert back.normal_runs[0].spans is None


@pytest.mark.parametrize(
    ("spoil", "field", "problem"),
    [
        (
            lambda m: m.spans.parent.ClearField("data"),
            "spans.parent.data",
            "holds 0 bytes, but its shape",
        ),
        (lambda m: m.spans.ClearField("code"), "spans.code.dtype", "is not set; .*INT32"),
        (
            lambda m: setattr(m.spans.kind, "dtype", tensor_pb2.D_TYPE_INT64),
            "spans.kind.dtype",
            r"is 4 \(D_TYPE_INT64\); it must be D_TYPE_INT8",
        ),
        (
            lambda m: m.logs.time_ns.shape.append(1 << 40),
            "logs.time_ns.shape",
            f"at most {MAX_ROWS}: send fewer",
        ),
        (lambda m: m.spans.components.append("ghost"), "spans.components[1]", "'ghost'"),
        (lambda m: m.spans.trace_ids.append("t"), "spans.trace_ids[1]", "listed twice"),
        (lambda m: m.logs.texts.append("z" * 3000), "logs.texts[1]", "cut it at 2048"),
        (
            lambda m: setattr(m.normal_runs[0].spans.status, "data", b"\x00\x07"),
            "normal_runs[0].spans.status[1]",
            "is 7 in row 1",
        ),
        (
            lambda m: setattr(m.logs.span, "data", np.array([5, 5]).tobytes()),
            "logs.span[0]",
            "is 5 in row 0",
        ),
    ],
)
def test_what_is_wrong_is_refused_by_its_path(
    spoil: Callable[[incident_pb2.Incident], object], field: str, problem: str
) -> None:
    message = encode_incident(make())
    spoil(message)
    with pytest.raises(InvalidIncidentError, match=problem) as caught:
        decode_incident(message)
    assert caught.value.field == f"incident.{field}"
