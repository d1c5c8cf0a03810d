"""Datadog: series, by version 2 of its API or, where that is not offered, version 1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus

import numpy as np
from numpy.typing import NDArray

from bayesrca.incident import Family, Signal, Statistic
from bayesrca.ingest.connectors.grid import make_grid
from bayesrca.ingest.connectors.http import HttpSource
from bayesrca.ingest.connectors.interface import Ask, Haul, Ledger, Line, What
from bayesrca.ingest.connectors.mapping import Mapping
from bayesrca.ingest.connectors.prometheus_queries import Merge, Query
from bayesrca.ingest.connectors.prometheus_series import Labels, merge_series
from bayesrca.ingest.connectors.shapes import Shapes

Floats = NDArray[np.float64]

KEYS = {"DD-API-KEY": "DD_API_KEY", "DD-APPLICATION-KEY": "DD_APP_KEY"}
"""Headers, and the variables that hold what they carry."""
UNUSED_KEYS = frozenset({"rate_window", "labels", "metric", "by"})
"""What a file of queries may say to Prometheus and means nothing here."""
MOST_POINTS = 300
"""Points of a series in one answer that do not make Datadog take longer steps."""
_OPERATIONS = (
    *("http.request", "web.request", "servlet.request", "express.request", "rack.request"),
    *("flask.request", "django.request", "fastapi.request", "aspnet_core.request", "grpc.server"),
)
# Where renaming makes one component of several services.
_MERGED = {
    Statistic.RATE: Merge.SUM,
    Statistic.MEAN: Merge.MEAN,
    Statistic.QUANTILE: Merge.MAX,
}
TAGS = ("service", "kube_service", "kube_deployment", "app", "container_name", "host")
"""Tags that name a component, the best first."""


def _defaults() -> tuple[Query, ...]:
    found = [
        Query(
            name="container_cpu",
            expr="sum:container.cpu.usage{*} by {service}",
            family=Family.CPU,
            statistic=Statistic.VALUE,
            merge=Merge.SUM,
        ),
        Query(
            name="container_memory_bytes",
            expr="sum:container.memory.usage{*} by {service}",
            family=Family.MEMORY,
            statistic=Statistic.VALUE,
            unit="B",
            merge=Merge.SUM,
        ),
    ]
    for operation in _OPERATIONS:
        metric = f"trace.{operation}"
        by = "{*} by {service}"
        for name, expr, family, statistic, unit in (
            ("request_rate", f"sum:{metric}.hits{by}.as_rate()", Family.LOAD, Statistic.RATE, ""),
            ("error_rate", f"sum:{metric}.errors{by}.as_rate()", Family.ERRORS, Statistic.RATE, ""),
            ("latency_mean", f"avg:{metric}{by}", Family.LATENCY, Statistic.MEAN, "s"),
            ("latency_p95", f"p95:{metric}{by}", Family.LATENCY, Statistic.QUANTILE, "s"),
        ):
            word = operation.replace(".", "_")
            found.append(
                Query(
                    name=f"{word}_{name}",
                    expr=expr,
                    family=family,
                    statistic=statistic,
                    unit=unit,
                    merge=_MERGED[statistic],
                )
            )
    return tuple(found)


DEFAULT_QUERIES = _defaults()


@dataclass(frozen=True, slots=True)
class Points:
    """One series of an answer.

    Attributes:
        tags: ``key:value`` texts that distinguish it.
        times: [n] seconds since the epoch.
        values: [n] numbers, NaN where there is none.
    """

    tags: tuple[str, ...]
    times: Floats
    values: Floats


class Datadog:
    """A Datadog site.

    Args:
        http: its API.
        queries: the user's own, in Datadog's language.
        defaults: whether `DEFAULT_QUERIES` are asked too.
        mapping: from tags to components.
    """

    offers = frozenset({What.SERIES})

    def __init__(
        self,
        http: HttpSource,
        *,
        queries: Sequence[Query] = (),
        defaults: bool = True,
        mapping: Mapping | None = None,
    ) -> None:
        self.name = http.name
        self._http = http
        self._queries = (*queries, *(DEFAULT_QUERIES if defaults else ()))
        self._mapping = mapping or Mapping()
        self._shapes = Shapes(http.name)
        self._old = False

    def fetch(self, ask: Ask) -> Haul:
        """Return the series of every query.

        Raises:
            InvalidSettingsError: as `make_grid`.
        """
        grid = make_grid(ask)
        ledger = Ledger(self.name)
        found: dict[tuple[str, str], Signal] = {}
        with self._http, ledger.until_lost():
            for query in self._queries:
                with ledger.asking(What.SERIES, f"{query.name}: {query.expr}") as line:
                    rows: dict[str, dict[Labels, list[Points]]] = {}
                    for start, end in grid.parts(MOST_POINTS):
                        for points in self._ask(query.expr, (start, end), ask.step, line):
                            component = self._component(query, points, line)
                            if component:
                                series = rows.setdefault(component, {})
                                series.setdefault(_labels(points), []).append(points)
                    for component, series in rows.items():
                        for signal in _signals(query, component, series, line):
                            if found.setdefault((component, signal.name), signal) is signal:
                                line.came += 1
        return Haul(series=tuple(found.values()), asked=ledger.asked())

    def _ask(self, query: str, times: tuple[float, float], step: float, line: Line) -> list[Points]:
        start, end = (round(1000 * t) for t in times)
        if not self._old:
            attributes = {
                "from": start,
                "to": end + round(1000 * step),  # it is not itself part of the answer
                "interval": round(1000 * step),
                "formulas": [{"formula": "a"}],
                "queries": [{"data_source": "metrics", "name": "a", "query": query}],
            }
            answer = self._http.ask(
                "POST",
                "api/v2/query/timeseries",
                body={"data": {"type": "timeseries_request", "attributes": attributes}},
                told=own_reason,
                absent={HTTPStatus.NOT_FOUND},
            )
            if answer is not None:
                return parse_v2(answer, self._shapes)
            self._old = True
        answer = self._http.ask(
            "GET",
            "api/v1/query",
            params={"from": start // 1000, "to": -(-end // 1000), "query": query},
            told=own_reason,
        )
        found = parse_v1(answer, self._shapes)
        if any(len(p.times) > 1 and np.diff(p.times).min() > 1.5 * step for p in found):
            line.lack(f"samples every {step:g} s: it gives them at longer steps")
        return found

    def _component(self, query: Query, points: Points, line: Line) -> str:
        """Return the component of a series; empty, and told, when its tags name none."""
        component = query.component
        if not component:
            tags = dict(_labels(points))
            wanted = (query.label,) if query.label else TAGS
            tag = next((name for name in wanted if tags.get(name)), "")
            component = self._mapping.component(tag, tags[tag]) if tag else ""
        if not component:
            line.lack("series whose tags name no component")
        return component


def _labels(points: Points) -> Labels:
    pairs = (tag.partition(":") for tag in points.tags)
    return tuple(sorted((key, value) for key, _, value in pairs))


def _signals(
    query: Query, component: str, series: dict[Labels, list[Points]], line: Line
) -> Iterator[Signal]:
    """Put the parts of each series together and merge the series; none without a sample."""
    times = np.unique([t for parts in series.values() for part in parts for t in part.times])
    rows = {}
    for labels, parts in series.items():
        rows[labels] = np.full(len(times), np.nan)
        for part in reversed(parts):  # where parts overlap, the first counts
            rows[labels][np.searchsorted(times, part.times)] = part.values
    for suffix, values in merge_series(query.merge, rows, line):
        name = query.name + suffix
        if not np.isnan(values).all():
            yield Signal(component, name, query.family, query.statistic, times, values, query.unit)


def own_reason(answer: object) -> str:
    """Return the reasons in an answer that reports errors; empty when it holds none."""
    content = answer if isinstance(answer, dict) else {}
    errors = content.get("errors") or content.get("error") or ""
    reason = "; ".join(map(str, errors)) if isinstance(errors, list) else str(errors)
    return reason.encode(errors="replace").decode()


def parse_v1(answer: object, shapes: Shapes) -> list[Points]:
    """Read an answer of version 1.

    Raises:
        SourceError: it is none, or reports an error.
    """
    content = shapes.table(answer, "it")
    if content.get("status") != "ok":
        shapes.reject(f"status must be 'ok', got {own_reason(answer) or 'none'}")
    found = []
    for i, entry in enumerate(shapes.items(content.get("series"), "series")):
        what = f"series[{i}]"
        series = shapes.table(entry, what)
        tags = shapes.items(series.get("tag_set") or [], f"{what}.tag_set")
        points = [
            shapes.items(point, f"{what}.pointlist[{j}]")
            for j, point in enumerate(shapes.items(series.get("pointlist"), f"{what}.pointlist"))
        ]
        if any(len(point) != 2 for point in points):
            shapes.reject(f"{what}.pointlist must hold pairs of a time and a value")
        found.append(
            Points(
                tuple(shapes.text(tag, f"{what}.tag_set") for tag in tags),
                _times([point[0] for point in points], shapes, what),
                _values([point[1] for point in points], shapes, what),
            )
        )
    return found


def parse_v2(answer: object, shapes: Shapes) -> list[Points]:
    """Read an answer of version 2.

    Raises:
        SourceError: it is none, or reports an error.
    """
    content = shapes.table(answer, "it")
    if content.get("errors"):
        shapes.reject(f"it reports {own_reason(answer)!r:.200}")
    data = shapes.table(content.get("data"), "data")
    attributes = shapes.table(data.get("attributes"), "data.attributes")
    times = _times(shapes.items(attributes.get("times"), "times"), shapes, "times")
    rows = shapes.items(attributes.get("values"), "values")
    series = shapes.items(attributes.get("series"), "series")
    if len(rows) != len(series):
        shapes.reject(f"it holds {len(series)} series and values of {len(rows)}")
    found = []
    for i, (entry, row) in enumerate(zip(series, rows, strict=True)):
        tags = shapes.table(entry, f"series[{i}]").get("group_tags") or []
        values = _values(shapes.items(row, f"values[{i}]"), shapes, f"values[{i}]")
        if len(values) != len(times):
            shapes.reject(f"values[{i}] holds {len(values)} values for {len(times)} times")
        texts = (shapes.text(tag, f"series[{i}]") for tag in shapes.items(tags, "group_tags"))
        found.append(Points(tuple(texts), times, values))
    return found


def _times(milliseconds: list[object], shapes: Shapes, what: str) -> Floats:
    times = np.array([shapes.number(t, f"a time of {what}") / 1e3 for t in milliseconds])
    return times.astype(np.float64)


def _values(values: list[object], shapes: Shapes, what: str) -> Floats:
    numbers = [np.nan if v is None else shapes.number(v, f"a value of {what}") for v in values]
    return np.array(numbers, dtype=np.float64)
