"""The store's tables, and the steps that bring an older store up to date.

To add a table: declare it on `METADATA`, append a step to `STEPS` that makes it, and never change
a step that has been released. A test holds that the steps make what `METADATA` declares.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from bayesrca.wire import AnalysisState

METADATA = sa.MetaData()


PENDING = (AnalysisState.QUEUED, AnalysisState.RUNNING)

ANALYSES = sa.Table(
    "analyses",
    METADATA,
    # Order of acceptance: clocks may jump, this does not.
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("tenant", sa.Text, nullable=False),
    sa.Column("request_id", sa.Text, nullable=False),
    sa.Column("incident", sa.Text, nullable=False),
    sa.Column("method", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    # Seconds since 1970, UTC.
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("started", sa.Float),
    sa.Column("finished", sa.Float),
    # SHA-256 of artefacts, in hexadecimal digits; sizes in bytes.
    sa.Column("request", sa.Text, nullable=False),
    sa.Column("answer", sa.Text),
    sa.Column("draws", sa.Text),
    sa.Column("draws_bytes", sa.Integer, nullable=False),
    sa.Column("stored_bytes", sa.Integer, nullable=False),
    # Why it failed; empty where it did not.
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("field", sa.Text, nullable=False),
    sa.Column("error_id", sa.Text, nullable=False),
    sa.UniqueConstraint("tenant", "request_id"),
    sa.Index("analyses_by_state", "state"),
    sa.Index("analyses_by_tenant", "tenant", "number"),
)

POLICIES = sa.Table(
    "policies",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("tenant", sa.Text, nullable=False),
    # SHA-256 of the policy's content.
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("runbook", sa.Text, nullable=False),
    # JSON.
    sa.Column("document", sa.Text, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("creator", sa.Text, nullable=False),
    # Grows with each creation of a tenant's policy, the same content again included.
    sa.Column("place", sa.Integer, nullable=False),
    sa.UniqueConstraint("tenant", "version"),
    sa.Index("policies_by_runbook", "tenant", "runbook", "place"),
)

DECISIONS = sa.Table(
    "decisions",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("tenant", sa.Text, nullable=False),
    sa.Column("request_id", sa.Text, nullable=False),
    # What was asked, to tell whether an id comes again with the same request.
    sa.Column("request", sa.Text, nullable=False),
    sa.Column("runbook", sa.Text, nullable=False),
    sa.Column("verdict", sa.Text, nullable=False),
    sa.Column("decided", sa.Float, nullable=False),
    sa.Column("analysis", sa.Text, nullable=False),
    sa.Column("answer_hash", sa.Text, nullable=False),
    sa.Column("policy", sa.Text, nullable=False),
    sa.Column("caller", sa.Text, nullable=False),
    # The `Decision` message.
    sa.Column("message", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("tenant", "request_id"),
    sa.Index("decisions_by_runbook", "tenant", "runbook", "number"),
)

KILL_SWITCHES = sa.Table(
    "kill_switches",
    METADATA,
    sa.Column("tenant", sa.Text, primary_key=True),
    # Empty: all of the tenant's.
    sa.Column("runbook", sa.Text, primary_key=True),
    sa.Column("engaged", sa.Boolean, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("updated", sa.Float, nullable=False),
    sa.Column("updater", sa.Text, nullable=False),
)

# Statements of each step, oldest first; `schema_version` counts those a store has seen.
STEPS: Sequence[Sequence[str]] = (
    (
        """CREATE TABLE analyses (
            number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            tenant TEXT NOT NULL,
            request_id TEXT NOT NULL,
            incident TEXT NOT NULL,
            method TEXT NOT NULL,
            state TEXT NOT NULL,
            attempt INTEGER NOT NULL,
            created FLOAT NOT NULL,
            started FLOAT,
            finished FLOAT,
            request TEXT NOT NULL,
            answer TEXT,
            draws TEXT,
            draws_bytes INTEGER NOT NULL,
            stored_bytes INTEGER NOT NULL,
            reason TEXT NOT NULL,
            message TEXT NOT NULL,
            field TEXT NOT NULL,
            error_id TEXT NOT NULL,
            UNIQUE (tenant, request_id)
        )""",
        "CREATE INDEX analyses_by_state ON analyses (state)",
        "CREATE INDEX analyses_by_tenant ON analyses (tenant, number)",
    ),
    (
        """CREATE TABLE policies (
            number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
            tenant TEXT NOT NULL,
            version TEXT NOT NULL,
            runbook TEXT NOT NULL,
            document TEXT NOT NULL,
            created FLOAT NOT NULL,
            creator TEXT NOT NULL,
            place INTEGER NOT NULL,
            UNIQUE (tenant, version)
        )""",
        "CREATE INDEX policies_by_runbook ON policies (tenant, runbook, place)",
        """CREATE TABLE decisions (
            number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            tenant TEXT NOT NULL,
            request_id TEXT NOT NULL,
            request TEXT NOT NULL,
            runbook TEXT NOT NULL,
            verdict TEXT NOT NULL,
            decided FLOAT NOT NULL,
            analysis TEXT NOT NULL,
            answer_hash TEXT NOT NULL,
            policy TEXT NOT NULL,
            caller TEXT NOT NULL,
            message BLOB NOT NULL,
            UNIQUE (tenant, request_id)
        )""",
        "CREATE INDEX decisions_by_runbook ON decisions (tenant, runbook, number)",
        """CREATE TABLE kill_switches (
            tenant TEXT NOT NULL,
            runbook TEXT NOT NULL,
            engaged BOOLEAN NOT NULL,
            reason TEXT NOT NULL,
            updated FLOAT NOT NULL,
            updater TEXT NOT NULL,
            PRIMARY KEY (tenant, runbook)
        )""",
    ),
)


def migrate(connection: sa.Connection) -> tuple[int, int]:
    """Apply the steps a store has not seen, inside the caller's transaction.

    Returns:
        The version found and the version now.

    Raises:
        ValueError: the store is newer than this program; nothing is changed.
    """
    connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER)")
    found = connection.exec_driver_sql("SELECT max(version) FROM schema_version").scalar() or 0
    if found > len(STEPS):
        msg = (
            f"its schema has version {found} and this program knows versions up to {len(STEPS)}: "
            "run the program that wrote it, or a newer one"
        )
        raise ValueError(msg)
    for version, step in enumerate(STEPS[found:], start=found + 1):
        for statement in step:
            connection.exec_driver_sql(statement)
        connection.execute(
            sa.text("INSERT INTO schema_version (version) VALUES (:version)"), {"version": version}
        )
    return found, len(STEPS)
