"""Who calls whom, how often and how long, by the spans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesrca.incident import ComponentKind, Edge, EdgeKind, Spans

Ints = NDArray[np.int64]

_KINDS = tuple(EdgeKind)
_PRODUCER, _CONSUMER, _ERROR = 4, 5, 2


@dataclass(frozen=True, slots=True)
class Calls:
    """What spans show of one edge.

    Attributes:
        edge: the edge.
        calls: spans that went along it.
        errors: how many of them failed.
        traces: traces that they belong to.
        latency: median duration in seconds.
    """

    edge: Edge
    calls: int
    errors: int
    traces: int
    latency: float


def find_calls(tables: Sequence[Spans], kinds: Mapping[str, ComponentKind]) -> tuple[Calls, ...]:
    """Return the edges that some tables of spans show, in the order of their first span.

    A span within a span of another component is a call to its own, and its duration that of the
    call. Of a consumer within a producer the latter is the cause: it does not wait. A span with a
    peer reads from it, if that is a datastore, reads from or publishes to it, if it is a queue,
    and else calls it.

    Args:
        tables: spans of the same system; their traces are told apart by table.
        kinds: what the components are.
    """
    names: dict[str, int] = {}
    parts = [_pairs(spans, names, t, kinds) for t, spans in enumerate(tables)]
    if not parts:
        return ()
    source, target, kind, table, trace, failed, duration = (
        np.concatenate(columns) for columns in zip(*parts, strict=True)
    )
    if not len(source):
        return ()
    key = (source * len(names) + target) * len(_KINDS) + kind
    order = np.lexsort([duration, key])
    edges, first, place = np.unique(key, return_index=True, return_inverse=True)
    calls = np.bincount(place)
    errors = np.bincount(place, weights=failed).astype(np.int64)
    width = int(trace.max()) + 1
    seen = distinct((place * len(tables) + table) * width + trace)
    traces = np.bincount(seen // (width * len(tables)))
    middle = np.cumsum(calls) - calls + (calls - 1) // 2
    upper = np.cumsum(calls) - calls + calls // 2
    latency = (duration[order[middle]] / 2 + duration[order[upper]] / 2) / 1e9
    label = list(names)
    return tuple(
        Calls(
            Edge(label[source[first[i]]], label[target[first[i]]], _KINDS[kind[first[i]]]),
            int(calls[i]),
            int(errors[i]),
            int(traces[i]),
            float(latency[i]),
        )
        for i in np.argsort(first[: len(edges)])
    )


def distinct(numbers: Ints) -> Ints:
    """Return the distinct ones among n >= 1 numbers, in order.

    NumPy's own way hashes them, which takes ten times as long where most are distinct.
    """
    ordered = np.sort(numbers)
    kept: Ints = ordered[np.append(True, ordered[1:] != ordered[:-1])]
    return kept


def _pairs(
    spans: Spans, names: dict[str, int], table: int, kinds: Mapping[str, ComponentKind]
) -> tuple[Ints, ...]:
    """Return source, target, kind, table, trace, failure and duration of each call of a table."""
    index = np.array([names.setdefault(name, len(names)) for name in spans.components])
    own = index[spans.component]
    inner = np.flatnonzero(spans.parent >= 0)
    inner = inner[own[spans.parent[inner]] != own[inner]]
    outer = spans.parent[inner]
    caused = (spans.kind[outer] == _PRODUCER) & (spans.kind[inner] == _CONSUMER)
    peered = np.flatnonzero((spans.peer >= 0) & (spans.peer != spans.component))
    rows = np.concatenate([inner, peered])
    kind = np.concatenate(
        [
            np.where(caused, _KINDS.index(EdgeKind.CAUSES), _KINDS.index(EdgeKind.CALLS)),
            _peer_kinds(spans, peered, kinds),
        ]
    )
    columns = (
        np.concatenate([own[outer], own[peered]]),
        np.concatenate([own[inner], index[spans.peer[peered]]]),
        kind,
        np.full(len(rows), table),
        spans.trace[rows],
        (spans.status[rows] == _ERROR).astype(np.int64),
        spans.duration_ns[rows],
    )
    order = np.argsort(rows, kind="stable")
    return tuple(column[order] for column in columns)


def _peer_kinds(spans: Spans, rows: Ints, kinds: Mapping[str, ComponentKind]) -> Ints:
    reads = {ComponentKind.DATASTORE, ComponentKind.QUEUE}
    found = [kinds.get(name, ComponentKind.EXTERNAL) for name in spans.components]
    kind = np.array(
        [_KINDS.index(EdgeKind.READS if k in reads else EdgeKind.CALLS) for k in found]
    )[spans.peer[rows]]
    queue = np.array([k is ComponentKind.QUEUE for k in found])[spans.peer[rows]]
    publishes = queue & (spans.kind[rows] == _PRODUCER)
    return np.where(publishes, _KINDS.index(EdgeKind.PUBLISHES), kind)
