"""Files named by the SHA-256 of their content. Blocking: call it from the store's threads only.

A file is written under a temporary name, flushed to the disk and renamed, and then its folder is
flushed: under its own name it is whole or absent, whenever the machine stops.
"""

from __future__ import annotations

import errno
import hashlib
import os
import uuid
from collections.abc import Iterable
from pathlib import Path

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class ArtefactLostError(Exception):
    """A file is gone, or no longer what it was: another process touched it, or the disk did."""


def is_no_space(error: OSError) -> bool:
    """Whether a write failed for want of space: disk, quota or largest file size."""
    return error.errno in _NO_SPACE


class Artefacts:
    """Artefacts below one folder, a subfolder for each tenant.

    Args:
        root: the folder; made when it does not exist.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._drafts = root / "drafts"
        make_folder(self._drafts)

    def path(self, tenant: str, sha256: str) -> Path:
        """Return where an artefact stands, whether or not it exists."""
        return self._root / tenant_folder(tenant) / sha256[:2] / sha256

    def draft(self) -> Path:
        """Return a new name for a file that `adopt` will take over."""
        return self._drafts / uuid.uuid4().hex

    def put(self, tenant: str, content: bytes) -> str:
        """Store bytes for good and return their SHA-256, 64 hexadecimal digits.

        Raises:
            OSError: it could not be written; nothing is left behind.
        """
        sha256 = hashlib.sha256(content).hexdigest()
        draft = self.draft()
        try:
            write_through(draft, content)
            self.adopt(tenant, draft, sha256)
        finally:
            draft.unlink(missing_ok=True)
        return sha256

    def adopt(self, tenant: str, draft: Path, sha256: str) -> None:
        """Give a file that `write_through` has written its own name; it may have it already.

        Raises:
            OSError: it could not be moved; the draft is left where it was.
        """
        path = self.path(tenant, sha256)
        make_folder(path.parent)
        try:
            draft.rename(path)
        except FileNotFoundError:
            # An earlier try got this far, and then the row could not be written.
            if not path.is_file():
                raise
        flush_folder(path.parent)

    def read(self, tenant: str, sha256: str) -> bytes:
        """Return an artefact, checked against its name.

        Raises:
            ArtefactLostError: it is not there, or is not what was stored.
        """
        try:
            content = self.path(tenant, sha256).read_bytes()
        except FileNotFoundError as error:
            raise ArtefactLostError(sha256) from error
        if hashlib.sha256(content).hexdigest() != sha256:
            raise ArtefactLostError(sha256)
        return content

    def remove(self, tenant: str, sha256: str) -> None:
        """Remove an artefact; one that is not there is no error."""
        self.path(tenant, sha256).unlink(missing_ok=True)

    def sweep(self, known: Iterable[tuple[str, str]]) -> int:
        """Remove every file but the known (tenant, SHA-256), and return how many there were.

        What is left of a write that was cut short is found by this alone: call it while nothing
        writes.
        """
        kept = {self.path(*one) for one in known}
        found = [path for path in self._root.rglob("*") if path.is_file() and path not in kept]
        for path in found:
            path.unlink(missing_ok=True)
        return len(found)


def tenant_folder(tenant: str) -> str:
    """Return the name of the folder that holds what is a tenant's."""
    # Hashed: a tenant's name is the credential's to choose, and may hold any character.
    return hashlib.sha256(tenant.encode()).hexdigest()[:32]


def write_through(path: Path, content: bytes) -> None:
    """Write a new file and wait until the disk holds it.

    Raises:
        OSError: it could not be written; whatever was is removed.
    """
    try:
        with path.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink(missing_ok=True)
        raise


def make_folder(path: Path) -> None:
    """Make a folder with its parents, and wait until the disk holds them."""
    missing = [p for p in (path, *path.parents) if not p.is_dir()]
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in missing:
        flush_folder(folder.parent)


def flush_folder(path: Path) -> None:
    """Wait until the disk holds the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
