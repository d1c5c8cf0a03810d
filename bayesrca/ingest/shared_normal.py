"""Normal recordings that incident folders of one system share (docs/incident-folder.md)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from hashlib import sha256
from itertools import islice
from pathlib import Path

import numpy as np

from bayesrca.errors import BayesRcaError
from bayesrca.incident import Incident, Run, TimeWindow
from bayesrca.ingest._files import reject
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


def share_normal(
    incident: Incident, folder: str | Path, families: FamilyRules | None = None
) -> Incident:
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
        BayesRcaError: the folders beside it, or the runs in ``_normal``, cannot be read.
    """
    own = Path(folder).resolve()
    return SharedNormal(own.parent, families).add_to(incident, own)


class SharedNormal:
    """What the incident folders in one folder share, read once for all of them.

    Args:
        parent: the folder of incident folders, resolved.
        families: as for `share_normal`.
    """

    def __init__(self, parent: Path, families: FamilyRules | None = None) -> None:
        self._parent = parent
        self._families = families
        self._load = lru_cache(maxsize=2 * MOST_SHARED)(_load_recording)

    def add_to(self, incident: Incident, folder: Path) -> Incident:
        """Return the incident of one of the folders with what the others hold; see `share_normal`.

        Raises:
            BayesRcaError: as `share_normal`.
        """
        notes: list[str] = []
        shared = tuple(islice(self._recordings(incident, folder, notes), MOST_SHARED))
        if shared:
            names = ", ".join(run.name for run in shared)
            notes.append(f"Normal recordings of other incident folders were used: {names}.")
        return replace(
            incident,
            normal_runs=(*incident.normal_runs, *self._runs, *shared),
            notes=(*incident.notes, *notes),
        )

    def _recordings(self, incident: Incident, folder: Path, notes: list[str]) -> Iterator[Run]:
        """Give the recordings of other folders that differ, by nearness of their incidents."""
        window = incident.window
        nearest = list(self._found)
        if window is not None:
            nearest.sort(key=lambda found: abs(found.start - window.start))
        seen = {found.content for found in nearest if found.folder == folder}
        for found in nearest:
            if found.content in seen:
                continue
            seen.add(found.content)
            try:
                run = self._load(found.folder)
            except BayesRcaError as error:
                notes.append(f"A normal recording was left out: {error}.")
                continue
            if window is None or not _holds(run, window):
                yield replace(run, name=f"{folder_name(found.folder)}/{run.name}")

    @cached_property
    def _runs(self) -> tuple[Run, ...]:
        runs = self._parent / NORMAL_RUNS
        return load_normal_runs(runs, families=self._families) if runs.is_dir() else ()

    @cached_property
    def _found(self) -> tuple[_Found, ...]:
        """The recordings of all folders, by the names of these."""
        try:
            folders = sorted(self._parent.iterdir())
            return tuple(
                _Found(f, content, _start(f))
                for f in folders
                if not f.name.startswith(("_", ".")) and (content := _digest(f)) is not None
            )
        except OSError as error:
            where = error.filename or self._parent
            reject(where, f"cannot be read ({error.strerror}); check the permissions")


@dataclass(frozen=True, slots=True)
class _Found:
    folder: Path
    content: bytes
    """Hash of its normal recording: many folders hold the same one."""
    start: float
    """When its incident began, infinite where that cannot be told."""


def _digest(folder: Path) -> bytes | None:
    files = [folder / NORMAL_SPANS, folder / NORMAL_LOGS]
    content = [file.read_bytes() if file.is_file() else b"" for file in files]
    if not any(content):
        return None
    return sha256(len(content[0]).to_bytes(8, "little") + b"".join(content)).digest()


def _start(folder: Path) -> float:
    try:
        window = read_setting(folder / TRUTH).window
    except BayesRcaError:  # of no weight here: loading the folder tells
        return np.inf
    return np.inf if window is None else window.start


def _load_recording(folder: Path) -> Run:
    (run,) = load_incident(folder).normal_runs
    return run


def _holds(run: Run, window: TimeWindow) -> bool:
    """Whether a recording holds something of a time."""
    times = [] if run.spans is None else [run.spans.start_ns]
    times += [] if run.logs is None else [run.logs.time_ns]
    return bool(window.contains(np.concatenate(times) / 1e9).any())
