"""Metric points that were received over OpenTelemetry's protocol become series of an incident."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bayesrca.columns.otlp import MetricKind, Temporality, Value
from bayesrca.incident import Family, Signal, Statistic, TimeWindow
from bayesrca.ingest.families import FamilyRules
from bayesrca.ingest.places import Naming

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_QUANTILE = 0.95
_HISTOGRAMS = (MetricKind.HISTOGRAM, MetricKind.EXPONENTIAL_HISTOGRAM)
_COUNTING = (*_HISTOGRAMS, MetricKind.SUMMARY)
_FAULTS = {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
_FAULTS |= {"2", "4", "12", "13", "14", "15"}
_HTTP = ("http.response.status_code", "http.status_code")
_RPC = ("rpc.response.status_code", "rpc.grpc.status_code")


class Points(Protocol):
    """What is asked of a `bayesrca.columns.otlp.Table` of points, whoever holds them."""

    @property
    def columns(self) -> Mapping[str, NDArray[Any]]:
        """The columns by name."""
        ...

    @property
    def strings(self) -> list[str]:
        """The texts by number."""
        ...

    @property
    def values(self) -> list[Value]:
        """The attributes' values by number."""
        ...

    def __len__(self) -> int:
        """Return the number of points."""
        ...

    def attribute(self, key: str) -> NDArray[np.int32]:
        """Return for each point the number of its attribute with a key, -1 for none: [n]."""
        ...

    def resource_attribute(self, key: str) -> NDArray[np.int32]:
        """Return the same for each distinct resource."""
        ...


@dataclass(frozen=True, slots=True)
class _Stream:
    """Points of one metric with one set of attributes, in order of time.

    Attributes:
        rows: [k] their rows.
        failed: whether its attributes say that what it counts has failed.
    """

    rows: Ints
    failed: bool


@dataclass(frozen=True, slots=True)
class _Change:
    """What was added between points: [k] each."""

    cell: Ints
    count: Floats
    total: Floats
    failed: bool


def series_of(
    points: Points,
    window: TimeWindow,
    step: float,
    names: Naming,
    families: FamilyRules | None = None,
) -> tuple[Signal, ...]:
    """Return the series that metric points make at the services which sent them.

    Points of one metric and service are put together, whatever their other attributes say. A
    histogram or summary makes a rate, a mean and, where its buckets can be compared, a 95th
    percentile; one of requests also the share that failed, by ``error.type`` and status codes. A
    sum that never falls makes a rate. Other sums are added up, gauges averaged. A value stands for
    the time from its instant on; what begins anew counts from its begin. What no
    float holds once points are put together is missing.

    Args:
        points: a table of points.
        window: the time that the series cover.
        step: seconds between samples; longer where a metric comes more rarely.
        names: how names become names of components.
        families: the caller's own rules, before the built-in ones.
    """
    families = families or FamilyRules()
    found: dict[tuple[str, str], Signal] = {}
    for (component, name), metrics in _by_metric(points, names).items():
        # Two finite numbers may have an infinite sum, which is left out below.
        with np.errstate(over="ignore", invalid="ignore"):
            for signal in _signals(points, component, name, metrics, (window, step, families)):
                found.setdefault((component, signal.name), signal)
    return tuple(found.values())


def _by_metric(table: Points, names: Naming) -> dict[tuple[str, str], dict[int, list[_Stream]]]:
    """Return the streams by component and metric's name, and by metric."""
    columns = table.columns
    service, namespace = (
        table.resource_attribute(key) for key in ("service.name", "service.namespace")
    )
    owners = [
        names.component(_text(table, n), _text(table, s))
        for n, s in zip(namespace.tolist(), service.tolist(), strict=True)
    ]
    ends = columns["attribute_ends"]
    order = np.argsort(columns["time"], kind="stable").tolist()
    streams: dict[tuple[int, int, int, bytes], list[int]] = {}
    absent = _tell_nothing(table)
    for row in order:
        if absent[row]:
            continue
        begin = ends[row - 1] if row else 0
        told = columns["attributes"][begin : ends[row]].tobytes()
        resource, scope, metric = (int(columns[n][row]) for n in ("resource", "scope", "metric"))
        key = (resource, scope, metric, told)
        streams.setdefault(key, []).append(row)
    failed = _failures(table)
    made: dict[tuple[str, str], dict[int, list[_Stream]]] = {}
    for (resource, _, metric, _), rows in streams.items():
        name = table.strings[columns["metric_name"][metric]]
        if owners[resource] and name:
            stream = _Stream(np.array(rows), bool(failed[rows[0]]))
            by_metric = made.setdefault((owners[resource], name), {})
            by_metric.setdefault(metric, []).append(stream)
    return made


def _tell_nothing(table: Points) -> NDArray[np.bool_]:
    """Return which points count nothing at all: markers that a sender has gone, no observations.

    Taken for a count of 0 one would make all that the next point holds seem new.
    """
    columns = table.columns
    counting = np.isin(columns["metric_kind"][columns["metric"]], _COUNTING)
    # A histogram that is idle, and has no sum, still has its buckets.
    bare = np.diff(columns["bucket_ends"].astype(np.int64), prepend=0) == 0
    absent: NDArray[np.bool_] = counting & bare & (columns["count"] == 0) & np.isnan(columns["sum"])
    return absent


