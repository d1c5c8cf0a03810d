"""The options of commands that take an incident from telemetry back ends."""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from bayesrca.cli_output import progress
from bayesrca.errors import InvalidSettingsError

if TYPE_CHECKING:
    from bayesrca.incident import Event, IncidentSource, Origin, Target, TimeWindow
    from bayesrca.ingest.connectors.collect import Collected
    from bayesrca.ingest.graph_file import Graph

_FOR_SERVERS = frozenset({"events", "graph", "start", "end", "baseline", "step", "target"})
"""The flags that say something about an incident which a server makes."""
_PANEL = "Telemetry sources (docs/connectors.md)"


def _field(default: object, text: str, **more: object) -> Any:  # noqa: ANN401  any field
    """Declare an option: its default and what it is for."""
    return field(default=default, metadata={"help": text, **more})


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFlags:
    """What the options say; see their help texts."""

    prometheus: str | None = _field(
        None, "Prometheus server: series, alerts, calls.", metavar="URL"
    )
    prometheus_queries: Path | None = _field(
        None, "Your own queries and label names (TOML or JSON).", dir_okay=False
    )
    jaeger: str | None = _field(
        None, "Jaeger query service, http:// or grpc://: spans.", metavar="URL"
    )
    loki: str | None = _field(None, "Loki server: log records.", metavar="URL")
    loki_query: str | None = _field(
        None, "LogQL selector of the lines; none: all that name a service.", metavar="LOGQL"
    )
    elasticsearch: str | None = _field(
        None, "Elasticsearch or OpenSearch cluster: spans, log records.", metavar="URL"
    )
    elasticsearch_spans: str | None = _field(
        None, "Its indices of spans; none: traces-*.", metavar="INDEX"
    )
    elasticsearch_logs: str | None = _field(
        None, "Its indices of log records; none: logs-*,filebeat-*.", metavar="INDEX"
    )
    datadog: str | None = _field(
        None, "Datadog site, such as datadoghq.eu: series.", metavar="SITE"
    )
    datadog_queries: Path | None = _field(
        None, "Your own queries for it (TOML or JSON).", dir_okay=False
    )
    events: Path | None = _field(
        None, "Changes as JSON: deploys, commits, Kubernetes Events.", dir_okay=False
    )
    graph: Path | None = _field(
        None, "Components and edges that are known already (graph.json).", dir_okay=False
    )
    start: str | None = _field(
        None, "Start of the time in question: ISO 8601, epoch seconds, -30m.", metavar="TIME"
    )
    end: str = _field("now", "End of it.", metavar="TIME")
    baseline: str = _field(
        "1h", "Normal period: a duration before the start, START/END, or none.", metavar="TIME"
    )
    step: str = _field("60s", "Time between samples.", metavar="TIME")
    target: str | None = _field(None, "Where it was noticed.", metavar="COMPONENT[|METRIC]")

    @property
    def given(self) -> bool:
        """Whether any source is named."""
        sources = (self.prometheus, self.jaeger, self.loki, self.elasticsearch, self.datadog)
        return any((*sources, self.events))

    def changed(self, but: Collection[str] = ()) -> str:
        """The first flag that differs from its default, as it is typed; empty if none does.

        Args:
            but: names of flags that are passed over.
        """
        names = (
            flag.name
            for flag in fields(self)
            if flag.name not in but and getattr(self, flag.name) != flag.default
        )
        return next((f"--{name.replace('_', '-')}" for name in names), "")


