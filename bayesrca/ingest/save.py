"""An incident becomes an incident folder."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bayesrca.errors import IncidentFormatError
from bayesrca.incident import Incident, Signal
from bayesrca.ingest import alerts_file, folder, gaps_file, signals_file, truth
from bayesrca.ingest._files import reject
from bayesrca.ingest.connectors.interface import Asked
from bayesrca.ingest.events_file import events_to_json
from bayesrca.ingest.graph_file import topology_to_json
from bayesrca.ingest.metrics_file import SEPARATOR, Table, write_metrics
from bayesrca.ingest.tables import NORMAL_RUN, write_tables


def save_incident(
    incident: Incident,
    path: str | Path,
    *,
    labels: truth.Truth | None = None,
    asked: Sequence[Asked] = (),
) -> Path:
    """Write an incident folder that `load_incident` reads back as an equal incident.

    The folder appears complete or not at all. Series with different time axes are written on their
    common axis, with NaN where a series has no sample.

    Args:
        incident: what to write.
        path: the folder; it must not exist or be empty. Missing parents are made.
        labels: what really happened, for evaluation; None writes no label.
        asked: what the sources of the incident were asked, for its gap report.

    Returns:
        The folder's path.

    Raises:
        IncidentFormatError: the format cannot hold the incident (a component whose name contains
            ``|``, a series on an edge, normal runs of series), the folder holds something, or it
            cannot be written.
    """
    target = Path(path)
    _check_holdable(incident)
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            reject(target, "exists and is not an empty folder; choose another or remove it")
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.parent / f".bayesrca-{secrets.token_hex(8)}"
        draft.mkdir()
        try:
            _write(incident, draft, folder.folder_name(target), labels)
            if incident.notes or asked:
                _write_json(
                    draft / gaps_file.FILE_NAME, gaps_file.gaps_to_json(incident.notes, asked)
                )
            draft.replace(target)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        reject(target, f"cannot be written ({error.strerror}); check the path and its permissions")
    except ValueError as error:  # a null character in the path
        reject(target, f"is not a path ({error})")
    return target


def _check_holdable(incident: Incident) -> None:
    if any(run.name != NORMAL_RUN or run.signals for run in incident.normal_runs):
        msg = (
            "an incident folder cannot hold normal runs, apart from the spans and log records of "
            f"one named {NORMAL_RUN!r}; keep them in a folder of their own and save the incident "
            "without them (normal_runs=())"
        )
        raise IncidentFormatError(msg, field="normal_runs")
    for i, name in enumerate(incident.topology.names):
        if SEPARATOR in name:
            msg = (
                f"component {name!r} contains {SEPARATOR!r}, which separates component and metric "
                "in an incident folder; rename it"
            )
            raise IncidentFormatError(msg, field=f"topology.components[{i}].name")
    for i, signal in enumerate(incident.signals):
        if signal.edge is not None:
            msg = f"signal {signal.label} belongs to an edge; an incident folder cannot hold it"
            raise IncidentFormatError(msg, field=f"signals[{i}].edge")


def _write(incident: Incident, draft: Path, name: str, labels: truth.Truth | None) -> None:
    if incident.signals:
        write_metrics(draft / folder.METRICS, _to_table(incident.signals))
    _write_json(draft / folder.GRAPH, topology_to_json(incident.topology))
    _write_json(draft / truth.FILE_NAME, truth.truth_to_json(incident, name, labels))
    _write_json(draft / signals_file.FILE_NAME, signals_file.signals_to_json(incident.signals))
    write_tables(draft, incident)
    if incident.events:
        _write_json(draft / folder.EVENTS, events_to_json(incident.events))
    if incident.alerts is not None:
        _write_json(draft / alerts_file.FILE_NAME, alerts_file.alerts_to_json(incident.alerts))


def _write_json(path: Path, content: object) -> None:
    text = json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _to_table(signals: tuple[Signal, ...]) -> Table:
    axis = signals[0].timestamps
    if any(signal.timestamps is not axis for signal in signals):
        axis = np.unique(np.concatenate([signal.timestamps for signal in signals]))
    series = tuple(
        (str(signal.component), signal.name, _on_axis(signal, axis)) for signal in signals
    )
    return Table(axis, series)


def _on_axis(signal: Signal, axis: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(signal) == len(axis):
        return signal.values
    values = np.full(len(axis), np.nan)
    values[np.searchsorted(axis, signal.timestamps)] = signal.values
    return values
