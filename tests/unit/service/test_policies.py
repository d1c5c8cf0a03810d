"""Options, budgets, limits and statuses: the small rules of the service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

import bayesrca.errors
from bayesrca.config import Method, Settings
from bayesrca.errors import BayesRcaError, InvalidSettingsError, ServiceError
from bayesrca.service import ServiceOptions
from bayesrca.service.handlers import MAX_SHARE_WORK, check_limits, check_share_limits
from bayesrca.service.messages import Call, Failure
from bayesrca.service.options import is_loopback
from bayesrca.service.status import shorten, status_of
from bayesrca.wire import AttributionSettings, GameArrays, ShapleyMethod
from bayesrca.wire.paths import join

BAD_INPUT = {
    "INVALID_GAME",
    "INVALID_INCIDENT",
    "INCIDENT_FORMAT",
    "INVALID_SETTINGS",
    "UNKNOWN_COMPONENT",
    "INVALID_EVIDENCE",
    "INVALID_REQUEST",
    "INVALID_TELEMETRY",
    "NO_EVIDENCE",
}


def details_of(failure: Failure) -> tuple[grpc.StatusCode, status_pb2.Status, dict[str, str]]:
    code, _, metadata = status_of(failure)
    trailers = dict(metadata)
    status = status_pb2.Status.FromString(trailers.pop("grpc-status-details-bin"))
    return code, status, {key: str(value) for key, value in trailers.items()}


def test_every_error_of_ours_has_a_considered_code() -> None:
    codes = {}
    for error in vars(bayesrca.errors).values():
        if isinstance(error, type) and issubclass(error, BayesRcaError) and error != ServiceError:
            codes[error.reason] = status_of(Failure(reason=error.reason, message="x"))[0]
    by_code: dict[grpc.StatusCode, set[str]] = {}
    for reason, code in codes.items():
        by_code.setdefault(code, set()).add(reason)
    assert by_code == {
        grpc.StatusCode.INVALID_ARGUMENT: BAD_INPUT,
        grpc.StatusCode.FAILED_PRECONDITION: {"NOT_SUPPORTED", "GRAPH_TOO_WIDE"},
        grpc.StatusCode.DEADLINE_EXCEEDED: {"CANCELLED"},
        grpc.StatusCode.INTERNAL: {"INTERNAL", "KERNEL", "SAMPLING"},
        grpc.StatusCode.UNAVAILABLE: {"SOURCE"},
    }


def test_a_status_says_the_same_twice_and_names_the_field() -> None:
    code, status, trailers = details_of(
        Failure(reason="INVALID_INCIDENT", message="no such thing", field="incident.target")
    )
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(bad)
    assert (status.code, status.message) == (code.value[0], "no such thing")
    assert (info.reason, info.domain) == ("INVALID_INCIDENT", "bayesrca")
    assert dict(info.metadata) == {"field": "incident.target"}
    assert bad.field_violations[0].field == "incident.target"
    assert not trailers


def test_precondition_and_retry_details() -> None:
    _, status, _ = details_of(Failure(reason="GRAPH_TOO_WIDE", message="m", field="f"))
    unmet = error_details_pb2.PreconditionFailure()
    assert status.details[1].Unpack(unmet)
    assert unmet.violations[0].type == "GRAPH_TOO_WIDE"
    _, _, trailers = details_of(Failure(reason="QUEUE_FULL", message="m", retry_after=1.25))
    assert trailers == {"grpc-retry-pushback-ms": "1250"}
    _, _, trailers = details_of(Failure(reason="WORKER_LOST", message="m", retryable=False))
    assert trailers == {"grpc-retry-pushback-ms": "-1"}


@given(st.text(), st.integers(3, 40))
def test_shortened_text_fits_and_is_text(text: str, limit: int) -> None:
    short = shorten(text, limit)
    assert len(short.encode()) <= limit
    assert short == text.encode(errors="replace").decode() or short.endswith("...")


@given(
    st.sampled_from([*Method, *ShapleyMethod]),
    st.none() | st.floats(0.01, 1e4),
    st.none() | st.floats(-10.0, 1e4),
)
def test_a_deadline_never_outlives_the_call(
    method: Method | ShapleyMethod, deadline: float | None, remaining: float | None
) -> None:
    settings: Settings | AttributionSettings
    if isinstance(method, Method):
        settings = Settings(method=method, deadline=deadline)
    else:
        settings = AttributionSettings(method=method, deadline=deadline)
    call = Call("Rpc", b"", settings)
    within = call.within(remaining)
    # The others have nothing to show before they are done.
    early = (Method.AUTO, *ShapleyMethod)[:-1]
    assert call.can_end_early == (method in early)
    if method not in early or remaining is None:
        assert within is call
        return
    assert isinstance(within.settings, Settings | AttributionSettings)
    assert within.settings.deadline is not None
    assert 0 < within.settings.deadline < max(remaining, 0.01)
    if deadline is not None:
        assert within.settings.deadline <= deadline


def test_only_sampling_and_its_compilation_wait_for_the_model() -> None:
    assert not Call("Analyze", b"", Settings(method=Method.SCREEN)).needs_model
    assert Call("Analyze", b"", Settings(method=Method.NUTS)).needs_model
    assert Call("Analyze", b"", Settings()).needs_model
    assert not Call("AttributeAnomaly", b"", AttributionSettings()).needs_model


@pytest.mark.parametrize(
    "change",
    [
        {"port": -1},
        {"port": 65536},
        {"workers": 0},
        {"queue": -1},
        {"max_message_bytes": 10},
        {"max_metadata_bytes": 10},
        {"max_calls": 0},
        {"drain_seconds": float("nan")},
        {"grace_seconds": -1.0},
        {"analyzer": "no_colon"},
        {"host": "0.0.0.0"},
        {"host": "::"},
        {"host": ""},
        {"host": "example.org"},
    ],
)
def test_options_out_of_range_name_themselves(change: dict[str, object]) -> None:
    with pytest.raises(InvalidSettingsError) as caught:
        ServiceOptions(**change)  # type: ignore[arg-type]
    assert caught.value.field == next(iter(change))


def test_the_network_is_served_over_tls_to_known_callers_only() -> None:
    for host in ("127.0.0.1", "127.8.9.1", "::1", "localhost"):
        assert is_loopback(host)
        assert ServiceOptions(host=host).host == host
    assert ServiceOptions(host="0.0.0.0", insecure=True).address(1) == "0.0.0.0:1"
    assert ServiceOptions(host="::1").address(1) == "[::1]:1"
    tls: dict[str, Any] = {"tls_cert_file": Path("c"), "tls_key_file": Path("k")}
    known: dict[str, Any] = {"credentials_file": Path("f")}
    assert ServiceOptions(host="0.0.0.0", **tls, **known).host == "0.0.0.0"
    for files, missing in ((tls, "without credentials"), (known, "without TLS")):
        with pytest.raises(InvalidSettingsError, match=missing):
            ServiceOptions(host="0.0.0.0", **files)
        assert ServiceOptions(host="0.0.0.0", insecure=True, **files).insecure


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        (("tls_cert_file",), "tls_key_file"),
        (("tls_key_file",), "tls_cert_file"),
        (("tls_client_ca_file",), "tls_cert_file"),
        (("tls_cert_file", "tls_key_file", "tls_client_ca_file"), "credentials_file"),
    ],
)
def test_files_of_tls_that_need_each_other(given: tuple[str, ...], missing: str) -> None:
    with pytest.raises(InvalidSettingsError) as caught:
        ServiceOptions(**{name: Path(name) for name in given})  # type: ignore[arg-type]
    assert caught.value.field == missing


def test_limits_hold_at_their_edge() -> None:
    check_limits(Settings(chains=4, draws=125_000, tune=125_000))
    check_limits(Settings(screen_scrambles=64, screen_points=1 << 16))
    for settings in (
        Settings(chains=4, draws=125_001, tune=125_000),
        Settings(screen_scrambles=65, screen_points=1 << 16),
    ):
        with pytest.raises(InvalidSettingsError):
            check_limits(settings)


def test_share_limits_hold_at_their_edge() -> None:
    def check(resamples: int | None, kind: str = "excess_flow") -> None:
        game = GameArrays(kind=kind, arguments={}, n_players=700, n_edges=324)
        check_share_limits(game, AttributionSettings(share_resamples=resamples))

    edge = MAX_SHARE_WORK // 1024
    check(edge)
    check(None, "noisy_or")
    for resamples, kind in ((edge + 1, "excess_flow"), (2, "noisy_or")):
        with pytest.raises(InvalidSettingsError) as caught:
            check(resamples, kind)
        assert caught.value.field == "settings.share_resamples"


def test_paths_use_the_names_of_the_messages() -> None:
    assert join("incident.window", "end") == "incident.window.end_seconds"
    assert join("incident", "events[2].time") == "incident.events[2].time_seconds"
    assert join("incident", "topology.edges[3].source") == "incident.topology.edges[3].source"
    assert join("settings", "") == "settings"
