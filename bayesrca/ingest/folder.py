"""An incident folder becomes an incident."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from bayesrca.errors import NotSupportedError
from bayesrca.incident import Incident, Signal, Target, TimeWindow, TopologyMap
from bayesrca.ingest import truth
from bayesrca.ingest._files import naming, reject
from bayesrca.ingest.alerts_file import FILE_NAME as ALERTS
from bayesrca.ingest.alerts_file import has_alerts, read_alerts
from bayesrca.ingest.events_file import read_events
from bayesrca.ingest.families import FamilyRules
from bayesrca.ingest.gaps_file import FILE_NAME as GAPS
from bayesrca.ingest.gaps_file import read_notes
from bayesrca.ingest.graph_file import read_graph
from bayesrca.ingest.metrics_file import Table, read_metrics
from bayesrca.ingest.places import Naming
from bayesrca.ingest.signals_file import FILE_NAME as SIGNALS
from bayesrca.ingest.signals_file import read_signals
from bayesrca.ingest.tables import Tables, read_tables
from bayesrca.ingest.topology_map import Sources, build_topology_map

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
        NotSupportedError: the folder has neither series nor spans nor alerts.
    """
    folder = Path(path)
    contents = _list(folder)
    setting = truth.read_setting(folder / truth.FILE_NAME)
    parts = _read(folder, contents)
    # What we wrote has all of its edges in the graph file.
    found = replace(parts.sources, spans=()) if parts.tables.own else parts.sources
    with naming(folder / GRAPH):
        topology = build_topology_map(found, resources=False, code=False).topology()
    tables, table = parts.tables, parts.table
    signals: tuple[Signal, ...] = ()
    if table is not None:
        with naming(folder / METRICS):
            signals = read_signals(folder / SIGNALS, table, topology, families or FamilyRules())
    events = read_events(folder / EVENTS, topology)
    alerts, left_out = read_alerts(folder / ALERTS, folder / EVENTS, topology)
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
            alerts=alerts,
            notes=(*read_notes(folder / GAPS), *left_out),
        )


def load_topology_map(path: str | Path) -> TopologyMap:
    """Read what an incident folder tells of the system's structure, and how it is known.

    Raises:
        IncidentFormatError: as `load_incident`.
        InvalidIncidentError: as `load_incident`.
        NotSupportedError: as `load_incident`.
    """
    folder = Path(path)
    sources = _read(folder, _list(folder)).sources
    with naming(folder / GRAPH):
        return build_topology_map(sources)


@dataclass(frozen=True, slots=True)
class _Parts:
    """The tables of a folder, and what they say of the system's structure."""

    table: Table | None
    tables: Tables
    sources: Sources


def _read(folder: Path, contents: list[str]) -> _Parts:
    table = read_metrics(folder / METRICS) if METRICS in contents else None
    series = [] if table is None else [component for component, _, _ in table.series]
    graph = read_graph(folder / GRAPH)
    known = {*series, *(component.name for component in graph.components)}
    tables = read_tables(folder, Naming(graph.aliases, known))
    if table is None and tables.spans is None and not has_alerts(folder / ALERTS, folder / EVENTS):
        msg = (
            f"{folder}: has neither {METRICS} nor spans nor alerts, and incidents without any are "
            f"not supported yet; it holds {_show(contents)}"
        )
        raise NotSupportedError(msg)
    recordings = [(tables.spans, tables.logs), *((run.spans, run.logs) for run in tables.runs)]
    sources = Sources(
        declared=graph.components,
        edges=graph.edges,
        series=series,
        spans=[spans for spans, _ in recordings if spans is not None],
        logs=[logs for _, logs in recordings if logs is not None],
        places=tables.places,
        peer_kinds=tables.peer_kinds,
    )
    return _Parts(table, tables, sources)


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
