"""Saved telemetry and the requests about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from bayesrca.api.v1 import telemetry_service_pb2 as pb
from bayesrca.errors import IncidentFormatError, InvalidRequestError
from bayesrca.incident import TimeWindow
from bayesrca.incident.source import require_epoch
from bayesrca.wire.analyses import checked_request_id
from bayesrca.wire.incidents import decode_window, encode_window
from bayesrca.wire.moments import seconds_of, set_moment
from bayesrca.wire.vocabulary import Vocabulary

_NAME = "savedTelemetry/"


class TelemetryKind(StrEnum):
    """A sort of record."""

    SPANS = "spans"
    POINTS = "points"
    LOGS = "logs"


KINDS = Vocabulary(TelemetryKind, pb.TelemetryKind, "TELEMETRY_KIND", error=IncidentFormatError)


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedTelemetry:
    """Telemetry that a server has saved of some time.

    Attributes:
        name: ``savedTelemetry/`` and the id it was saved by.
        window: the time, in seconds since the epoch.
        records: how many of each sort.
        size_bytes: what its files take.
        created: when it was saved, in seconds since 1970 by the server's clock.
        expires: when it will be removed.
    """

    name: str
    window: TimeWindow
    records: Mapping[TelemetryKind, int]
    size_bytes: int
    created: float
    expires: float


def saved_name(identity: str) -> str:
    """Return the name of the saved telemetry with an id."""
    return f"{_NAME}{identity}"


def saved_id(name: str, field: str = "name") -> str:
    """Return the id in the name of saved telemetry.

    Raises:
        InvalidRequestError: it is not ``savedTelemetry/{id}``.
    """
    try:
        if name.startswith(_NAME):
            return checked_request_id(name.removeprefix(_NAME))
    except InvalidRequestError:
        pass
    msg = f"{field} must be {_NAME}{{id}}, got {name[:100]!r}"
    raise InvalidRequestError(msg, field=field)


def encode_save_request(window: TimeWindow, request_id: str) -> pb.SaveTelemetryWindowRequest:
    """Return the message that has a time saved.

    Raises:
        InvalidRequestError: the id is no UUID.
    """
    return pb.SaveTelemetryWindowRequest(
        window=encode_window(window), request_id=checked_request_id(request_id)
    )


def decode_save_request(message: pb.SaveTelemetryWindowRequest) -> tuple[TimeWindow, str]:
    """Return the time that is to be saved and the id to save it by.

    Raises:
        InvalidRequestError: no time, or an id that is no UUID.
        InvalidIncidentError: a time that cannot be.
    """
    if not message.HasField("window"):
        msg = "the request has no window; say what time is to be saved"
        raise InvalidRequestError(msg, field="window")
    window = decode_window(message.window, "window")
    require_epoch(window, "window")
    return window, checked_request_id(message.request_id)


def encode_saved(saved: SavedTelemetry) -> pb.SavedTelemetry:
    """Return saved telemetry as a message."""
    message = pb.SavedTelemetry(
        name=saved.name, window=encode_window(saved.window), size_bytes=saved.size_bytes
    )
    for kind, count in saved.records.items():
        message.records.add(kind=KINDS.number(kind), count=count)
    set_moment(message.create_time, saved.created)
    set_moment(message.expire_time, saved.expires)
    return message


def decode_saved(message: pb.SavedTelemetry, field: str = "saved") -> SavedTelemetry:
    """Return the saved telemetry a message describes.

    Raises:
        IncidentFormatError: a sort of record that is unknown.
        InvalidIncidentError: a time that cannot be.
    """
    return SavedTelemetry(
        name=message.name,
        window=decode_window(message.window, f"{field}.window"),
        records={
            KINDS.word(entry.kind, f"{field}.records[{i}].kind"): entry.count
            for i, entry in enumerate(message.records)
        },
        size_bytes=message.size_bytes,
        created=seconds_of(message.create_time),
        expires=seconds_of(message.expire_time),
    )
