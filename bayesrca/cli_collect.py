"""``bayesrca collect``: an incident folder from Prometheus and other back ends."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayesrca.cli_output import check_file, say, show
from bayesrca.cli_sources import SourceFlags, collect_incident, with_sources
from bayesrca.errors import InvalidSettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from bayesrca.ingest.connectors.interface import Asked


@with_sources
def collect(
    *,
    output: Annotated[Path, typer.Option(help="Folder to write; it must not exist.")],
    name: Annotated[
        str | None, typer.Option(help="Name of the incident; default: made from the target.")
    ] = None,
    sources: SourceFlags,
) -> None:
    """Write an incident folder from telemetry back ends, with a report of what is missing.

    Credentials come from the environment (docs/connectors.md). A source that fails costs what it
    would have returned; the folder's gaps.json and every answer say so.
    """
    if not sources.given:
        msg = "nothing to collect from: give --prometheus or another source"
        raise InvalidSettingsError(msg, field="prometheus")
    check_file(output, "output")
    from bayesrca.ingest import save_incident  # noqa: PLC0415  keeps --help fast

    collected = collect_incident(sources, name)
    incident = collected.incident
    folder = save_incident(incident, output, asked=collected.asked)
    show(_table(collected.asked))
    for note in incident.notes:
        say(f"{note}\n")
    say(
        f"{folder}: {len(incident.topology)} components, {len(incident.topology.edges)} edges, "
        f"{len(incident.signals)} series, {len(incident.spans or ())} spans, "
        f"{len(incident.logs or ())} log records, {len(incident.events)} events\n"
    )


def _table(asked: Sequence[Asked]) -> Table:
    """What was asked, what came, and what is missing."""
    from rich.markup import escape  # noqa: PLC0415  keeps --help fast
    from rich.table import Table  # noqa: PLC0415

    table = Table("source", "asked for", "came", "missing")
    for line in asked:
        words = line.asked.partition(": ")[0]
        what = f"{line.what}: {words}"
        table.add_row(escape(line.source), escape(what), str(line.came), escape(line.missing))
    return table
