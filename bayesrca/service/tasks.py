"""What a worker does for each rpc: a request's bytes in, a response's bytes out."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from bayesrca.api.v1 import attribution_service_pb2, root_cause_service_pb2
from bayesrca.attribution import (
    ExcessFlowGame,
    Game,
    ShapleyEstimate,
    compute_shapley,
    estimate_shapley,
)
from bayesrca.attribution.shapley import CONFIDENCE, Method
from bayesrca.errors import (
    CancelledError,
    InvalidGameError,
    InvalidSettingsError,
    ServiceError,
)
from bayesrca.service.artefacts import is_no_space, write_through
from bayesrca.service.messages import Call, Output, Report
from bayesrca.service.tasks_stored import diagnose, render
from bayesrca.wire import AttributionSettings, ShapleyMethod, decode_incident, encode_answer
from bayesrca.wire.attribution import decode_game, encode_estimate, encode_shares
from bayesrca.wire.attribution_settings import MAX_ATTRIBUTION_SECONDS
from bayesrca.wire.paths import join

if TYPE_CHECKING:
    from bayesrca.analysis import Analysis, Progress

Cancelled = Callable[[], bool]
Listener = Callable[[Report], None]
Task = Callable[[Call, Cancelled, Listener], Output]

_REPORT_SECONDS = 0.1
"""Reports of one step are at least so far apart; its first and its last always go out."""


def tasks(analyze: Callable[..., Any]) -> Mapping[str, Task]:
    """Return what to do for each rpc.

    Args:
        analyze: called like `bayesrca.analysis.analyze`.
    """
    return {
        "Analyze": partial(_analyze, analyze),
        "CreateAnalysis": partial(_analyze_and_keep, analyze),
        "AttributeAnomaly": _attribute,
        "GetDiagnostics": lambda call, _cancelled, _tell: diagnose(call),
        "RenderPlot": lambda call, _cancelled, _tell: render(call),
    }


def _analyze(analyze: Callable[..., Any], call: Call, cancelled: Cancelled, _: Listener) -> Output:
    request = root_cause_service_pb2.AnalyzeRequest.FromString(call.request)
    analysis = analyze(
        decode_incident(request.incident),
        seed=request.seed,
        settings=call.settings,
        cancelled=cancelled,
    )
    answer = encode_answer(analysis.answer)
    return Output(root_cause_service_pb2.AnalyzeResponse(answer=answer).SerializeToString())


def _analyze_and_keep(
    analyze: Callable[..., Any], call: Call, cancelled: Cancelled, tell: Listener
) -> Output:
    """Analyse a stored request: the response is the bare `Answer`, the draft takes the draws."""
    request = root_cause_service_pb2.AnalyzeRequest.FromString(call.request)
    analysis = analyze(
        decode_incident(request.incident),
        seed=request.seed,
        settings=call.settings,
        progress=_Reporter(tell),
        screened=lambda screen: tell(Report(screen=_answer_of(screen))),
        cancelled=cancelled,
    )
    if cancelled():
        msg = "the analysis was cancelled"
        raise CancelledError(msg)
    # In memory, a few MB: HDF5 itself does not survive a disk that is full.
    draws = bytes(analysis.to_datatree().to_netcdf(engine="h5netcdf"))
    try:
        write_through(Path(call.draft), draws)
    except OSError as error:
        if not is_no_space(error):
            raise
        msg = f"the server has no space left for the draws, {len(draws)} bytes"
        raise ServiceError(msg, reason="STORAGE_FULL") from error
    return Output(_answer_of(analysis), hashlib.sha256(draws).hexdigest(), len(draws))


def _answer_of(analysis: Analysis) -> bytes:
    return encode_answer(analysis.answer).SerializeToString()


class _Reporter:
    """Passes progress on, but not more often than anybody reads it."""

    def __init__(self, tell: Listener) -> None:
        self._tell = tell
        self._step = ""
        self._next = 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.step == self._step and progress.done < 1.0 and now < self._next:
            return
        self._step, self._next = progress.step, now + _REPORT_SECONDS
        self._tell(Report(step=progress.step, done=progress.done, divergences=progress.divergences))


def _attribute(call: Call, cancelled: Cancelled, _: Listener) -> Output:
    settings = call.settings
    assert isinstance(settings, AttributionSettings)
    ends = time.monotonic() + min(
        settings.deadline or MAX_ATTRIBUTION_SECONDS, MAX_ATTRIBUTION_SECONDS
    )
    request = attribution_service_pb2.AttributeAnomalyRequest.FromString(call.request)
    game = decode_game(request.game)
    try:
        if settings.method is ShapleyMethod.EXACT:
            estimate = _compute(game, settings, ends, cancelled)
        else:
            estimate = _estimate(game, request.seed, settings, ends, cancelled)
        response = attribution_service_pb2.AttributeAnomalyResponse(
            estimate=encode_estimate(estimate)
        )
        resamples = settings.share_resamples
        if resamples is not None and isinstance(game, ExcessFlowGame):
            shares = game.estimate_shares(seed=request.seed, resamples=resamples)
            response.shares.CopyFrom(encode_shares(shares, resamples))
    except (InvalidGameError, InvalidSettingsError) as error:
        error.field = _PATHS.get(error.field, join("settings", error.field))
        raise
    return Output(response.SerializeToString())


# Where the estimator's arguments stand in a request, if not among the settings.
_PATHS = {"": "game", "game": "game", "seed": "seed", "resamples": "settings.share_resamples"}


def _estimate(
    game: Game, seed: int, settings: AttributionSettings, ends: float, cancelled: Cancelled
) -> ShapleyEstimate:
    return estimate_shapley(
        game,
        tolerance=settings.tolerance,
        budget=settings.budget,
        seed=seed,
        threads=settings.threads,
        tolerance_kind=settings.tolerance_kind.value,
        guarantee=settings.guarantee.value,
        confidence=CONFIDENCE if settings.confidence is None else settings.confidence,
        method=cast("Method", settings.method.value),  # the exact one goes another way
        deadline=max(ends - time.monotonic(), 1e-3),
        cancelled=cancelled,
    )


def _compute(
    game: Game, settings: AttributionSettings, ends: float, cancelled: Cancelled
) -> ShapleyEstimate:
    def stop() -> bool:
        return cancelled() or time.monotonic() >= ends

    try:
        return compute_shapley(game, threads=settings.threads, cancelled=stop)
    except CancelledError as error:
        msg = "the deadline passed before all coalitions were valued; estimate, or allow more time"
        raise CancelledError(msg) from error
