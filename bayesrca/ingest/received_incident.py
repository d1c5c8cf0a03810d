"""An incident from telemetry that was received over OpenTelemetry's protocol."""

from __future__ import annotations

from collections.abc import Sequence

from bayesrca.columns.otlp import Kind, Table, merge
from bayesrca.errors import NoEvidenceError
from bayesrca.incident import Incident, Target, TimeWindow
from bayesrca.ingest.families import FamilyRules
from bayesrca.ingest.places import Naming
from bayesrca.ingest.received import read_received
from bayesrca.ingest.received_series import series_of
from bayesrca.ingest.topology_map import Sources, build_topology_map

DEFAULT_STEP = 10.0


def build_received_incident(
    tables: Sequence[Table],
    name: str,
    *,
    window: TimeWindow,
    baseline: TimeWindow | None = None,
    target: Target | None = None,
    step: float = DEFAULT_STEP,
    names: Naming | None = None,
    families: FamilyRules | None = None,
) -> Incident:
    """Put together what was received of a time.

    Metric points become series, spans and log records columns, and the topology is what all of them
    show. `bayesrca.ingest.save_incident` writes it as a folder.

    Args:
        tables: what was received, of any kind, in any order.
        name: the incident's name.
        window: the time in question, in seconds since the epoch.
        baseline: the normal period, or None.
        target: where it was noticed, or None.
        step: seconds between the samples of a series, longer where a metric comes more rarely.
        names: how names become names of components; by default as they are.
        families: the caller's own rules for what a metric measures.

    Raises:
        NoEvidenceError: no series and no usable span of that time was received.
        InvalidIncidentError: the target is no component, or a period holds nothing.
    """
    names = names or Naming()
    periods = [window] if baseline is None else [baseline, window]
    whole = TimeWindow(min(p.start for p in periods), max(p.end for p in periods))
    held = {
        kind: merge(
            kind,
            [table for table in tables if table.kind is kind],
            round(whole.start * 1e9),
            round(whole.end * 1e9) + 1,
        )
        for kind in Kind
    }
    signals = series_of(held[Kind.POINTS], whole, step, names, families)
    found = read_received(held[Kind.SPANS], held[Kind.LOGS], names)
    if not signals and found.spans is None:
        msg = (
            f"neither a series nor a span from {whole.start} to {whole.end} was received; "
            "check the time, and that the senders name their services (service.name)"
        )
        raise NoEvidenceError(" ".join([msg, *found.notes]), field="window")
    sources = Sources(
        series=dict.fromkeys(str(signal.component) for signal in signals),
        spans=[] if found.spans is None else [found.spans],
        logs=[] if found.logs is None else [found.logs],
        places=found.places,
        peer_kinds=found.peer_kinds,
    )
    return Incident(
        name,
        build_topology_map(sources, resources=False, code=False).topology(),
        signals,
        baseline=baseline,
        window=window,
        target=target,
        spans=found.spans,
        logs=found.logs,
        notes=found.notes,
    )