def _text(table: Points, number: int) -> str:
    return "" if number < 0 else str(table.values[number])


def _failures(table: Points) -> NDArray[np.bool_]:
    """Return which points count what failed: an error of the server, not of who asked."""
    failed = np.zeros(len(table), dtype=bool)
    coded = np.zeros(len(table), dtype=bool)
    for keys, is_fault in ((_HTTP, _is_http_fault), (_RPC, _is_rpc_fault)):
        for key in keys:
            numbers = table.attribute(key)
            bad = [i for i in np.unique(numbers).tolist() if i >= 0 and is_fault(table.values[i])]
            failed |= np.isin(numbers, bad)
            coded |= numbers >= 0
    return failed | (~coded & (table.attribute("error.type") >= 0))


def _is_http_fault(value: object) -> bool:
    return str(value).startswith("5") and len(str(value)) == 3


def _is_rpc_fault(value: object) -> bool:
    return str(value).upper() in _FAULTS


_Grid = tuple[TimeWindow, float, FamilyRules]


def _signals(
    table: Points, component: str, name: str, metrics: dict[int, list[_Stream]], grid: _Grid
) -> Iterator[Signal]:
    """Yield the series of one metric; of several that share its name the one with most points."""
    columns = table.columns
    most = max(metrics, key=lambda m: sum(len(s.rows) for s in metrics[m]))
    streams = metrics[most]
    window, step, families = grid
    step = max(step, _interval(columns["time"], streams))
    instants = np.arange(int((window.end - window.start) / step) + 1, dtype=np.float64)
    times: Floats = window.start + step * instants
    reading = families.classify(name)
    unit = table.strings[columns["metric_unit"][most]]
    kind = MetricKind(columns["metric_kind"][most])

    def made(word: str, family: Family, statistic: Statistic, u: str, v: Floats) -> list[Signal]:
        label = f"{name}{word}"
        v = np.where(np.isinf(v), np.nan, v)
        keep = [] if np.isnan(v).all() else [0]
        return [Signal(component, label, family, statistic, times, v, u) for _ in keep]

    cells = [_cells(columns["time"][s.rows], window, step) for s in streams]
    placed = list(zip(streams, cells, strict=True))
    rises = bool(columns["metric_monotonic"][most])
    if kind is MetricKind.GAUGE or (kind is MetricKind.SUM and not rises):
        levels = [_level(c, columns["value"][s.rows], len(times)) for s, c in placed]
        values = _join_levels(levels, add=kind is MetricKind.SUM)
        yield from made("", reading.family, Statistic.VALUE, unit, values)
        return
    changes = [_change(table, most, s, c) for s, c in placed]
    count, total, failed = _add_up(changes, len(times))
    if kind is MetricKind.SUM:
        statistic = Statistic.VALUE if reading.family is Family.CPU else Statistic.RATE
        yield from made("", reading.family, statistic, "", total / step)
        return
    yield from made("_rate", Family.LOAD, Statistic.RATE, "", count / step)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean, ratio = (np.where(count > 0, x / count, np.nan) for x in (total, failed))
    yield from made("_mean", reading.family, Statistic.MEAN, unit, mean)
    if kind in _HISTOGRAMS:
        quantile = _quantiles(table, most, placed, len(times))
        yield from made("_p95", reading.family, Statistic.QUANTILE, unit, quantile)
    if reading.family is Family.LATENCY:
        yield from made("_error_ratio", Family.ERRORS, Statistic.ERROR_RATIO, "1", ratio)


def _interval(time: Ints, streams: Sequence[_Stream]) -> float:
    """Return the usual seconds between points of a stream; 0 where none has two."""
    gaps = [np.diff(time[stream.rows]) for stream in streams if len(stream.rows) > 1]
    # Exporters are late by milliseconds, which must not leave every other sample empty.
    return float(np.ceil(np.median(np.concatenate(gaps)) / 1e9 - 0.05)) if gaps else 0.0


def _cells(time: Ints, window: TimeWindow, step: float) -> Ints:
    """Return which step of the window each time lies in."""
    return np.floor((time / 1e9 - window.start) / step).astype(np.int64)


def _level(cells: Ints, values: Floats, n: int) -> Floats:
    """Return the mean of a stream's values in each cell."""
    good = (cells >= 0) & (cells < n) & np.isfinite(values)
    counts = np.bincount(cells[good], minlength=n)
    totals = np.bincount(cells[good], weights=values[good], minlength=n)
    return np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)


def _join_levels(levels: Sequence[Floats], *, add: bool) -> Floats:
    stacked = np.stack(levels)
    seen = ~np.isnan(stacked).all(axis=0)
    out = np.full(stacked.shape[1], np.nan)
    out[seen] = (np.nansum if add else np.nanmean)(stacked[:, seen], axis=0)
    return out


