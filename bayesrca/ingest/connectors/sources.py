"""The connectors of a set of addresses, with credentials from the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bayesrca.errors import InvalidSettingsError
from bayesrca.ingest.connectors.change_events import ChangeEvents
from bayesrca.ingest.connectors.credentials import read_authorities, read_credentials
from bayesrca.ingest.connectors.datadog import KEYS, UNUSED_KEYS, Datadog
from bayesrca.ingest.connectors.elasticsearch import LOGS_INDEX, SPANS_INDEX, Elasticsearch
from bayesrca.ingest.connectors.http import HttpSource
from bayesrca.ingest.connectors.interface import Connector
from bayesrca.ingest.connectors.jaeger import Jaeger, JaegerApi, JaegerJson
from bayesrca.ingest.connectors.loki import Loki
from bayesrca.ingest.connectors.patience import Limits
from bayesrca.ingest.connectors.prometheus import Prometheus, PrometheusPlan
from bayesrca.ingest.connectors.prometheus_file import read_plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where telemetry is to be had; None where there is none.

    Attributes:
        prometheus: address of a Prometheus server.
        prometheus_queries: file of queries and label names for it.
        jaeger: address of a Jaeger query service, http(s):// or grpc(s)://.
        loki: address of a Loki server.
        loki_query: LogQL selector of the lines; None for all that name a service.
        elasticsearch: address of an Elasticsearch or OpenSearch cluster.
        elasticsearch_spans: its indices of spans; None for the usual ones.
        elasticsearch_logs: its indices of log records; None for the usual ones.
        datadog: Datadog site such as datadoghq.eu, or address of its API.
        datadog_queries: file of queries for it.
        events: JSON file of change events.
    """

    prometheus: str | None = None
    prometheus_queries: Path | None = None
    jaeger: str | None = None
    loki: str | None = None
    loki_query: str | None = None
    elasticsearch: str | None = None
    elasticsearch_spans: str | None = None
    elasticsearch_logs: str | None = None
    datadog: str | None = None
    datadog_queries: Path | None = None
    events: Path | None = None


_NEEDS = {
    "prometheus_queries": "prometheus",
    "loki_query": "loki",
    "elasticsearch_spans": "elasticsearch",
    "elasticsearch_logs": "elasticsearch",
    "datadog_queries": "datadog",
}
"""Options that say something about a server, and the server."""


def make_connectors(
    sources: Sources, environment: Mapping[str, str], *, limits: Limits | None = None
) -> list[Connector]:
    """Return the connectors, in the order in which they are asked.

    Args:
        sources: where.
        environment: variables that hold credentials or name files of them.
        limits: what asking each of them may cost.

    Raises:
        InvalidSettingsError: an address, a file of queries or credentials that will not do.
    """
    connectors: list[Connector] = []
    plan = make_plan(sources)
    if sources.prometheus is not None:
        http = _http("prometheus", sources.prometheus, environment, limits)
        connectors.append(Prometheus(http, plan))
    if sources.jaeger is not None:
        connectors.append(Jaeger(_jaeger(sources.jaeger, environment, limits)))
    if sources.loki is not None:
        http = _http("loki", sources.loki, environment, limits)
        connectors.append(Loki(http, sources.loki_query or "", plan.mapping))
    if sources.elasticsearch is not None:
        connectors.append(
            Elasticsearch(
                _http("elasticsearch", sources.elasticsearch, environment, limits),
                spans=sources.elasticsearch_spans or SPANS_INDEX,
                logs=sources.elasticsearch_logs or LOGS_INDEX,
                mapping=plan.mapping,
            )
        )
    if sources.datadog is not None:
        connectors.append(_datadog(sources, environment, limits))
    if sources.events is not None:
        connectors.append(ChangeEvents(sources.events, mapping=plan.mapping))
    return connectors


def _datadog(sources: Sources, environment: Mapping[str, str], limits: Limits | None) -> Datadog:
    own = PrometheusPlan()
    if sources.datadog_queries is not None:
        own = read_plan(sources.datadog_queries, field="datadog_queries", unused=UNUSED_KEYS)
    site = str(sources.datadog)
    url = site if "://" in site else f"https://api.{site}"
    credentials = read_credentials("datadog", environment, keys=KEYS)
    http = HttpSource("datadog", url, credentials=credentials, limits=limits)
    return Datadog(http, queries=own.queries, defaults=own.defaults, mapping=own.mapping)


def _jaeger(url: str, environment: Mapping[str, str], limits: Limits | None) -> JaegerApi:
    if not url.startswith(("grpc://", "grpcs://")):
        return JaegerJson(_http("jaeger", url, environment, limits))
    # Late: gRPC costs a tenth of a second, and few ask for it.
    from bayesrca.ingest.connectors.grpc_source import GrpcSource  # noqa: PLC0415
    from bayesrca.ingest.connectors.jaeger_grpc import JaegerGrpc  # noqa: PLC0415

    source = GrpcSource(
        "jaeger",
        url,
        credentials=read_credentials("jaeger", environment),
        roots=read_authorities(environment),
        insecure=environment.get("BAYESRCA_JAEGER_INSECURE") == "1",
        limits=limits,
    )
    return JaegerGrpc(source)


def make_plan(sources: Sources) -> PrometheusPlan:
    """Return what to ask Prometheus, and how labels name components.

    Raises:
        InvalidSettingsError: a file of queries that will not do, or an option about a server that
            is not named.
    """
    for option, server in _NEEDS.items():
        if getattr(sources, option) is not None and getattr(sources, server) is None:
            said, needed = (f"--{name.replace('_', '-')}" for name in (option, server))
            msg = f"{said} is of use only with a server: give {needed} too"
            raise InvalidSettingsError(msg, field=option)
    if sources.prometheus_queries is None:
        return PrometheusPlan()
    return read_plan(sources.prometheus_queries)


def _http(name: str, url: str, environment: Mapping[str, str], limits: Limits | None) -> HttpSource:
    return HttpSource(name, url, credentials=read_credentials(name, environment), limits=limits)
