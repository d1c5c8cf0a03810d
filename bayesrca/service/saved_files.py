"""Saved telemetry on the disk: a folder each, whole or absent. Blocking: not for the event loop."""

from __future__ import annotations

import logging
import shutil
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bayesrca.errors import IncidentFormatError, NoEvidenceError
from bayesrca.incident import TimeWindow
from bayesrca.service.artefacts import flush_folder, is_no_space, make_folder, tenant_folder
from bayesrca.service.messages import CallFailedError, Failure
from bayesrca.service.store import Clock, StoreFullError
from bayesrca.service.store_analyses import REUSED
from bayesrca.wire.saved import SavedTelemetry, TelemetryKind, saved_name

if TYPE_CHECKING:
    from bayesrca.service.held import Held

_log = logging.getLogger("bayesrca.service")

MOST = 1000
"""Saved windows of a tenant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavingLimits:
    """How much is kept.

    Attributes:
        tenant_bytes: bytes of one tenant's files above which it can save no more.
        retain_seconds: age at which what was saved is removed.
    """

    tenant_bytes: int
    retain_seconds: float


class SavedFiles:
    """Saved telemetry below one folder; one thread at a time may change it.

    Args:
        folder: the data directory, which this process alone uses.
        limits: how much.
        clock: the time that is written down.

    Raises:
        OSError: the folder cannot be used.
    """

    def __init__(self, folder: Path, limits: SavingLimits, clock: Clock) -> None:
        self._root = folder / "telemetry"
        self._drafts = self._root / "drafts"
        self._limits = limits
        self._clock = clock
        shutil.rmtree(self._drafts, ignore_errors=True)  # what an earlier server did not finish
        make_folder(self._drafts)

    def save(self, tenant: str, identity: str, held: Held, window: TimeWindow) -> SavedTelemetry:
        """Write what is held of a time; all of it is there when this returns, or nothing.

        Raises:
            NoEvidenceError: that is nothing.
            CallFailedError: the id stands for another time (``REQUEST_ID_REUSED``), the tenant has
                saved too much (``STORAGE_QUOTA``), or the disk cannot be written to
                (``STORAGE_FAILED``).
            StoreFullError: it is full.
        """
        path = self._path(tenant, identity)
        if path.exists():
            known = self._read(path)
            if known.window != window:
                raise CallFailedError(REUSED)
            return known
        owner = self._owner(tenant)
        present = [_size(one) for one in owner.iterdir()] if owner.is_dir() else []
        if len(present) >= MOST:
            raise CallFailedError(_quota(f"{MOST} windows of telemetry"))
        draft = self._drafts / uuid.uuid4().hex
        try:
            make_folder(draft)
            self._write(draft, held, window)
            used = _size(draft) + sum(present)
            if used > self._limits.tenant_bytes:
                raise CallFailedError(_quota(f"{used} bytes of telemetry, with this"))
            flush_folder(draft)
            make_folder(path.parent)
            draft.rename(path)
            flush_folder(path.parent)
        except OSError as error:
            if is_no_space(error):
                raise StoreFullError(str(error)) from error
            raise CallFailedError(_failed(error)) from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return self._read(path)

    def find(self, tenant: str, identity: str, field: str = "name") -> Path:
        """Return the folder that holds what a tenant saved.

        Raises:
            CallFailedError: the tenant saved nothing by that id (``NOT_FOUND``).
        """
        path = self._path(tenant, identity)
        if not path.is_dir():
            message = f"there is no {saved_name(identity)}"
            raise CallFailedError(Failure(reason="NOT_FOUND", message=message, field=field))
        return path

    def all_of(self, tenant: str) -> list[SavedTelemetry]:
        """Return what a tenant has saved, newest first; what is damaged is left out."""
        owner = self._owner(tenant)
        found = []
        for path in owner.iterdir() if owner.is_dir() else ():
            # It may also go while it is read.
            with suppress(IncidentFormatError, OSError):
                found.append(self._read(path))
        return sorted(found, key=lambda saved: saved.created, reverse=True)

    def delete(self, tenant: str, identity: str) -> None:
        """Remove what a tenant saved.

        Raises:
            CallFailedError: as `find`.
        """
        self._remove(self.find(tenant, identity))

    def expire(self) -> int:
        """Remove what is too old, of all tenants, and return how many windows that were."""
        removed = 0
        oldest = self._clock.now() - self._limits.retain_seconds
        for path in self._root.glob("*/*"):
            if path.parent == self._drafts:
                continue
            try:
                if self._created(path) < oldest:
                    self._remove(path)
                    removed += 1
            except OSError:  # one that cannot be removed must not keep the others
                _log.exception("saved telemetry could not be removed by age: %s", path)
        return removed

    def _created(self, path: Path) -> float:
        try:
            return self._read(path).created
        except IncidentFormatError:  # damaged; it must go all the same
            return path.stat().st_mtime

    def _write(self, draft: Path, held: Held, window: TimeWindow) -> None:
        # Late, for it loads what reads telemetry, which few servers need.
        from bayesrca.ingest.saved_telemetry import write_window  # noqa: PLC0415

        evicted = {kind: counts.evicted for kind, counts in held.counts.items()}
        now = self._clock.now()
        counts = write_window(draft, held.tables, window, created=now, evicted=evicted)
        if not any(counts.values()):
            msg = f"nothing of {window.start} to {window.end} is held; nothing was saved"
            raise NoEvidenceError(msg, field="window")

    def _remove(self, path: Path) -> None:
        # First out of sight: what is half removed must not be read.
        grave = self._drafts / uuid.uuid4().hex
        path.rename(grave)
        flush_folder(path.parent)
        shutil.rmtree(grave, ignore_errors=True)

    def _read(self, path: Path) -> SavedTelemetry:
        from bayesrca.ingest.saved_telemetry import read_manifest  # noqa: PLC0415  as above

        manifest = read_manifest(path)
        return SavedTelemetry(
            name=saved_name(path.name),
            window=manifest.window,
            records={TelemetryKind(kind): n for kind, n in manifest.records.items()},
            size_bytes=_size(path),
            created=manifest.created,
            expires=manifest.created + self._limits.retain_seconds,
        )

    def _owner(self, tenant: str) -> Path:
        return self._root / tenant_folder(tenant)

    def _path(self, tenant: str, identity: str) -> Path:
        return self._owner(tenant) / identity


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def _quota(what: str) -> Failure:
    message = f"the tenant has saved {what}, more than it may; delete some first"
    return Failure(reason="STORAGE_QUOTA", message=message, retryable=False)


def _failed(error: OSError) -> Failure:
    message = (
        f"the server cannot write below its data directory ({error.strerror}); nothing was saved"
    )
    return Failure(reason="STORAGE_FAILED", message=message, retryable=False)
