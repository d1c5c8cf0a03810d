"""Analyses as they are stored, and how much is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bayesrca.service.store_schema import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One row of the table; `bayesrca.service.store_schema` describes the columns."""

    number: int
    id: str
    tenant: str
    request_id: str
    incident: str
    state: State
    attempt: int
    created: float
    started: float | None
    finished: float | None
    request: str
    answer: str | None
    draws: str | None
    draws_bytes: int
    stored_bytes: int
    reason: str
    message: str
    field: str
    error_id: str

    @property
    def artefacts(self) -> tuple[str, ...]:
        """SHA-256 of every file it names."""
        return tuple(sha for sha in (self.request, self.answer, self.draws) if sha)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much the store holds.

    Attributes:
        pending: analyses of one tenant that may wait or run.
        tenant_bytes: bytes of one tenant's artefacts above which it can create no more.
        retain_seconds: age, from its end, at which a finished analysis is removed.
        retain_bytes: bytes of all artefacts above which the oldest finished ones are removed.
    """

    pending: int
    tenant_bytes: int
    retain_seconds: float
    retain_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a worker made of an analysis.

    Attributes:
        answer: the `Answer` message, serialised.
        draws: file that holds the draws; the store takes it over.
        draws_sha256: SHA-256 of that file.
        draws_bytes: its size.
    """

    answer: bytes
    draws: Path
    draws_sha256: str
    draws_bytes: int
