"""What Prometheus is asked unless told otherwise: requests, resources and calls by convention."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bayesrca.incident import Family, Statistic


class Merge(StrEnum):
    """What becomes of several series of one query at one component.

    ``SPLIT``: each is kept, named by the labels in which they differ.
    """

    SUM = "sum"
    MEAN = "mean"
    MAX = "max"
    SPLIT = "split"


class By(StrEnum):
    """Which labels name the component of a query's series."""

    SERVICE = "service"
    WORKLOAD = "workload"


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A question in PromQL and what its answer measures.

    Attributes:
        name: of the series, unique within each component.
        expr: PromQL; ``$component`` stands for the label that names components, ``$window`` for the
            range of rates.
        family: what the series measures.
        statistic: how its values summarise their intervals.
        unit: its unit; empty when unknown.
        metric: metric that must exist for the query to be asked; empty: it is asked in any case.
        by: which labels name the component.
        label: the one label that does, instead; empty for those of `by`.
        component: the component of all its series, instead; empty for what a label says.
        merge: see `Merge`.
        traffic: requests of the same kind are taken from the first metric that counts them at a
            component; ``any`` only where no other kind is; empty for what is no request.
        joins: whether its series count only at components that other series are known of.
    """

    name: str
    expr: str
    family: Family
    statistic: Statistic
    unit: str = ""
    metric: str = ""
    by: By = By.SERVICE
    label: str = ""
    component: str = ""
    merge: Merge = Merge.SPLIT
    traffic: str = ""
    joins: bool = False


@dataclass(frozen=True, slots=True)
class CallsQuery:
    """A metric whose labels name caller and callee."""

    metric: str
    caller: str
    callee: str
    selector: str = ""


ANY = "any"
"""Traffic that another system has counted; its series carry no word for it in their names."""
_GRPC_FAULTS = "UNKNOWN|DEADLINE_EXCEEDED|UNIMPLEMENTED|INTERNAL|UNAVAILABLE|DATA_LOSS"
_GRPC_WORDS = "Unknown|DeadlineExceeded|Unimplemented|Internal|Unavailable|DataLoss"
_GRPC_NUMBERS = "2|4|12|13|14|15"


def _ratio(total: str, failed: str) -> str:
    """The share of failures; 0, not nothing, while no request has ever failed."""
    return f"(sum by ($component) ({failed}) or 0 * {total}) / {total}"


def _prefix(traffic: str) -> str:
    return "" if traffic == ANY else f"{traffic}_"


def _counted(
    traffic: str, counter: str, faults: tuple[str, ...], selector: str = ""
) -> list[Query]:
    """Rate and error ratio of a counter; `faults` are matchers of which one may apply."""
    total = f"sum by ($component) (rate({counter}{{{selector}}}[$window]))"
    matchers = [f"{selector},{fault}" if selector else fault for fault in faults]
    failed = " or ".join(f"rate({counter}{{{matcher}}}[$window])" for matcher in matchers)
    shared: dict[str, Any] = {"metric": counter, "traffic": traffic}
    prefix = _prefix(traffic)
    return [
        Query(
            name=f"{prefix}request_rate",
            expr=total,
            family=Family.LOAD,
            statistic=Statistic.RATE,
            merge=Merge.SUM,
            **shared,
        ),
        Query(
            name=f"{prefix}error_ratio",
            expr=_ratio(total, failed),
            family=Family.ERRORS,
            statistic=Statistic.ERROR_RATIO,
            unit="1",
            merge=Merge.MEAN,
            **shared,
        ),
    ]


def _timed(
    traffic: str,
    histogram: str,
    unit: str,
    selector: str = "",
    *,
    name: str = "",
    family: Family = Family.LATENCY,
) -> list[Query]:
    """Mean and 95th percentile of a histogram."""
    rate = f"{{{selector}}}[$window]))"
    buckets = f"sum by (le, $component) (rate({histogram}_bucket{rate}"
    total, count = (
        f"sum by ($component) (rate({histogram}_{part}{rate}" for part in ("sum", "count")
    )
    name = name or f"{_prefix(traffic)}latency"
    shared: dict[str, Any] = {
        "family": family,
        "unit": unit,
        "metric": f"{histogram}_count",
        "traffic": traffic,
    }
    return [
        Query(
            name=f"{name}_mean",
            expr=f"{total} / {count}",
            statistic=Statistic.MEAN,
            merge=Merge.MEAN,
            **shared,
        ),
        Query(
            name=f"{name}_p95",
            expr=f"histogram_quantile(0.95, {buckets})",
            statistic=Statistic.QUANTILE,
            merge=Merge.MAX,
            **shared,
        ),
    ]


def _requests(
    traffic: str, histogram: str, unit: str, faults: tuple[str, ...], selector: str = ""
) -> list[Query]:
    return [
        *_counted(traffic, f"{histogram}_count", faults, selector),
        *_timed(traffic, histogram, unit, selector),
    ]


def _resource(
    name: str, metric: str, family: Family, *, rate: bool, unit: str, by: By, selector: str = ""
) -> Query:
    samples = f"{metric}{{{selector}}}"
    return Query(
        name=name,
        expr=f"sum by ($component) ({f'rate({samples}[$window])' if rate else samples})",
        family=family,
        statistic=Statistic.RATE if rate and family is not Family.CPU else Statistic.VALUE,
        unit=unit,
        metric=metric,
        by=by,
        merge=Merge.SUM,
    )


_CONTAINER = 'container!="",container!="POD"'
_STATUS = ('status=~"5.."', 'code=~"5.."', 'status_code=~"5.."')
_DESTINATION = 'reporter="destination"'
_SERVER_SPAN = 'span_kind="SPAN_KIND_SERVER"'
_FAILED_SPAN = ('status_code="STATUS_CODE_ERROR"',)

DEFAULT_QUERIES: tuple[Query, ...] = (
    # OpenTelemetry's conventions, the newer ones first; then those of Prometheus' own libraries
    *_requests(
        "http", "http_server_request_duration_seconds", "s", ('http_response_status_code=~"5.."',)
    ),
    *_requests("http", "http_server_duration_milliseconds", "ms", ('http_status_code=~"5.."',)),
    *_requests("http", "http_request_duration_seconds", "s", _STATUS),
    *_counted("http", "http_requests_total", _STATUS),
    *_requests(
        "rpc",
        "rpc_server_call_duration_seconds",
        "s",
        (f'rpc_response_status_code=~"{_GRPC_FAULTS}"',),
    ),
    *_requests(
        "rpc",
        "rpc_server_duration_milliseconds",
        "ms",
        (f'rpc_grpc_status_code=~"{_GRPC_NUMBERS}"',),
    ),
    *_counted("rpc", "grpc_server_handled_total", (f'grpc_code=~"{_GRPC_WORDS}"',)),
    *_timed("rpc", "grpc_server_handling_seconds", "s"),
    # what a mesh or a collector counts, where the service itself counts nothing
    *_counted(ANY, "istio_requests_total", ('response_code=~"5.."',), _DESTINATION),
    *_timed(ANY, "istio_request_duration_milliseconds", "ms", _DESTINATION),
    *_counted(ANY, "traces_span_metrics_calls_total", _FAILED_SPAN, _SERVER_SPAN),
    *_timed(ANY, "traces_span_metrics_duration_milliseconds", "ms", _SERVER_SPAN),
    *_timed(ANY, "traces_span_metrics_duration_seconds", "s", _SERVER_SPAN),
    *_counted(ANY, "traces_spanmetrics_calls_total", _FAILED_SPAN, _SERVER_SPAN),
    *_timed(ANY, "traces_spanmetrics_latency", "s", _SERVER_SPAN),
    # waiting for callees
    *_timed(
        "",
        "http_client_request_duration_seconds",
        "s",
        name="http_client_latency",
        family=Family.EGRESS,
    ),
    *_timed(
        "",
        "db_client_operation_duration_seconds",
        "s",
        name="db_client_latency",
        family=Family.EGRESS,
    ),
    _resource(
        "container_cpu_cores",
        "container_cpu_usage_seconds_total",
        Family.CPU,
        rate=True,
        unit="",
        by=By.WORKLOAD,
        selector=_CONTAINER,
    ),
    _resource(
        "container_memory_bytes",
        "container_memory_working_set_bytes",
        Family.MEMORY,
        rate=False,
        unit="B",
        by=By.WORKLOAD,
        selector=_CONTAINER,
    ),
    _resource(
        "container_disk_write_bytes",
        "container_fs_writes_bytes_total",
        Family.DISK,
        rate=True,
        unit="B",
        by=By.WORKLOAD,
        selector=_CONTAINER,
    ),
    _resource(
        "container_network_receive_bytes",
        "container_network_receive_bytes_total",
        Family.NETWORK,
        rate=True,
        unit="B",
        by=By.WORKLOAD,
    ),
    _resource(
        "process_cpu_cores",
        "process_cpu_seconds_total",
        Family.CPU,
        rate=True,
        unit="",
        by=By.SERVICE,
    ),
    _resource(
        "process_memory_bytes",
        "process_resident_memory_bytes",
        Family.MEMORY,
        rate=False,
        unit="B",
        by=By.SERVICE,
    ),
    # Prometheus scrapes much that is no part of the system.
    Query(
        name="scrapes_up",
        expr="avg by ($component) (up)",
        family=Family.AVAILABILITY,
        statistic=Statistic.VALUE,
        metric="up",
        merge=Merge.MEAN,
        joins=True,
    ),
)

CALLS_QUERIES = (
    CallsQuery("traces_service_graph_request_total", "client", "server"),
    CallsQuery(
        "istio_requests_total",
        "source_canonical_service",
        "destination_canonical_service",
        _DESTINATION,
    ),
)
