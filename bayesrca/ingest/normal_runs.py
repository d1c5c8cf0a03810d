"""A folder of fault-free recordings becomes normal runs (docs/incident-folder.md)."""

from __future__ import annotations

from pathlib import Path

from bayesrca.incident import Component, Run, Signal, Topology
from bayesrca.ingest._files import naming, reject
from bayesrca.ingest.families import FamilyRules
from bayesrca.ingest.folder import GRAPH, METRICS, folder_name
from bayesrca.ingest.graph_file import read_graph
from bayesrca.ingest.metrics_file import read_metrics
from bayesrca.ingest.places import Naming
from bayesrca.ingest.signals_file import FILE_NAME as SIGNALS
from bayesrca.ingest.signals_file import read_signals
from bayesrca.ingest.tables import LOGS, SPANS, read_tables


def load_normal_runs(path: str | Path, *, families: FamilyRules | None = None) -> tuple[Run, ...]:
    """Read a folder of normal runs: one folder per run, with its own metrics, spans or log records.

    Runs come in the order of their names. Files beside them, and folders whose names start with
    ``_`` or ``.``, are passed over.

    Args:
        path: the folder of runs.
        families: rules that say what a metric measures by its name, as for `load_incident`.

    Raises:
        IncidentFormatError: no such folder, no run in it, a run without any of these files, or a
            file that cannot be read as the format says.
        InvalidIncidentError: a series holds an infinite value.
    """
    folder = Path(path)
    runs = _find_runs(folder)
    if not runs:
        reject(folder, "holds no normal run; give one folder per run, each with its own files")
    return tuple(_read_run(run, families or FamilyRules()) for run in runs)


def _find_runs(folder: Path) -> list[Path]:
    try:
        inner = sorted(folder.iterdir())
        return [f for f in inner if not f.name.startswith(("_", ".")) and f.is_dir()]
    except FileNotFoundError:
        reject(folder, "does not exist; give the folder that holds the normal runs")
    except NotADirectoryError:
        reject(folder, "is not a folder; give the folder that holds the normal runs")
    except OSError as error:
        reject(folder, f"cannot be read ({error.strerror}); check the folder and its permissions")
    except ValueError as error:  # a null character in the path
        reject(folder, f"is not a path ({error})")


def _read_run(folder: Path, rules: FamilyRules) -> Run:
    file = folder / METRICS
    table = read_metrics(file) if file.is_file() else None
    names = {} if table is None else dict.fromkeys(component for component, _, _ in table.series)
    tables = read_tables(folder, Naming(read_graph(folder / GRAPH).aliases, names))
    if table is None and tables.spans is None and tables.logs is None:
        known = f"{METRICS}, {SPANS} nor {LOGS}"
        reject(folder, f"has neither {known}, so it is no normal run; add one or move the folder")
    signals: tuple[Signal, ...] = ()
    if table is not None:
        topology = Topology(tuple(Component(name) for name in names))
        with naming(file):
            signals = read_signals(folder / SIGNALS, table, topology, rules)
    with naming(folder):
        return Run(folder_name(folder), signals, tables.spans, tables.logs)
