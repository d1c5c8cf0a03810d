"""What each call sends and how its response is read: the same for both clients."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from google.protobuf.message import Message

from bayesrca.api.v1 import attribution_service_pb2 as attribution_pb
from bayesrca.api.v1 import root_cause_service_pb2 as pb
from bayesrca.api.v1 import telemetry_service_pb2 as telemetry_pb
from bayesrca.client.channel import ATTRIBUTION, SERVICE, TELEMETRY
from bayesrca.config import Settings
from bayesrca.incident import Incident, IncidentSource, TimeWindow
from bayesrca.posterior.result import Answer, Diagnostics
from bayesrca.posterior.summaries import ParameterSummary
from bayesrca.wire import (
    AnalysisState,
    AnalysisUpdate,
    AnalyzeCall,
    AttributionSettings,
    IntervalGuarantee,
    ShapleyMethod,
    StoredAnalysis,
    ToleranceKind,
    decode_analyses,
    decode_analysis,
    decode_answer,
    decode_update,
    encode_create_request,
    encode_request,
    encode_states,
    word_of,
)
from bayesrca.wire.inspections import decode_diagnostics_response, encode_plot_request
from bayesrca.wire.saved import SavedTelemetry, decode_saved, encode_save_request

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bayesrca.attribution import ExcessFlowGame, Game, ShapleyEstimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Call[A]:
    """One call.

    Attributes:
        path: ``/SERVICE/METHOD``.
        request: the message to send.
        response: class of the messages that come back.
        read: makes of one of them what the caller wants.
    """

    path: str
    request: Message
    response: type[Message]
    read: Callable[[Any], A]


def analyze(
    incident: Incident | IncidentSource, seed: int, settings: Settings | None
) -> Call[Answer]:
    """Return an `Analyze`."""
    call = AnalyzeCall(incident=incident, seed=seed, settings=settings or Settings())
    return Call(
        path=f"/{SERVICE}/Analyze",
        request=encode_request(call),
        response=pb.AnalyzeResponse,
        read=lambda response: decode_answer(response.answer),
    )


def create_analysis(
    incident: Incident | IncidentSource,
    seed: int,
    settings: Settings | None,
    request_id: str | None,
) -> Call[StoredAnalysis]:
    """Return a `CreateAnalysis`, with a new id where there is none."""
    call = AnalyzeCall(incident=incident, seed=seed, settings=settings or Settings())
    request = encode_create_request(call, request_id or str(uuid.uuid4()))
    return _about_one("CreateAnalysis", request, pb.CreateAnalysisResponse)


def get_analysis(name: str) -> Call[StoredAnalysis]:
    """Return a `GetAnalysis`."""
    return _about_one("GetAnalysis", pb.GetAnalysisRequest(name=name), pb.GetAnalysisResponse)


def cancel_analysis(name: str) -> Call[StoredAnalysis]:
    """Return a `CancelAnalysis`."""
    request = pb.CancelAnalysisRequest(name=name)
    return _about_one("CancelAnalysis", request, pb.CancelAnalysisResponse)


def delete_analysis(name: str) -> Call[None]:
    """Return a `DeleteAnalysis`."""
    return Call(
        path=f"/{SERVICE}/DeleteAnalysis",
        request=pb.DeleteAnalysisRequest(name=name),
        response=pb.DeleteAnalysisResponse,
        read=lambda _: None,
    )


def list_analyses(
    states: Sequence[AnalysisState | str], page_size: int, page_token: str
) -> Call[tuple[list[StoredAnalysis], str]]:
    """Return a `ListAnalyses`, whose response is read as a page and the token of the next."""
    return Call(
        path=f"/{SERVICE}/ListAnalyses",
        request=pb.ListAnalysesRequest(
            page_size=page_size, page_token=page_token, states=encode_states(states)
        ),
        response=pb.ListAnalysesResponse,
        read=lambda response: (decode_analyses(response.analyses), str(response.next_page_token)),
    )


def watch_analysis(name: str) -> Call[AnalysisUpdate]:
    """Return a `WatchAnalysis`."""
    return Call(
        path=f"/{SERVICE}/WatchAnalysis",
        request=pb.WatchAnalysisRequest(name=name),
        response=pb.WatchAnalysisResponse,
        read=decode_update,
    )


def get_diagnostics(name: str) -> Call[tuple[Diagnostics, list[ParameterSummary]]]:
    """Return a `GetDiagnostics`."""
    return Call(
        path=f"/{SERVICE}/GetDiagnostics",
        request=pb.GetDiagnosticsRequest(name=name),
        response=pb.GetDiagnosticsResponse,
        read=decode_diagnostics_response,
    )


def render_plot(name: str, plot: str, form: str, parameters: Sequence[str]) -> Call[bytes]:
    """Return a `RenderPlot`."""
    return Call(
        path=f"/{SERVICE}/RenderPlot",
        request=encode_plot_request(name, plot, form, parameters),
        response=pb.RenderPlotResponse,
        read=lambda response: bytes(response.image),
    )


def stream_draws(name: str, offset: int) -> Call[pb.StreamInferenceDataResponse]:
    """Return a `StreamInferenceData`, whose chunks go to a `Download`."""
    return Call(
        path=f"/{SERVICE}/StreamInferenceData",
        request=pb.StreamInferenceDataRequest(name=name, offset_bytes=offset),
        response=pb.StreamInferenceDataResponse,
        read=lambda response: response,
    )


def save_telemetry(window: TimeWindow, request_id: str | None) -> Call[SavedTelemetry]:
    """Return a `SaveTelemetryWindow`, with a new id where there is none."""
    return Call(
        path=f"/{TELEMETRY}/SaveTelemetryWindow",
        request=encode_save_request(window, request_id or str(uuid.uuid4())),
        response=telemetry_pb.SaveTelemetryWindowResponse,
        read=lambda response: decode_saved(response.saved),
    )


def list_saved_telemetry() -> Call[list[SavedTelemetry]]:
    """Return a `ListSavedTelemetry`."""
    return Call(
        path=f"/{TELEMETRY}/ListSavedTelemetry",
        request=telemetry_pb.ListSavedTelemetryRequest(),
        response=telemetry_pb.ListSavedTelemetryResponse,
        read=lambda response: [decode_saved(saved) for saved in response.saved],
    )


def delete_saved_telemetry(name: str) -> Call[None]:
    """Return a `DeleteSavedTelemetry`."""
    return Call(
        path=f"/{TELEMETRY}/DeleteSavedTelemetry",
        request=telemetry_pb.DeleteSavedTelemetryRequest(name=name),
        response=telemetry_pb.DeleteSavedTelemetryResponse,
        read=lambda _: None,
    )


def attribute_anomaly(
    game: Game,
    *,
    seed: int,
    tolerance: float | None,
    budget: int | None,
    tolerance_kind: Literal["relative", "absolute"],
    confidence: float | None,
    guarantee: Literal["asymptotic", "bernstein"],
    method: Literal["automatic", "sampled", "leverage", "exact"],
    deadline: float | None,
) -> Call[ShapleyEstimate]:
    """Return an `AttributeAnomaly` for a game's values."""
    settings = AttributionSettings(
        method=word_of(ShapleyMethod, method, "method"),
        tolerance=tolerance,
        tolerance_kind=word_of(ToleranceKind, tolerance_kind, "tolerance_kind"),
        budget=budget,
        confidence=confidence,
        guarantee=word_of(IntervalGuarantee, guarantee, "guarantee"),
        deadline=deadline,
    )
    from bayesrca.wire import attribution as wire  # noqa: PLC0415  loads the native core

    return Call(
        path=f"/{ATTRIBUTION}/AttributeAnomaly",
        request=wire.encode_attribution_request(game, seed=seed, settings=settings),
        response=attribution_pb.AttributeAnomalyResponse,
        read=lambda response: wire.decode_estimate(response.estimate),
    )


def estimate_shares(
    game: ExcessFlowGame, seed: int, resamples: int
) -> Call[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]]:
    """Return an `AttributeAnomaly` for an excess flow's shares."""
    settings = AttributionSettings(share_resamples=resamples)
    from bayesrca.wire import attribution as wire  # noqa: PLC0415  loads the native core

    return Call(
        path=f"/{ATTRIBUTION}/AttributeAnomaly",
        request=wire.encode_attribution_request(game, seed=seed, settings=settings),
        response=attribution_pb.AttributeAnomalyResponse,
        read=lambda response: wire.decode_shares(response.shares),
    )


def _about_one(rpc: str, request: Message, response: type[Message]) -> Call[StoredAnalysis]:
    return Call(
        path=f"/{SERVICE}/{rpc}",
        request=request,
        response=response,
        read=lambda message: decode_analysis(message.analysis),
    )
