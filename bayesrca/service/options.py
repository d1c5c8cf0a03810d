"""Options of one server process: declared once, read from everywhere, validated once."""

from __future__ import annotations

import ipaddress
import math
import os
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from bayesrca.config import DEFAULT_MAX_MESSAGE_BYTES, Method
from bayesrca.errors import InvalidSettingsError


class LogFormat(StrEnum):
    """How the server writes its log: lines for people, or one JSON object a line."""

    TEXT = "text"
    JSON = "json"


def _option[T](
    default: T,
    text: str,
    low: float | None = None,
    high: float = math.inf,
    *,
    hidden: bool = False,
) -> T:
    """Declare an option: its default, what it is for, its range if it is a number."""
    metadata = {"help": text, "low": low, "high": high, "hidden": hidden}
    declared: T = field(default=default, metadata=metadata)
    return declared


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceOptions:
    """How to serve. Each option's meaning is its help text, which `bayesrca serve --help` shows.

    Secrets are never options: an option names the file that holds one.

    Raises:
        InvalidSettingsError: a value outside its range, options that contradict each other, or a
            server that anyone on the network could use without `insecure`.
    """

    host: str = _option("127.0.0.1", "Address to listen on; not loopback: TLS and credentials.")
    port: int = _option(50051, "TCP port; 0 picks a free one.", 0, 65535)
    takeover: bool = _option(
        False, "Succeed the server on this port (and data_dir), begun so too, without a gap."
    )
    workers: int = _option(1, "Worker processes; each runs one call at a time.", 1, 256)
    queue: int = _option(8, "Calls that may wait for a worker.", 0, 10_000)
    reflection: bool = _option(True, "Let clients list the services and their messages.")
    warm: bool = _option(True, "Compile the model before the server calls itself ready.")
    insecure: bool = _option(False, "Serve beyond loopback without TLS or without credentials.")
    tls_cert_file: Path | None = _option(None, "Certificate chain (PEM) to show; switches TLS on.")
    tls_key_file: Path | None = _option(None, "Private key (PEM) of that certificate.")
    tls_client_ca_file: Path | None = _option(
        None, "Authorities (PEM) of the certificates that every client must then show."
    )
    credentials_file: Path | None = _option(
        None, "Who may call, and for which tenant (TOML, docs/operations.md); none: anyone."
    )
    max_calls: int = _option(256, "Calls open at a time, health checks apart.", 1, 100_000)
    max_message_bytes: int = _option(
        DEFAULT_MAX_MESSAGE_BYTES, "Largest request and response.", 1 << 10, 1 << 30
    )
    max_metadata_bytes: int = _option(16 << 10, "Largest header of a call.", 1 << 10, 1 << 20)
    drain_seconds: float = _option(30.0, "What accepted calls may take after SIGTERM.", 0)
    grace_seconds: float = _option(1.0, "What a worker may take to obey a cancellation.", 0)
    prior: Path | None = _option(None, "Prior file that `bayesrca learn` wrote.")
    data_dir: Path | None = _option(
        None, "Folder of stored analyses, for one server at a time; none: nothing is stored."
    )
    tenant_pending: int = _option(
        100, "Stored analyses of a tenant that may wait or run.", 1, 1_000_000
    )
    tenant_bytes: int = _option(
        4 << 30, "What a tenant's stored analyses may take before it can create no more.", 1
    )
    retain_seconds: float = _option(
        30 * 86_400.0, "How long a stored analysis stays after it has ended.", 1
    )
    retain_bytes: int = _option(
        16 << 30, "What all stored analyses may take before the oldest that ended are removed.", 1
    )
    http_host: str = _option("127.0.0.1", "Address of metrics and probes.")
    http_port: int | None = _option(
        None, "TCP port of /metrics, /livez and /readyz; 0 picks a free one; none: off.", 0, 65535
    )
    alert_host: str = _option("127.0.0.1", "Address of Alertmanager's webhook.")
    alert_port: int | None = _option(
        None,
        "TCP port of the webhook, POST /alertmanager; 0 picks a free one; none: off.",
        0,
        65535,
    )
    alert_lead_seconds: float = _option(
        600.0, "How long before an alert its time in question begins.", 0
    )
    alert_baseline_seconds: float = _option(
        3600.0, "How long the normal period before that is; 0: none.", 0
    )
    alert_step_seconds: float = _option(60.0, "Seconds between the samples asked for.", 0.001)
    alert_method: Method = _option(Method.AUTO, "How alerts are analysed.")
    prometheus: str | None = _option(
        None, "Prometheus server for alerts and for sources in requests (docs/connectors.md)."
    )
    prometheus_queries: Path | None = _option(None, "Queries and label names for it.")
    jaeger: str | None = _option(None, "Jaeger query service for them.")
    loki: str | None = _option(None, "Loki server for them.")
    loki_query: str | None = _option(None, "LogQL selector of its lines; none: all of services.")
    elasticsearch: str | None = _option(None, "Elasticsearch or OpenSearch cluster for them.")
    elasticsearch_spans: str | None = _option(None, "Its indices of spans; none: traces-*.")
    elasticsearch_logs: str | None = _option(
        None, "Its indices of log records; none: logs-*,filebeat-*."
    )
    datadog: str | None = _option(None, "Datadog site for them.")
    datadog_queries: Path | None = _option(None, "Queries for it.")
    events: Path | None = _option(None, "JSON file of changes, read whenever they are asked for.")
    graph: Path | None = _option(None, "Components and edges that are known already (graph.json).")
    receive_telemetry: bool = _option(
        False, "Take traces, metrics and logs by OTLP over gRPC, and hold them in memory."
    )
    otlp_http_host: str = _option("127.0.0.1", "Address of OTLP over HTTP.")
    otlp_http_port: int | None = _option(
        None, "TCP port that takes OTLP over HTTP too, usually 4318; none: off.", 0, 65535
    )
    telemetry_seconds: float = _option(3600.0, "How long received telemetry is held.", 1)
    telemetry_bytes: int = _option(
        256 << 20, "What is held of a tenant at most; the oldest is evicted first.", 1 << 20
    )
    telemetry_spared_seconds: float = _option(
        60.0, "Telemetry this recent is not evicted to make room: its senders must wait.", 0
    )
    telemetry_saved_bytes: int = _option(
        4 << 30, "What a tenant's saved telemetry may take on the disk.", 1
    )
    otlp_endpoint: str | None = _option(
        None, "Collector that spans go to by OTLP over gRPC, http://HOST:PORT or https://."
    )
    trace_ratio: float = _option(1.0, "Share of the traces begun here that are kept.", 0, 1)
    log_format: LogFormat = _option(LogFormat.TEXT, "How to write the log.")
    # What the workers run: for tests that must not wait for real analyses.
    analyzer: str = _option("bayesrca.analysis:analyze", "module:function that runs.", hidden=True)
    warmer: str = _option("bayesrca.model:warm", "module:function that warms up.", hidden=True)

    def __post_init__(self) -> None:
        for option in fields(self):
            value, low = getattr(self, option.name), option.metadata["low"]
            if low is not None and value is not None:
                _check_number(option.name, value, low, option.metadata["high"])
        for name in ("analyzer", "warmer"):
            module, _, function = getattr(self, name).partition(":")
            if not (module and function):
                msg = f"{name} must be written module:function, got {getattr(self, name)!r}"
                raise InvalidSettingsError(msg, field=name)
        _check_endpoint(self.otlp_endpoint)
        self._check_files()
        self._check_exposure()
        self._check_alerts()
        self._check_otlp_http()

    def _check_files(self) -> None:
        """Refuse options of which one needs another that is missing."""
        for name, needs, why in (
            ("tls_cert_file", "tls_key_file", "a certificate needs its private key"),
            ("tls_key_file", "tls_cert_file", "a private key needs its certificate"),
            ("tls_client_ca_file", "tls_cert_file", "clients show certificates over TLS only"),
            (
                "tls_client_ca_file",
                "credentials_file",
                "a client's certificate may do what the credentials file says, else nothing",
            ),
        ):
            if getattr(self, name) is not None and getattr(self, needs) is None:
                msg = f"{name} is set but {needs} is not: {why}"
                raise InvalidSettingsError(msg, field=needs)

    def _check_exposure(self) -> None:
        """Refuse to serve the network in the clear, or without asking who calls."""
        if self.insecure or is_loopback(self.host):
            return
        missing = [
            word
            for word, name in (("TLS", "tls_cert_file"), ("credentials", "credentials_file"))
            if getattr(self, name) is None
        ]
        if missing:
            msg = (
                f"refusing to serve on {self.host} without {' and '.join(missing)}: anyone who "
                "reaches the port could use it or listen in; set tls_cert_file, tls_key_file and "
                "credentials_file, listen on 127.0.0.1, or pass --insecure if the network in front "
                "of it is trusted"
            )
            raise InvalidSettingsError(msg, field="host")

    def _check_alerts(self) -> None:
        """Refuse a webhook that could store or ask nothing, or that the network could reach."""
        if self.alert_port is None:
            return
        if self.data_dir is None:
            msg = "alert_port is set but data_dir is not: analyses of alerts must be stored"
            raise InvalidSettingsError(msg, field="data_dir")
        if not self.has_sources:
            msg = "alert_port is set but no source is: name one to analyse alerts from"
            raise InvalidSettingsError(msg, field="prometheus")
        if not (self.insecure or is_loopback(self.alert_host)):
            msg = (
                f"refusing to take alerts on {self.alert_host} without TLS, which the webhook does "
                "not speak: listen on 127.0.0.1 behind a proxy that does, or pass --insecure if "
                "the network in front of it is trusted"
            )
            raise InvalidSettingsError(msg, field="alert_host")

    def _check_otlp_http(self) -> None:
        """Refuse a port for telemetry that is not held, or that the network could reach."""
        if self.otlp_http_port is None:
            return
        if not self.receive_telemetry:
            msg = "otlp_http_port is set but receive_telemetry is not: it would hold nothing"
            raise InvalidSettingsError(msg, field="receive_telemetry")
        if not (self.insecure or is_loopback(self.otlp_http_host)):
            msg = (
                f"refusing to take telemetry on {self.otlp_http_host} without TLS, which this port "
                "does not speak: listen on 127.0.0.1 behind a proxy that does, or pass --insecure "
                "if the network in front of it is trusted"
            )
            raise InvalidSettingsError(msg, field="otlp_http_host")

    @property
    def has_sources(self) -> bool:
        """Whether a back end is named that has series or spans: nothing else can be analysed."""
        return any((self.prometheus, self.jaeger, self.elasticsearch, self.datadog))

    @property
    def cores(self) -> int:
        """Threads one analysis may use, >= 1: the machine shared out among the workers."""
        return max(1, (os.cpu_count() or 1) // self.workers)

    def address(self, port: int) -> str:
        """Return ``HOST:PORT`` with an IPv6 host in brackets."""
        return join_address(self.host, port)


def join_address(host: str, port: int) -> str:
    """Return ``HOST:PORT`` with an IPv6 host in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether a host can be reached from this machine only; names but localhost count as not."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_number(name: str, value: float, low: float, high: float) -> None:
    if math.isfinite(value) and low <= value <= high:
        return
    wanted = f"in [{low}, {high}]" if high < math.inf else f"a finite number >= {low}"
    msg = f"{name} must be {wanted}, got {value}"
    raise InvalidSettingsError(msg, field=name)


def _check_endpoint(endpoint: str | None) -> None:
    if endpoint is None:
        return
    try:
        parts = urlsplit(endpoint)
        good = parts.scheme in ("http", "https") and parts.port and not parts.path.strip("/")
    except ValueError:
        good = False
    # A password in it would be shown with it: the message does not repeat what was given.
    if not good or "@" in endpoint:
        msg = "otlp_endpoint must be written http://HOST:PORT or https://HOST:PORT, nothing more"
        raise InvalidSettingsError(msg, field="otlp_endpoint")
