"""What a worker does for each rpc: a request's bytes in, a response's bytes out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

from bayesrca.api.v1 import attribution_service_pb2, root_cause_service_pb2
from bayesrca.attribution import (
    ExcessFlowGame,
    Game,
    ShapleyEstimate,
    compute_shapley,
    estimate_shapley,
)
from bayesrca.attribution.shapley import CONFIDENCE, Method
from bayesrca.errors import CancelledError, InvalidGameError, InvalidSettingsError
from bayesrca.service.messages import Call
from bayesrca.wire import AttributionSettings, ShapleyMethod, decode_incident, encode_answer
from bayesrca.wire.attribution import decode_game, encode_estimate, encode_shares
from bayesrca.wire.attribution_settings import MAX_ATTRIBUTION_SECONDS
from bayesrca.wire.paths import join

Cancelled = Callable[[], bool]
Task = Callable[[Call, Cancelled], bytes]


def tasks(analyze: Callable[..., Any]) -> Mapping[str, Task]:
    """Return what to do for each rpc.

    Args:
        analyze: called like `bayesrca.analysis.analyze`.
    """
    return {"Analyze": partial(_analyze, analyze), "AttributeAnomaly": _attribute}


def _analyze(analyze: Callable[..., Any], call: Call, cancelled: Cancelled) -> bytes:
    request = root_cause_service_pb2.AnalyzeRequest.FromString(call.request)
    analysis = analyze(
        decode_incident(request.incident),
        seed=request.seed,
        settings=call.settings,
        cancelled=cancelled,
    )
    answer = encode_answer(analysis.answer)
    return root_cause_service_pb2.AnalyzeResponse(answer=answer).SerializeToString()


def _attribute(call: Call, cancelled: Cancelled) -> bytes:
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
    return response.SerializeToString()


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
