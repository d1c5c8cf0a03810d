"""Spans and log records to their messages and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayesrca.api.v1 import incident_pb2
from bayesrca.errors import InvalidIncidentError
from bayesrca.incident import Logs, Spans
from bayesrca.incident.logs import COLUMNS as LOG_COLUMNS
from bayesrca.incident.spans import COLUMNS as SPAN_COLUMNS
from bayesrca.wire.paths import located
from bayesrca.wire.tensors import decode_integers, encode_integers

MAX_ROWS = 1 << 22
"""Spans, and log records, of one recording in a request."""
_SPAN_NAMES = ("components", "operations", "codes", "trace_ids", "notes")
_LOG_NAMES = ("components", "texts", "codes", "notes")


def encode_tables(spans: Spans | None, logs: Logs | None) -> dict[str, Any]:
    """Return the fields of a message that hold these tables; none for a table that is None."""
    fields: dict[str, Any] = {}
    if spans is not None:
        fields["spans"] = incident_pb2.Spans(**_encode(spans, _SPAN_NAMES, SPAN_COLUMNS))
    if logs is not None:
        fields["logs"] = incident_pb2.Logs(**_encode(logs, _LOG_NAMES, LOG_COLUMNS))
    return fields


def _encode(
    table: Spans | Logs, names: tuple[str, ...], columns: Mapping[str, object]
) -> dict[str, Any]:
    texts = {name: getattr(table, name) for name in names}
    return texts | {name: encode_integers(getattr(table, name)) for name in columns}


def decode_tables(
    message: incident_pb2.Incident | incident_pb2.Run, field: str
) -> tuple[Spans | None, Logs | None]:
    """Return the tables of a message, None where it has none.

    Args:
        message: the message that holds them.
        field: its path in the request.

    Raises:
        InvalidIncidentError: more than 2^22 rows, or whatever the columns or the domain refuse;
            ``field`` says where.
    """
    spans = logs = None
    if message.HasField("spans"):
        columns = _decode_columns(message.spans, f"{field}.spans", SPAN_COLUMNS)
        names = _decode_names(message.spans, _SPAN_NAMES)
        with located(f"{field}.spans"):
            spans = Spans(**names, **columns)
    if message.HasField("logs"):
        columns = _decode_columns(message.logs, f"{field}.logs", LOG_COLUMNS)
        names = _decode_names(message.logs, _LOG_NAMES)
        with located(f"{field}.logs"):
            logs = Logs(**names, **columns)
    return spans, logs


def _decode_names(
    message: incident_pb2.Spans | incident_pb2.Logs, names: tuple[str, ...]
) -> dict[str, Any]:
    return {name: tuple(getattr(message, name)) for name in names}


def _decode_columns(
    message: incident_pb2.Spans | incident_pb2.Logs, field: str, types: Mapping[str, Any]
) -> dict[str, Any]:
    columns = {}
    for name, dtype in types.items():
        tensor = getattr(message, name)
        rows = max(tensor.shape, default=0)
        if rows > MAX_ROWS:
            msg = f"{field}.{name} has {rows} rows; a request holds at most {MAX_ROWS}: send fewer"
            raise InvalidIncidentError(msg, field=f"{field}.{name}.shape")
        columns[name] = decode_integers(tensor, f"{field}.{name}", dtype)
    return columns
