"""Analyses as they are stored, and how much is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bayesrca.config import Method
from bayesrca.wire import AnalysisState


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One row of the table; `bayesrca.service.store_schema` describes the columns."""

    number: int
    id: str
    tenant: str
    request_id: str
    incident: str
    method: str
    state: AnalysisState
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
    def needs_model(self) -> bool:
        """Whether it has to wait for a compiled model."""
        return self.method != Method.SCREEN

    @property
    def artefacts(self) -> tuple[str, ...]:
        """SHA-256 of every file it names."""
        return tuple(sha for sha in (self.request, self.answer, self.draws) if sha)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAnalysis:
    """What is to be stored of a request.

    Attributes:
        request_id: a UUID of the caller's making, in its one form.
        incident: name of the incident.
        method: how it is to be analysed.
        request: the `AnalyzeRequest`, serialised in the one way that equal requests share.
    """

    request_id: str
    incident: str
    method: Method
    request: bytes


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
