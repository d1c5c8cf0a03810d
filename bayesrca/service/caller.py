"""Who makes the call that is being answered."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum

DEFAULT_TENANT = "default"


class Scope(StrEnum):
    """What a credential may be allowed to do; none of them implies another.

    ``ANALYZE``: have something computed, and stop or delete it. ``READ``: see results and what the
    server offers. ``DECIDE``: ask whether a runbook may run, engage kill switches. ``ADMIN``:
    create policies, release kill switches. ``INGEST``: send telemetry.
    """

    ANALYZE = "analyze"
    READ = "read"
    DECIDE = "decide"
    ADMIN = "admin"
    INGEST = "ingest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whoever makes a call, by the credential they showed.

    Attributes:
        tenant: whose analyses they may see; never taken from a request.
        subject: name of the credential, for logs and audit records.
        scopes: what they may do.
    """

    tenant: str
    subject: str
    scopes: frozenset[Scope]


ANYONE = Caller(tenant=DEFAULT_TENANT, subject="anyone", scopes=frozenset(Scope))
"""The caller of a server that asks for no credentials."""

CALLER: ContextVar[Caller] = ContextVar("caller", default=ANYONE)


def current_caller() -> Caller:
    """Return who makes the call that this code runs for; `ANYONE` outside of calls."""
    return CALLER.get()
