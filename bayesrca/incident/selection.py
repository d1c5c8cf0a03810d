"""A part of what was traced and logged, or of the components."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bayesrca.incident.alerts import Alert
from bayesrca.incident.logs import Logs
from bayesrca.incident.spans import Spans
from bayesrca.incident.topology import Topology

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


def select_tables(
    spans: Spans | None, logs: Logs | None, keep: Callable[[Floats], Bools]
) -> tuple[Spans | None, Logs | None]:
    """Return the spans that begin and end, and the log records that were written, in a period.

    A span that goes on is not known yet, for it is sent when it ends. Children of a span that is
    not kept become first spans, and log records in it lose their span. Names stay as they are.

    Args:
        spans: all spans, or None.
        logs: all log records of the same recording, or None.
        keep: which of some times [n] in seconds lie in the period.

    Returns:
        The tables, None where nothing is left of one.
    """
    rows = np.empty(0, dtype=np.int64)  # where each span goes, -1 for one that is left out
    if spans is not None:
        start = spans.start_ns / 1e9
        kept = keep(start) & keep(start + spans.duration_ns / 1e9)
        rows = np.where(kept, np.cumsum(kept) - 1, -1)
        spans = _select(spans, kept, "parent", rows)
    if logs is not None:
        logs = _select(logs, keep(logs.time_ns / 1e9), "span", rows)
    return spans, logs


def hide_components(topology: Topology, hidden: Collection[str]) -> Topology:
    """Return the topology as it is known where nobody knows of some components.

    Raises:
        InvalidIncidentError: no component is left.
    """
    return Topology(
        tuple(
            replace(c, parent=None) if c.parent in hidden else c
            for c in topology.components
            if c.name not in hidden
        ),
        tuple(e for e in topology.edges if e.source not in hidden and e.target not in hidden),
    )


def hide_alerts(alerts: Iterable[Alert], hidden: Collection[str]) -> tuple[Alert, ...]:
    """Return the alerts that are told where nobody knows of some components.

    Calls that these make come from outside then.
    """
    return tuple(
        replace(a, caller=None) if a.caller in hidden else a
        for a in alerts
        if a.component not in hidden
    )


def _select[T: (Spans, Logs)](
    table: T, kept: Bools, link: str, rows: NDArray[np.int64]
) -> T | None:
    """Keep some rows; the rows of spans that `link` refers to have moved."""
    if not kept.any():
        return None
    columns = {
        name: getattr(table, name)[kept]
        for name in table.__slots__
        if isinstance(getattr(table, name), np.ndarray)
    }
    linked = columns[link]
    columns[link] = np.append(rows, -1)[linked]  # -1 stays -1
    return replace(table, **columns)
