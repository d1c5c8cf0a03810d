"""The rpcs that wait for their answer: decode, hand to the pool, send what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import grpc
from google.protobuf.message import DecodeError

from bayesrca.api.v1 import attribution_service_pb2, root_cause_service_pb2
from bayesrca.config import LearnedPrior, Settings
from bayesrca.errors import IncidentFormatError, InvalidGameError, InvalidSettingsError
from bayesrca.incident import IncidentSource
from bayesrca.service.caller import current_caller
from bayesrca.service.interceptors import Context
from bayesrca.service.messages import Call
from bayesrca.service.pool import WorkerPool
from bayesrca.service.rpc import remaining_seconds, unary
from bayesrca.service.sourcing import Sourcing
from bayesrca.service.status import shorten
from bayesrca.wire import (
    AttributionSettings,
    GameArrays,
    decode_attribution_settings,
    decode_game_arrays,
    decode_request,
)

ROOT_CAUSE = root_cause_service_pb2.DESCRIPTOR.services_by_name["RootCauseService"].full_name
ATTRIBUTION = attribution_service_pb2.DESCRIPTOR.services_by_name["AttributionService"].full_name

# What one call may ask of a worker's memory and time; documented in the protos and in docs/grpc.md.
# The limits of a game stand with its arrays, `bayesrca.wire.attribution_arrays`.
MAX_NUTS_DRAWS = 1_000_000
MAX_SCREEN_POINTS = 1 << 22
MAX_SHARE_WORK = 1 << 26
"""Most resamples x (players + calls): cancellation cannot reach that loop of a CPU second."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a request in which everything is in order asks for.

    Attributes:
        settings: how to do it.
        source: where its incident is to be had; None where it holds everything itself.
    """

    settings: Settings | AttributionSettings
    source: IncidentSource | None = None


# Arguments: request, threads.
_Read = Callable[[bytes, int], _Wanted]


class Handlers:
    """Handlers of `Analyze` and `AttributeAnomaly`.

    Requests arrive as bytes and responses leave as bytes: parsing happens off the event loop, and
    the workers serialise.

    Args:
        pool: computes the answers.
        sourcing: makes the incidents of requests that name a source.
        cores: threads one call may use.
        prior: the learned prior that analyses use; None for the built-in one.
    """

    def __init__(
        self,
        pool: WorkerPool,
        sourcing: Sourcing,
        cores: int,
        prior: LearnedPrior | None = None,
    ) -> None:
        self._pool = pool
        self._sourcing = sourcing
        self._cores = cores
        self._prior = prior

    def rpcs(self, service: str) -> dict[str, grpc.RpcMethodHandler[bytes, bytes]]:
        """Return the handlers of a service's rpcs, by name."""
        return {
            rpc: unary(rpc, partial(self._answer, rpc, read))
            for rpc, read in _RPCS[service].items()
        }

    async def _answer(self, rpc: str, read: _Read, request: bytes, context: Context) -> bytes:
        remaining = remaining_seconds(context)
        loop = asyncio.get_running_loop()
        expires = None if remaining is None else loop.time() + remaining
        tenant = current_caller().tenant
        # Before the request is read: a server that is full must not get busier by saying so.
        self._pool.check(tenant)
        wanted = await asyncio.to_thread(read, request, self._cores)
        settings = wanted.settings
        if wanted.source is not None:
            request = await self._sourcing.fill(tenant, request, wanted.source)
        if isinstance(settings, Settings):
            settings = replace(settings, prior=self._prior)
        call = Call(rpc, request, settings)
        # Awaited without a shield: when the caller goes, gRPC cancels this coroutine and with
        # it the ticket, wherever it is.
        output = await self._pool.submit(call, expires, tenant).response
        return output.response


def check_limits(settings: Settings) -> None:
    """Refuse an analysis that would take more memory or time than one call may.

    Raises:
        InvalidSettingsError: too many draws or points; ``field`` is a path of the request.
    """
    draws = settings.chains * (settings.draws + settings.tune)
    if draws > MAX_NUTS_DRAWS:
        msg = f"chains x (draws + tune) is {draws}; this server takes at most {MAX_NUTS_DRAWS}"
        raise InvalidSettingsError(msg, field="settings.draws")
    points = settings.screen_scrambles * settings.screen_points
    if points > MAX_SCREEN_POINTS:
        msg = (
            f"screen_scrambles x screen_points is {points}; "
            f"this server takes at most {MAX_SCREEN_POINTS}"
        )
        raise InvalidSettingsError(msg, field="settings.screen_points")


def check_share_limits(game: GameArrays, settings: AttributionSettings) -> None:
    """Refuse shares of a game that has none, or more resamples than one call may ask for.

    Raises:
        InvalidSettingsError: ``field`` is a path of the request.
    """
    field, resamples = "settings.share_resamples", settings.share_resamples
    if resamples is None:
        return
    if game.kind != "excess_flow":
        msg = f"{field}: only an excess-flow game has shares; leave it out"
        raise InvalidSettingsError(msg, field=field)
    work = resamples * (game.n_players + game.n_edges)
    if work > MAX_SHARE_WORK:
        msg = (
            f"share_resamples x (players + calls) is {work}; "
            f"this server takes at most {MAX_SHARE_WORK}"
        )
        raise InvalidSettingsError(msg, field=field)


def _read_analysis(request: bytes, cores: int) -> _Wanted:
    try:
        message = root_cause_service_pb2.AnalyzeRequest.FromString(request)
    except DecodeError as error:
        msg = f"the request is not an AnalyzeRequest: {shorten(str(error), 200)}"
        raise IncidentFormatError(msg) from error
    call = decode_request(message, cores=cores)
    check_limits(call.settings)
    source = call.incident if isinstance(call.incident, IncidentSource) else None
    return _Wanted(call.settings, source)


def _read_attribution(request: bytes, cores: int) -> _Wanted:
    try:
        message = attribution_service_pb2.AttributeAnomalyRequest.FromString(request)
    except DecodeError as error:
        msg = f"the request is not an AttributeAnomalyRequest: {shorten(str(error), 200)}"
        raise InvalidGameError(msg) from error
    if not message.HasField("seed"):
        msg = "the request holds no seed; give one (0 will do), so that the answer can be repeated"
        raise InvalidSettingsError(msg, field="seed")
    settings = decode_attribution_settings(message.settings, threads=cores)
    check_share_limits(decode_game_arrays(message.game), settings)
    return _Wanted(settings)


_RPCS: Mapping[str, Mapping[str, _Read]] = {
    ROOT_CAUSE: {"Analyze": _read_analysis},
    ATTRIBUTION: {"AttributeAnomaly": _read_attribution},
}
