"""An incident folder becomes an incident."""

from __future__ import annotations

import os
from pathlib import Path

from bayesrca.errors import NotSupportedError
from bayesrca.incident import Incident, Target, TimeWindow
from bayesrca.ingest import truth
from bayesrca.ingest._files import naming, reject
from bayesrca.ingest.events_file import read_events
from bayesrca.ingest.families import FamilyRules
from bayesrca.ingest.gaps_file import FILE_NAME as GAPS
from bayesrca.ingest.gaps_file import read_notes
from bayesrca.ingest.graph_file import read_topology
from bayesrca.ingest.metrics_file import read_metrics
from bayesrca.ingest.signals_file import FILE_NAME as SIGNALS
from bayesrca.ingest.signals_file import read_signals

METRICS = "metrics.parquet"
GRAPH = "graph.json"
EVENTS = "events.json"


def load_incident(
    path: str | Path,
    *,
    families: FamilyRules | None = None,
    window: TimeWindow | None = None,
    baseline: TimeWindow | None = None,
    target: Target | None = None,
) -> Incident:
    """Read an incident folder (docs/incident-folder.md).

    Of truth.json only the periods and the target are read: its labels never reach the incident.

    Args:
        path: the folder.
        families: rules that say what a metric measures by its name; they are tried before the
            folder's signals.json and before the default rules.
        window: the time in question, instead of the folder's.
        baseline: the normal period, instead of the folder's.
        target: where the incident was noticed, instead of the folder's.

    Raises:
        IncidentFormatError: no such folder, or a file that cannot be read as the format says.
        InvalidIncidentError: the files can be read but contradict each other.
        NotSupportedError: the folder has no metrics.parquet.
    """
    folder = Path(path)
    _check_folder(folder)
    setting = truth.read_setting(folder / truth.FILE_NAME)
    table = read_metrics(folder / METRICS)
    columns = dict.fromkeys(component for component, _, _ in table.series)
    topology = read_topology(folder / GRAPH, columns)
    with naming(folder / METRICS):
        signals = read_signals(folder / SIGNALS, table, topology, families or FamilyRules())
    events = read_events(folder / EVENTS, topology)
    with naming(folder):
        return Incident(
            setting.name or folder_name(folder),
            topology,
            signals,
            events,
            baseline=baseline or setting.baseline,
            window=window or setting.window,
            target=target or setting.target,
            notes=read_notes(folder / GAPS),
        )


def folder_name(folder: Path) -> str:
    """Return the folder's own name as valid text."""
    name = os.fsencode(folder.resolve().name).decode("utf-8", errors="replace")
    return name or "incident"


def _check_folder(folder: Path) -> None:
    try:
        contents = sorted(entry.name for entry in folder.iterdir())
    except FileNotFoundError:
        reject(folder, "does not exist; give the folder of one incident")
    except NotADirectoryError:
        reject(folder, "is not a folder; give the folder of one incident, not a file in it")
    except OSError as error:
        reject(folder, f"cannot be read ({error.strerror}); check the folder and its permissions")
    except ValueError as error:  # a null character in the path
        reject(folder, f"is not a path ({error})")
    if METRICS not in contents:
        shown = ", ".join(contents[:8]) + (", ..." if len(contents) > 8 else "")
        msg = (
            f"{folder}: has no {METRICS}, and incidents without it are not supported yet; "
            f"it holds {shown or 'nothing'}"
        )
        raise NotSupportedError(msg)
