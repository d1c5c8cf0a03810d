"""Normal recordings that incident folders of one system share (docs/incident-folder.md)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from hashlib import sha256
from itertools import islice
from pathlib import Path

import numpy as np

from bayesrca.errors import BayesRcaError
from bayesrca.incident import Incident, Run, TimeWindow
from bayesrca.ingest.families import FamilyRules
from bayesrca.ingest.folder import folder_name, load_incident
from bayesrca.ingest.normal_runs import load_normal_runs
from bayesrca.ingest.tables import NORMAL_LOGS, NORMAL_SPANS
from bayesrca.ingest.truth import FILE_NAME as TRUTH
from bayesrca.ingest.truth import read_setting

NORMAL_RUNS = "_normal"
"""Folder beside incident folders that holds fault-free recordings of the same system."""
MOST_SHARED = 4
"""Recordings of other incident folders that one incident is compared with, at most."""


def find_normal_runs(folder: Path) -> Path | None:
    """Return the folder of normal runs beside an incident folder, None where there is none."""
    runs = folder.resolve().parent / NORMAL_RUNS
    return runs if runs.is_dir() else None


def share_normal(incident: Incident, folder: Path, families: FamilyRules | None = None) -> Incident:
    """Compare an incident with the normal times of the incident folders beside its own too.

    These are the runs in ``_normal`` and the normal spans and log records of the other folders: of
    those that differ the `MOST_SHARED` whose incidents are nearest in time. A recording that holds
    a part of the incident window, or cannot be read, is left out; notes of the incident tell which
    were taken, and which could not be read. Nothing else of another folder is used.

    Args:
        incident: what `load_incident` made of the folder.
        folder: its folder; those beside it must be of the same system.
        families: rules that say what a metric measures by its name, for the runs in ``_normal``.

    Raises:
        BayesRcaError: the runs in ``_normal`` cannot be read.
    """
    runs: tuple[Run, ...] = ()
    beside = find_normal_runs(folder)
    if beside is not None:
        runs = _load_runs(beside, families)
    notes: list[str] = []
    shared = tuple(islice(_recordings(incident, folder.resolve(), notes), MOST_SHARED))
    if shared:
        names = ", ".join(run.name for run in shared)
        notes.append(f"Normal recordings of other incident folders were compared with: {names}.")
    return replace(
        incident,
        normal_runs=(*incident.normal_runs, *runs, *shared),
        notes=(*incident.notes, *notes),
    )


def _recordings(incident: Incident, folder: Path, notes: list[str]) -> Iterator[Run]:
    """Give the recordings of other folders that differ, by nearness of their incidents."""
    seen = {_digest(folder)}
    for other in _nearest(incident.window, folder):
        content = _digest(other)
        if content in seen:
            continue
        seen.add(content)
        try:
            run = _load_recording(other)
        except BayesRcaError as error:
            notes.append(f"A normal recording was left out: {error}.")
            continue
        if incident.window is None or not _holds(run, incident.window):
            yield replace(run, name=f"{folder_name(other)}/{run.name}")


def _nearest(window: TimeWindow | None, folder: Path) -> list[Path]:
    others = [
        f
        for f in sorted(folder.parent.iterdir())
        if f != folder and not f.name.startswith(("_", ".")) and any(map(Path.is_file, _files(f)))
    ]
    if window is None:
        return others
    return sorted(others, key=lambda f: abs(_start(f) - window.start))


def _holds(run: Run, window: TimeWindow) -> bool:
    """Whether a recording holds something of a time."""
    times = [] if run.spans is None else [run.spans.start_ns]
    times += [] if run.logs is None else [run.logs.time_ns]
    return bool(window.contains(np.concatenate(times) / 1e9).any())


def _files(folder: Path) -> tuple[Path, Path]:
    return folder / NORMAL_SPANS, folder / NORMAL_LOGS


@lru_cache(maxsize=4096)
def _start(folder: Path) -> float:
    """When the incident of a folder began, infinite where that cannot be told."""
    try:
        window = read_setting(folder / TRUTH).window
    except BayesRcaError:
        return np.inf
    return np.inf if window is None else window.start


@lru_cache(maxsize=4096)
def _digest(folder: Path) -> bytes:
    """Hash of a folder's normal recording: many folders hold the same one."""
    found = sha256()
    for file in _files(folder):
        try:
            content = file.read_bytes()
        except OSError:  # there is none, or reading it tells why it cannot be read
            content = b""
        found.update(len(content).to_bytes(8, "little") + content)
    return found.digest()


@lru_cache(maxsize=2 * MOST_SHARED)
def _load_recording(folder: Path) -> Run:
    (run,) = load_incident(folder).normal_runs
    return run


@lru_cache(maxsize=1)  # incidents of one folder come one after the other
def _load_runs(folder: Path, families: FamilyRules | None) -> tuple[Run, ...]:
    return load_normal_runs(folder, families=families)