def _change(table: Points, metric: int, stream: _Stream, cells: Ints) -> _Change:
    """Return what each point of a stream adds to the one before."""
    columns, rows = table.columns, stream.rows
    if columns["metric_kind"][metric] == MetricKind.SUM:
        count = total = columns["value"][rows]
    else:
        count, total = columns["count"][rows].astype(np.float64), columns["sum"][rows]
    kept = _continues(table, metric, rows)
    if columns["metric_temporality"][metric] != Temporality.DELTA:
        count, total = (np.where(kept, x - np.roll(x, 1), x) for x in (count, total))
        # Of the first point it is not known when what it counts came.
        first = ~kept & ~_begins_here(table, rows)
        cells, count, total = cells[~first], count[~first], total[~first]
    return _Change(cells, count, total, stream.failed)


def _continues(table: Points, metric: int, rows: Ints) -> NDArray[np.bool_]:
    """Return which points go on from the one before: the same start, and nothing fell."""
    columns = table.columns
    start = columns["start"][rows]
    held = columns["value" if columns["metric_kind"][metric] == MetricKind.SUM else "count"][rows]
    kept = np.zeros(len(rows), dtype=bool)
    kept[1:] = (start[1:] == start[:-1]) & (held[1:] >= held[:-1])
    return kept


def _begins_here(table: Points, rows: Ints) -> NDArray[np.bool_]:
    """Return which points begin after the point before: a restart, of which all is new."""
    start, time = table.columns["start"][rows], table.columns["time"][rows]
    begun = np.zeros(len(rows), dtype=bool)
    begun[1:] = (start[1:] > 0) & (start[1:] >= time[:-1])
    return begun


def _add_up(changes: Sequence[_Change], n: int) -> tuple[Floats, Floats, Floats]:
    """Return count, total and failed count of each cell, NaN where nothing was told.

    A sum is optional: where one is missing the total is NaN, but not what was counted.
    """
    told = np.zeros(n, dtype=bool)
    sums = np.zeros((3, n))
    for change in changes:
        good = (change.cell >= 0) & (change.cell < n) & np.isfinite(change.count)
        cell = change.cell[good]
        told[cell] = True
        np.add.at(sums[0], cell, change.count[good])
        np.add.at(sums[1], cell, change.total[good])
        np.add.at(sums[2], cell, change.count[good] * change.failed)
    sums[:, ~told] = np.nan
    return sums[0], sums[1], sums[2]


def _quantiles(
    table: Points, metric: int, placed: Sequence[tuple[_Stream, Ints]], n: int
) -> Floats:
    """Return the 95th percentile of each cell, by straight lines within buckets."""
    held: dict[int, list[tuple[Floats, Floats]]] = {}
    for stream, cells in placed:
        for cell, edges, counts in _bucket_changes(table, metric, stream, cells):
            if 0 <= cell < n:
                held.setdefault(cell, []).append((edges, counts))
    out = np.full(n, np.nan)
    for cell, parts in held.items():
        out[cell] = _quantile(parts)
    return out


def _bucket_changes(
    table: Points, metric: int, stream: _Stream, cells: Ints
) -> Iterator[tuple[int, Floats, Floats]]:
    """Yield cell, upper edges and new counts of each point whose buckets can be compared."""
    columns = table.columns
    delta = columns["metric_temporality"][metric] == Temporality.DELTA
    kept = _continues(table, metric, stream.rows)
    begun = _begins_here(table, stream.rows)
    before: tuple[Floats, Floats] | None = None
    for i, row in enumerate(stream.rows.tolist()):
        begin = columns["bucket_ends"][row - 1] if row else 0
        part = slice(begin, columns["bucket_ends"][row])
        edges = columns["bucket_upper"][part]
        counts = columns["bucket_count"][part].astype(np.float64)
        if delta or begun[i]:
            yield int(cells[i]), edges, counts
        elif kept[i] and before is not None and np.array_equal(before[0], edges):
            yield int(cells[i]), edges, np.maximum(counts - before[1], 0.0)
        before = edges, counts


def _quantile(parts: Sequence[tuple[Floats, Floats]]) -> float:
    """Return the quantile of pooled buckets; the last finite edge where it lies beyond."""
    edges = np.unique(np.concatenate([e for e, _ in parts]))
    below = np.zeros(len(edges))  # of all values, those up to each edge
    for upper, counts in parts:
        finite = np.isfinite(upper)
        if not finite.any():
            return np.nan
        known = np.cumsum(counts)
        lowest = min(0.0, float(upper[finite][0]))
        x, y = np.r_[lowest, upper[finite]], np.r_[0.0, known[finite]]
        below += np.where(np.isfinite(edges), np.interp(edges, x, y), known[-1])
    if not below.size or below[-1] <= 0:
        return np.nan
    finite = np.isfinite(edges)
    wanted = _QUANTILE * below[-1]
    x, y = np.r_[min(0.0, float(edges[0])), edges[finite]], np.r_[0.0, below[finite]]
    if wanted > y[-1]:
        return float(x[-1])
    at = int(np.searchsorted(y, wanted))
    if at == 0 or y[at] == y[at - 1]:
        return float(x[at])
    share = (wanted - y[at - 1]) / (y[at] - y[at - 1])
    return float(x[at - 1] + share * (x[at] - x[at - 1]))
