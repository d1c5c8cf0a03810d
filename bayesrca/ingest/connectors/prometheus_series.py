"""The series of many queries: named, merged, and each quantity once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bayesrca.incident import Signal
from bayesrca.ingest.connectors.grid import Grid
from bayesrca.ingest.connectors.interface import Line
from bayesrca.ingest.connectors.mapping import Mapping
from bayesrca.ingest.connectors.prometheus_parse import Matrix
from bayesrca.ingest.connectors.prometheus_queries import ANY, Merge, Query
from bayesrca.ingest.connectors.shapes import Shapes

Floats = NDArray[np.float64]
Labels = tuple[tuple[str, str], ...]

MAX_TOTAL_POINTS = 20_000_000
"""Samples of all series together, at most."""


@dataclass(slots=True)
class _Pending:
    """Series of one query before they are merged: by component, then by their labels."""

    rows: dict[str, dict[Labels, Floats]] = field(default_factory=dict)
    answered: bool = False
    nameless: int = 0
    infinite: int = 0


class Gathered:
    """Collects series until all queries are answered.

    Args:
        grid: the instants of all series.
        mapping: from labels to components.
        shapes: names the source in errors.
    """

    def __init__(self, grid: Grid, mapping: Mapping, shapes: Shapes) -> None:
        self.grid = grid
        self._mapping = mapping
        self._shapes = shapes
        self._pending = _Pending()
        self._signals: dict[tuple[str, str], Signal] = {}
        self._traffic: set[str] = set()
        self._joining: list[Signal] = []

    def begin(self) -> None:
        """Forget the answers of a query that failed half way."""
        self._pending = _Pending()

    def take(self, query: Query, label: str, matrix: Matrix) -> None:
        """Take one answer of a query; a long time is answered in several.

        Raises:
            SourceError: its times are none of the grid's, or there are too many samples.
        """
        self._pending.answered |= bool(matrix.rows or matrix.native)
        for row in matrix.rows:
            name = self._component(query, label, row.labels)
            if not name:
                self._pending.nameless += 1
                continue
            labels = tuple(sorted((k, v) for k, v in row.labels.items() if k != "__name__"))
            series = self._pending.rows.setdefault(name, {})
            if labels not in series:
                self._check_total()
                series[labels] = np.full(len(self.grid.times), np.nan)
            at = self.grid.place(row.times, self._shapes)
            infinite = np.isinf(row.values)
            self._pending.infinite += int(infinite.sum())
            series[labels][at] = np.where(infinite, np.nan, row.values)

    def finish(self, query: Query, line: Line) -> int:
        """Merge and name what a query's answers brought; return how many series that are."""
        pending, self._pending = self._pending, _Pending()
        if not pending.answered:
            line.lack("every series: none answers the query")
        if pending.nameless:
            line.lack(f"{pending.nameless} series whose labels name no component")
        if pending.infinite:
            line.lack(f"{pending.infinite} samples that are infinite")
        counted_elsewhere = set(self._traffic) if query.traffic == ANY else set()
        came = 0
        for component, series in pending.rows.items():
            if component in counted_elsewhere:
                continue
            for suffix, values in merge_series(query.merge, series, line):
                name = query.name + suffix
                if np.isnan(values).all() or (component, name) in self._signals:
                    continue
                signal = Signal(
                    component,
                    name,
                    query.family,
                    query.statistic,
                    self.grid.times,
                    values,
                    query.unit,
                )
                came += 1
                if query.joins:
                    self._joining.append(signal)
                else:
                    self._signals[component, name] = signal
                    if query.traffic and query.traffic != ANY:
                        self._traffic.add(component)
        return came

    def signals(self) -> tuple[Signal, ...]:
        """Return all series."""
        components = {component for component, _ in self._signals}
        joining = (s for s in self._joining if s.component in components)
        return (*self._signals.values(), *joining)

    def _component(self, query: Query, label: str, labels: dict[str, str]) -> str:
        """Return the component of a series; empty when its labels name none."""
        if query.component:
            return query.component
        if not label:
            return self._mapping.component_of(labels) or ""
        value = labels.get(label, "")
        return self._mapping.component(label, value) if value else ""

    def _check_total(self) -> None:
        pending = sum(len(rows) for rows in self._pending.rows.values())
        held = len(self._signals) + len(self._joining) + pending
        if (held + 1) * len(self.grid.times) > MAX_TOTAL_POINTS:
            self._shapes.reject(
                f"more than {MAX_TOTAL_POINTS} samples came; take a longer step or fewer queries"
            )


def merge_series(
    merge: Merge, series: dict[Labels, Floats], line: Line
) -> list[tuple[str, Floats]]:
    """Merge the series of one query at one component.

    Args:
        merge: how.
        series: [n] values by labels, all at the same instants; NaN where there is none.
        line: told of samples that no number can hold once they are merged; they become NaN.

    Returns:
        What follows the name, and the [n] values, of each series that is kept.
    """
    if len(series) == 1:
        return [("", next(iter(series.values())))]
    if merge is Merge.SPLIT:
        varied = _varied(list(series))
        return [
            ("{" + ",".join(f"{k}={v}" for k, v in labels if k in varied) + "}", values)
            for labels, values in series.items()
        ]
    stacked = np.stack(list(series.values()))
    seen = ~np.isnan(stacked).all(axis=0)
    merged = np.full(stacked.shape[1], np.nan)
    with np.errstate(over="ignore"):
        merged[seen] = _OVER[merge](stacked[:, seen], axis=0)
    if np.isinf(merged).any():
        line.lack("samples that are infinite once they are merged")
        merged[np.isinf(merged)] = np.nan
    return [("", merged)]


_OVER: dict[Merge, Callable[..., Floats]] = {
    Merge.SUM: np.nansum,
    Merge.MEAN: np.nanmean,
    Merge.MAX: np.nanmax,
}


def _varied(all_labels: list[Labels]) -> set[str]:
    """Names of the labels in which the series differ."""
    sets = [set(labels) for labels in all_labels]
    shared = set.intersection(*sets)
    return {name for labels in sets for name, _ in labels - shared}