def with_sources(command: Callable[..., None]) -> Callable[..., None]:
    """Return a Typer command whose argument `sources` is made of one option for each flag."""
    hints = get_type_hints(SourceFlags)
    own = inspect.signature(command, eval_str=True).parameters
    parameters = [p for p in own.values() if p.name != "sources"]
    for flag in fields(SourceFlags):
        option = typer.Option(rich_help_panel=_PANEL, **flag.metadata)
        kind = inspect.Parameter.KEYWORD_ONLY
        annotation: Any = Annotated[hints[flag.name], option]
        parameters.append(
            inspect.Parameter(flag.name, kind, default=flag.default, annotation=annotation)
        )

    @wraps(command)
    def run(**arguments: object) -> None:
        flags = {flag.name: arguments.pop(flag.name) for flag in fields(SourceFlags)}
        command(**arguments, sources=SourceFlags(**flags))  # type: ignore[arg-type]

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def server_source(flags: SourceFlags, origins: Sequence[Origin], saved: str) -> IncidentSource:
    """Return what a server is to make an incident of.

    Args:
        flags: for what time, and what is known.
        origins: whose telemetry.
        saved: name of saved telemetry; empty for none.

    Raises:
        InvalidSettingsError: options that cannot be, or about sources that this machine would ask.
        BayesRcaError: a file that cannot be read.
    """
    # Late, for they load NumPy and pandas, which --help does not need.
    from bayesrca.incident import IncidentSource  # noqa: PLC0415
    from bayesrca.ingest.connectors.times import parse_duration  # noqa: PLC0415

    changed = flags.changed(_FOR_SERVERS)
    if changed:
        msg = (
            f"{changed} is for sources that this machine asks; with --from the server asks what "
            "its own configuration names"
        )
        raise InvalidSettingsError(msg, field=changed.removeprefix("--").replace("-", "_"))
    window, baseline = _periods(flags)
    step = parse_duration(flags.step, "step")
    graph = _graph(flags)
    return IncidentSource(
        origins=tuple(origins),
        saved=saved,
        window=window,
        baseline=baseline,
        step=step,
        target=_target(flags.target),
        components=() if graph is None else graph.components,
        edges=() if graph is None else graph.edges,
        aliases={} if graph is None else graph.aliases,
        events=_events(flags, window, baseline, step),
    )


def _events(
    flags: SourceFlags, window: TimeWindow, baseline: TimeWindow | None, step: float
) -> tuple[Event, ...]:
    if flags.events is None:
        return ()
    from bayesrca.errors import SourceError  # noqa: PLC0415
    from bayesrca.incident import TimeWindow  # noqa: PLC0415
    from bayesrca.ingest.connectors.change_events import ChangeEvents  # noqa: PLC0415
    from bayesrca.ingest.connectors.interface import Ask  # noqa: PLC0415

    since = window if baseline is None else baseline
    whole = TimeWindow(min(since.start, window.start), window.end)
    haul = ChangeEvents(flags.events).fetch(Ask(window=whole, step=step))
    for line in haul.asked:
        if line.missing:
            raise SourceError(line.missing, source="events")
    return haul.events


def _periods(flags: SourceFlags) -> tuple[TimeWindow, TimeWindow | None]:
    from bayesrca.ingest.connectors.times import parse_periods  # noqa: PLC0415

    if flags.start is None:
        msg = "the sources must be told for what time: give --start (and --end, default now)"
        raise InvalidSettingsError(msg, field="start")
    return parse_periods(flags.start, flags.end, flags.baseline, now=time.time())


def _graph(flags: SourceFlags) -> Graph | None:
    from bayesrca.ingest.graph_file import read_declared  # noqa: PLC0415

    return None if flags.graph is None else read_declared(flags.graph)


def collect_incident(flags: SourceFlags, name: str | None) -> Collected:
    """Ask the sources and bring together what comes.

    Args:
        flags: which sources, and for what time.
        name: the incident's name; None for one made from the target and the time.

    Raises:
        InvalidSettingsError: options that cannot be, or contradict each other.
        BayesRcaError: as `bayesrca.ingest.connectors.collect.collect`.
    """
    # Late, for they load NumPy and httpx, which --help does not need.
    from bayesrca.ingest.connectors.collect import Wanted, collect  # noqa: PLC0415
    from bayesrca.ingest.connectors.sources import Sources, make_connectors  # noqa: PLC0415
    from bayesrca.ingest.connectors.times import format_time, parse_duration  # noqa: PLC0415

    window, baseline = _periods(flags)
    target = _target(flags.target)
    sources = Sources(**{part.name: getattr(flags, part.name) for part in fields(Sources)})
    where = target.component if target else "incident"
    wanted = Wanted(
        name=name or f"{where} {format_time(window.start)}",
        window=window,
        baseline=baseline,
        step=parse_duration(flags.step, "step"),
        target=target,
        declared=_graph(flags),
    )
    connectors = make_connectors(sources, os.environ)
    with progress("asking the sources") as tell:
        return collect(connectors, wanted, tell=lambda what: tell(what, 0.0, 1.0))


def _target(text: str | None) -> Target | None:
    from bayesrca.incident import Target  # noqa: PLC0415

    if text is None:
        return None
    component, bar, metric = text.partition("|")
    if not component or (bar and not metric):
        msg = f"--target must be COMPONENT or COMPONENT|METRIC, got {text!r}"
        raise InvalidSettingsError(msg, field="target")
    return Target(component, metric or None)
