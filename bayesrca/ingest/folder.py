"""An incident folder becomes an incident."""

from __future__ import annotations

import os
from pathlib import Path

from bayesrca.errors import NotSupportedError
from bayesrca.incident import Incident, Signal, Target, TimeWindow, Topology
from bayesrca.ingest import truth
from bayesrca.ingest._files import naming, reject
from bayesrca.ingest.events_file import read_events
from bayesrca.ingest.families import FamilyRules
from bayesrca.ingest.gaps_file import FILE_NAME as GAPS
from bayesrca.ingest.gaps_file import read_notes
from bayesrca.ingest.graph_file import read_graph
from bayesrca.ingest.metrics_file import read_metrics
from bayesrca.ingest.places import Naming
from bayesrca.ingest.signals_file import FILE_NAME as SIGNALS
from bayesrca.ingest.signals_file import read_signals
from bayesrca.ingest.tables import list_components, read_tables

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
        NotSupportedError: the folder has neither series nor spans.
    """
    folder = Path(path)
    contents = _list(folder)
    setting = truth.read_setting(folder / truth.FILE_NAME)
    table = read_metrics(folder / METRICS) if METRICS in contents else None
    columns = dict.fromkeys(c for c, _, _ in table.series) if table is not None else {}
    declared, edges = read_graph(folder / GRAPH, columns)
    known = frozenset(component.name for component in declared)
    tables = read_tables(folder, Naming(known=known))
    if table is None and tables.spans is None:
        msg = (
            f"{folder}: has neither {METRICS} nor spans, and incidents without either are not "
            f"supported yet; it holds {_show(contents)}"
        )
        raise NotSupportedError(msg)
    named = (c for c in list_components(tables) if c.name not in known)
    with naming(folder / GRAPH):
        topology = Topology((*declared, *named), edges)
    signals: tuple[Signal, ...] = ()
    if table is not None:
        with naming(folder / METRICS):
            signals = read_signals(folder / SIGNALS, table, topology, families or FamilyRules())
    events = read_events(folder / EVENTS, topology)
    with naming(folder):
        return Incident(
            setting.name or folder_name(folder),
            topology,
            signals,
            events,
            normal_runs=tables.runs,
            spans=tables.spans,
            logs=tables.logs,
            baseline=baseline or setting.baseline,
            window=window or setting.window,
            target=target or setting.target,
            notes=read_notes(folder / GAPS),
        )


def folder_name(folder: Path) -> str:
    """Return the folder's own name as valid text."""
    name = os.fsencode(folder.resolve().name).decode("utf-8", errors="replace")
    return name or "incident"


def _list(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir())
    except FileNotFoundError:
        reject(folder, "does not exist; give the folder of one incident")
    except NotADirectoryError:
        reject(folder, "is not a folder; give the folder of one incident, not a file in it")
    except OSError as error:
        reject(folder, f"cannot be read ({error.strerror}); check the folder and its permissions")
    except ValueError as error:  # a null character in the path
        reject(folder, f"is not a path ({error})")


def _show(contents: list[str]) -> str:
    return ", ".join(contents[:8]) + (", ..." if len(contents) > 8 else "") or "nothing"
