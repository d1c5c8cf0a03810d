"""The request of `RootCauseService.Analyze`."""

from __future__ import annotations

from dataclasses import dataclass, field

from bayesrca.api.v1 import root_cause_service_pb2 as pb
from bayesrca.config import LARGEST_SEED, Settings
from bayesrca.errors import InvalidIncidentError, InvalidSettingsError
from bayesrca.incident import Incident, IncidentSource
from bayesrca.wire.incidents import decode_incident, encode_incident
from bayesrca.wire.settings import decode_settings, encode_settings
from bayesrca.wire.sources import decode_source, encode_source

MAX_WIDTH = 16
"""Largest ``max_width`` a request may ask for: each analysis holds tables of 2^width numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalyzeCall:
    """What one call asks for.

    Attributes:
        incident: what happened, or where the server is to take it from.
        seed: seed of every random number, 0 to 2^63 - 1.
        settings: what shapes the analysis.
    """

    incident: Incident | IncidentSource = field(repr=False)
    seed: int
    settings: Settings


def encode_request(call: AnalyzeCall) -> pb.AnalyzeRequest:
    """Return a call as a message.

    Raises:
        InvalidSettingsError: a seed that is not a whole number from 0 to 2^63 - 1.
    """
    request = pb.AnalyzeRequest(
        seed=_checked_seed(call.seed), settings=encode_settings(call.settings)
    )
    if isinstance(call.incident, IncidentSource):
        request.source.CopyFrom(encode_source(call.incident))
    else:
        request.incident.CopyFrom(encode_incident(call.incident))
    return request


def decode_request(message: pb.AnalyzeRequest, *, cores: int = 1) -> AnalyzeCall:
    """Return the call a message asks for.

    Args:
        message: the message, as it came.
        cores: threads the analysis may use, >= 1.

    Raises:
        InvalidIncidentError: neither an incident nor a source, or both, or one that is not valid.
        InvalidSettingsError: no seed, a setting outside its range, or a ``max_width`` above 16,
            which is for one's own machine to spend.
    """
    given = [name for name in ("incident", "source") if message.HasField(name)]
    if len(given) != 1:
        both = "both an incident and a source" if given else "neither an incident nor a source"
        msg = f"the request holds {both}; give one of the two"
        raise InvalidIncidentError(msg, field="incident")
    if not message.HasField("seed"):
        msg = "the request holds no seed; give one (0 will do), so that the answer can be repeated"
        raise InvalidSettingsError(msg, field="seed")
    # The cheap part first: settings are refused without reading a large incident.
    seed = _checked_seed(message.seed)
    settings = decode_settings(message.settings, cores=cores)
    if settings.max_width > MAX_WIDTH:
        msg = (
            f"max_width is {settings.max_width}; over the wire it may be at most {MAX_WIDTH}: "
            "leave out edges a fault cannot travel, or analyse it locally"
        )
        raise InvalidSettingsError(msg, field="settings.max_width")
    incident: Incident | IncidentSource
    if given == ["source"]:
        incident = decode_source(message.source)
    else:
        incident = decode_incident(message.incident)
    return AnalyzeCall(incident=incident, seed=seed, settings=settings)


def _checked_seed(seed: object) -> int:
    if isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed <= LARGEST_SEED:
        return seed
    msg = f"the seed must be a whole number from 0 to {LARGEST_SEED}, got {seed!r}"
    raise InvalidSettingsError(msg, field="seed")
