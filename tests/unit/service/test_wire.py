"""What goes over the wire comes back the same, to the last bit."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bayesrca.api.v1 import answer_pb2, incident_pb2, tensor_pb2
from bayesrca.api.v1 import root_cause_service_pb2 as pb
from bayesrca.config import LARGEST_SEED, BeyondWidth, LearnedPrior, Method, Settings
from bayesrca.errors import (
    IncidentFormatError,
    InvalidIncidentError,
    InvalidSettingsError,
)
from bayesrca.incident import Component, Family, Incident, Run, Signal, Statistic, Topology
from bayesrca.posterior.result import Answer
from bayesrca.wire import (
    decode_answer,
    decode_incident,
    decode_request,
    decode_settings,
    encode_answer,
    encode_incident,
    encode_settings,
)
from bayesrca.wire.tensors import decode_vector, encode_tensor
from bayesrca.wire.vocabulary import COMPONENT_KINDS, EDGE_KINDS, FAMILIES, METHODS, STATISTICS
from tests.unit.service.strategies import ANSWERS, incidents

UNIT = st.floats(0, 1, exclude_min=True, exclude_max=True)
SETTINGS = st.builds(
    Settings,
    method=st.sampled_from(Method),
    deadline=st.none() | st.floats(1e-3, 1e6),
    chains=st.integers(1, 64),
    draws=st.integers(1, 1_000_000),
    tune=st.integers(1, 1_000_000),
    target_accept=UNIT,
    retry_target_accept=UNIT,
    screen_scrambles=st.integers(4, 1024),
    screen_points=st.integers(8, 1 << 16),
    none_prior=UNIT,
    interval_mass=UNIT,
    cores=st.integers(1, 1024),
    max_bins=st.integers(2, 12),
    max_width=st.integers(1, 20),
    beyond_width=st.sampled_from(BeyondWidth),
    max_causes=st.integers(1, 3),
    set_candidates=st.integers(2, 24),
)


def every_signal(incident: Incident) -> list[Signal]:
    return [*incident.signals, *(s for run in incident.normal_runs for s in run.signals)]


# The first text that is drawn waits for Hypothesis to read the Unicode tables.
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(incidents())
def test_an_incident_comes_back_to_the_last_bit(incident: Incident) -> None:
    raw = encode_incident(incident).SerializeToString()
    back = decode_incident(incident_pb2.Incident.FromString(raw))
    assert back == incident
    same = dataclasses.replace(back, signals=incident.signals, normal_runs=incident.normal_runs)
    assert repr(same) == repr(incident)
    assert [r.name for r in back.normal_runs] == [r.name for r in incident.normal_runs]
    for ours, theirs in zip(every_signal(incident), every_signal(back), strict=True):
        assert ours.timestamps.tobytes() == theirs.timestamps.tobytes()
        assert ours.values.tobytes() == theirs.values.tobytes()


@given(ANSWERS)
def test_an_answer_comes_back_to_the_last_bit(answer: Answer) -> None:
    raw = encode_answer(answer).SerializeToString()
    back = decode_answer(answer_pb2.Answer.FromString(raw))
    assert back == answer
    assert repr(back) == repr(answer)  # tells -0.0 from 0.0, and the order of mappings


@given(ANSWERS)
def test_numbers_that_are_no_numbers_survive(answer: Answer) -> None:
    odd = dataclasses.replace(answer.diagnostics, ess=math.nan, r_hat=math.inf)
    message = encode_answer(dataclasses.replace(answer, diagnostics=odd))
    back = decode_answer(message).diagnostics
    assert math.isnan(back.ess)
    assert back.r_hat == math.inf


@given(ANSWERS.filter(lambda answer: answer.attribution is not None))
def test_shares_without_their_interval_are_refused(answer: Answer) -> None:
    message = encode_answer(answer)
    message.attribution.ClearField("footprint")
    with pytest.raises(IncidentFormatError, match="is missing") as caught:
        decode_answer(message)
    assert caught.value.field == "answer.attribution.footprint"


@given(SETTINGS)
def test_settings_come_back_but_for_the_cores(settings: Settings) -> None:
    raw = encode_settings(settings).SerializeToString()
    back = decode_settings(pb.AnalysisSettings.FromString(raw), cores=7)
    assert back == dataclasses.replace(settings, cores=7)


def test_absent_settings_are_the_defaults() -> None:
    assert decode_settings(pb.AnalysisSettings(), cores=2) == Settings(cores=2)


def test_every_setting_travels() -> None:
    wire = {field.name for field in pb.AnalysisSettings.DESCRIPTOR.fields}
    home = {field.name for field in dataclasses.fields(Settings)}
    assert wire - {"deadline_seconds"} == home - {"deadline", "cores", "prior"}


def test_a_learned_prior_stays_home() -> None:
    prior = LearnedPrior(
        name="x", sha256="0", mean=(0.0,), sd=(1.0,), gamma=1.0, incidents=9, groups=7
    )
    with pytest.raises(InvalidSettingsError, match="bayesrca serve --prior") as caught:
        encode_settings(Settings(prior=prior))
    assert caught.value.field == "prior"


def test_a_setting_of_zero_is_not_an_absent_one() -> None:
    with pytest.raises(InvalidSettingsError) as caught:
        decode_settings(pb.AnalysisSettings(chains=0))
    assert caught.value.field == "settings.chains"


def test_no_value_of_a_wire_enum_is_left_without_meaning() -> None:
    for table, wire in (
        (COMPONENT_KINDS, incident_pb2.ComponentKind),
        (EDGE_KINDS, incident_pb2.EdgeKind),
        (FAMILIES, incident_pb2.SignalFamily),
        (STATISTICS, incident_pb2.Statistic),
        (METHODS, answer_pb2.Method),
    ):
        words = [table.word(number, "field") for number in wire.values() if number]
        assert len(set(words)) == len(words)


def test_series_with_the_same_times_share_an_axis() -> None:
    time = np.arange(5.0)
    signals = [
        Signal("a", name, Family.LOAD, Statistic.COUNT, axis, np.ones(5))
        for name, axis in (("x", time), ("y", time.copy()), ("z", time + 0.5))
    ]
    message = encode_incident(Incident("i", Topology((Component("a"),)), tuple(signals)))
    assert [s.time_axis for s in message.signals] == [0, 0, 1]
    assert len(message.time_axes) == 2


@pytest.mark.parametrize(
    ("run", "field"),
    [
        (incident_pb2.Run(name="monday"), "incident.normal_runs[0].signals"),
        (
            incident_pb2.Run(name="", signals=[incident_pb2.Signal(component="a")]),
            "incident.normal_runs[0].signals[0].family",
        ),
        (
            incident_pb2.Run(name="x", signals=[incident_pb2.Signal(component="a", time_axis=7)]),
            "incident.normal_runs[0].signals[0].time_axis",
        ),
    ],
)
def test_a_normal_run_that_cannot_be(run: incident_pb2.Run, field: str) -> None:
    time = np.arange(3.0)
    signal = Signal("a", "x", Family.LOAD, Statistic.COUNT, time, time)
    message = encode_incident(Incident("i", Topology((Component("a"),)), (signal,)))
    message.normal_runs.append(run)
    with pytest.raises(InvalidIncidentError) as caught:
        decode_incident(message)
    assert caught.value.field == field


def test_runs_share_the_incidents_axes() -> None:
    time = np.arange(3.0)
    signal = Signal("a", "x", Family.LOAD, Statistic.COUNT, time, time)
    runs = (Run("monday", (signal,)), Run("tuesday", (signal,)))
    incident = Incident("i", Topology((Component("a"),)), (signal,), normal_runs=runs)
    message = encode_incident(incident)
    assert len(message.time_axes) == 1
    assert [r.signals[0].time_axis for r in message.normal_runs] == [0, 0]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"dtype": tensor_pb2.D_TYPE_UNSPECIFIED}, "x.dtype"),
        ({"dtype": 7}, "x.dtype"),
        ({"data": b""}, "x.data"),
        ({"data": b"\0" * 23}, "x.data"),
        ({"shape": [4]}, "x.data"),
        ({"shape": []}, "x.data"),
        ({"shape": [-3]}, "x.shape"),
        ({"shape": [-3, -1]}, "x.shape"),
        ({"shape": [3, 1]}, "x.shape"),
        ({"shape": [1 << 62, 1 << 62]}, "x.data"),
        ({"shape": [1] * 9}, "x.shape"),
    ],
)
def test_a_tensor_that_lies(change: dict[str, object], field: str) -> None:
    parts: dict[str, object] = {"data": b"\0" * 24, "dtype": 1, "shape": [3]}
    with pytest.raises(InvalidIncidentError) as caught:
        decode_vector(tensor_pb2.Tensor(**(parts | change)), "x")  # type: ignore[arg-type]
    assert caught.value.field == field


def test_a_vector_is_little_endian_read_only_and_not_copied() -> None:
    message = encode_tensor(np.array([1.0, -0.0]))
    assert message.data == bytes.fromhex("000000000000f03f0000000000000080")
    vector = decode_vector(message, "x")
    assert vector.dtype == np.float64
    assert not vector.flags.writeable
    assert not vector.flags.owndata


@given(ANSWERS, st.data())
def test_an_answer_with_a_part_missing_is_refused(answer: Answer, data: st.DataObject) -> None:
    message = encode_answer(answer)
    spoilers = {
        "answer.posterior": lambda: message.ClearField("posterior"),
        "answer.alarm": lambda: message.ClearField("alarm"),
        "answer.diagnostics": lambda: message.ClearField("diagnostics"),
        "answer.posterior.none": lambda: message.posterior.ClearField("none"),
        "answer.posterior.ambiguity": lambda: message.posterior.ClearField("ambiguity"),
        "answer.posterior.none.interval": lambda: message.posterior.none.ClearField("interval"),
        "answer.method": lambda: message.ClearField("method"),
    }
    if answer.posterior.causes:
        first = message.posterior.causes[0]
        where = "answer.posterior.causes[0]"
        spoilers |= {
            f"{where}.probability": lambda: first.ClearField("probability"),
            f"{where}.only": lambda: first.ClearField("only"),
            f"{where}.explains": lambda: first.ClearField("explains"),
            f"{where}.explains.footprint": lambda: first.explains.ClearField("footprint"),
        }
    if answer.posterior.sets:
        one = message.posterior.sets[0]
        spoilers["answer.posterior.sets[0].probability"] = lambda: one.ClearField("probability")
    if answer.versions:
        spoilers["answer.versions"] = lambda: message.versions.append(message.versions[0])
    field = data.draw(st.sampled_from(sorted(spoilers)))
    spoilers[field]()
    with pytest.raises(IncidentFormatError) as caught:
        decode_answer(message)
    assert caught.value.field == field


def test_seed_zero_is_a_seed() -> None:
    time = np.arange(3.0)
    signal = Signal("a", "x", Family.LOAD, Statistic.COUNT, time, time)
    incident = Incident("i", Topology((Component("a"),)), (signal,))
    request = pb.AnalyzeRequest(incident=encode_incident(incident), seed=0)
    call = decode_request(request, cores=3)
    assert (call.seed, call.settings) == (0, Settings(cores=3))
    assert call.incident == incident
    assert "incident" not in repr(call)


@pytest.mark.parametrize(
    ("seed", "max_width", "field"),
    [(LARGEST_SEED + 1, 14, "seed"), (2**64 - 1, 14, "seed"), (0, 17, "settings.max_width")],
)
def test_what_is_refused_over_the_wire(seed: int, max_width: int, field: str) -> None:
    time = np.arange(3.0)
    signal = Signal("a", "x", Family.LOAD, Statistic.COUNT, time, time)
    incident = encode_incident(Incident("i", Topology((Component("a"),)), (signal,)))
    settings = pb.AnalysisSettings(max_width=max_width)
    request = pb.AnalyzeRequest(incident=incident, seed=seed, settings=settings)
    with pytest.raises(InvalidSettingsError) as caught:
        decode_request(request)
    assert caught.value.field == field
    request.seed, request.settings.max_width = LARGEST_SEED, 16
    assert decode_request(request).seed == LARGEST_SEED
