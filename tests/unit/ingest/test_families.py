from pathlib import Path

import pytest

from bayesrca.errors import InvalidSettingsError
from bayesrca.incident import ComponentKind, Family, Statistic
from bayesrca.ingest import FamilyRules, Reading, Rule
from bayesrca.ingest.name_words import to_plain

DEFAULTS = FamilyRules()


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("latency_p50", "_latency_p50_"),
        ("PodServerLatencyP95(s)", "_pod_server_latency_p95_s_"),
        ("CpuUsageRate(%)", "_cpu_usage_rate_pct_"),
        ("HTTPCode_Target_5XX_Count", "_http_code_target_5xx_count_"),
        ("P95Latency", "_p95_latency_"),
        ("http.server.duration", "_http_server_duration_"),
        ("duration (µs)", "_duration_us_"),
        ("  --  ", "__"),
    ],
)
def test_plain_form(name: str, plain: str) -> None:
    assert to_plain(name) == plain


@pytest.mark.parametrize(
    ("name", "family", "statistic", "unit"),
    [
        # Times of requests
        ("latency", "latency", "mean", ""),
        ("latency_Average", "latency", "mean", ""),
        ("latency_p50", "latency", "quantile", ""),
        ("latency_p99.9", "latency", "quantile", ""),
        ("max_latency_ms", "latency", "maximum", "ms"),
        ("min_latency", "latency", "value", ""),
        ("ServerLatencyP95(s)", "latency", "quantile", "s"),
        ("http_server_duration_p99_ms", "latency", "quantile", "ms"),
        ("http_request_duration_seconds", "latency", "mean", "s"),
        ("TargetResponseTime", "latency", "mean", ""),
        ("p95_from_gateway", "latency", "quantile", ""),
        ("retrieval_latency", "latency", "mean", ""),
        # Failures
        ("availability_Average", "errors", "success_ratio", None),
        ("success_rate", "errors", "success_ratio", None),
        ("SuccessRate(%)", "errors", "success_ratio", "%"),
        ("http_5xx_ratio", "errors", "error_ratio", "1"),
        ("http_401_unauthorized_ratio", "errors", "error_ratio", "1"),
        ("error_rate_pct", "errors", "error_ratio", "%"),
        ("5XXError_Average", "errors", "error_ratio", None),
        ("errors_total", "errors", "count", ""),
        ("timeouts", "errors", "count", ""),
        ("http_server_5xx_rate", "errors", "rate", ""),
        ("errors_per_second", "errors", "rate", ""),
        ("memory_service_error_ratio", "errors", "error_ratio", "1"),
        # Demand
        ("requests_Sum", "load", "count", ""),
        ("http_requests_total", "load", "count", ""),
        ("requests_per_sec", "load", "rate", ""),
        ("request_rate_rps", "load", "rate", ""),
        ("Workload(Ops)", "load", "rate", ""),
        ("throughput", "load", "rate", ""),
        ("records_enriched_per_min", "load", "rate", ""),
        ("http_request_duration_seconds_count", "load", "count", ""),
        ("TargetResponseTime_SampleCount", "load", "count", ""),
        ("success_count", "load", "count", ""),
        # Resources
        ("cpu_utilization", "cpu", "value", ""),
        ("CpuUsageRate(%)", "cpu", "value", "%"),
        ("container_cpu_cfs_throttled_seconds", "cpu", "value", "s"),
        ("MemoryUsage(Mi)", "memory", "value", "MiB"),
        ("container_oom_killed_total", "memory", "count", ""),
        ("jvm_gc_pause_seconds_max", "memory", "maximum", "s"),
        ("disk_used_pct", "disk", "value", "%"),
        ("disk_read_latency_ms", "disk", "value", "ms"),
        ("VolumeReadOps", "disk", "rate", ""),
        ("NetworkReceiveBytes", "network", "value", "B"),
        ("network_receive_errors_total", "network", "count", ""),
        ("tcp_retransmits", "network", "value", ""),
        # Up or down, and discrete codes
        ("pod_ready_replicas", "availability", "value", ""),
        ("pod_restart_total", "availability", "count", ""),
        ("job_status", "state", "value", ""),
        # What must not be taken for something of the component's own
        ("ClientLatencyP95(s)", "egress", "quantile", "s"),
        ("upstream_call_error_ratio", "generic", "value", "1"),
        ("rpc_client_error_rate", "generic", "rate", ""),
        ("p50_to_payments", "egress", "quantile", ""),
        ("egress_latency", "egress", "value", ""),
        ("NodeCpuUsageRate(%)", "host", "value", "%"),
        ("memory_limit_mb", "generic", "value", "MB"),
        ("request_queue_depth", "generic", "value", ""),
        ("db_pool_max_conns", "generic", "value", ""),
        ("request_duration_seconds_sum", "generic", "value", "s"),
        ("tls_cert_seconds_until_expiry", "generic", "value", "s"),
        ("queries_per_request", "generic", "value", ""),
        ("cache_hit_ratio", "generic", "value", "1"),
        ("search_result_count_avg", "generic", "mean", ""),
        ("default_value", "generic", "value", ""),
        ("温度", "generic", "value", ""),
    ],
)
def test_default_table(name: str, family: str, statistic: str, unit: str | None) -> None:
    assert DEFAULTS.classify(name) == Reading(Family(family), Statistic(statistic), unit)


def test_a_hosts_own_numbers_are_its_own() -> None:
    name = "node_cpu_utilization_ratio"
    assert DEFAULTS.classify(name, ComponentKind.SERVICE).family is Family.HOST
    assert DEFAULTS.classify(name, ComponentKind.HOST).family is Family.CPU


def test_the_first_own_rule_wins_and_comes_before_the_defaults() -> None:
    rules = FamilyRules(
        (Rule("^cpu", Family.STATE), Rule("cpu", Family.LOAD, Statistic.RATE, "Hz"))
    )
    assert rules.classify("cpu_usage") == Reading(Family.STATE, Statistic.VALUE, "")
    assert rules.classify("my_cpu") == Reading(Family.LOAD, Statistic.RATE, "Hz")
    assert rules.classify("latency").family is Family.LATENCY
    assert rules.classify_own("latency") is None


def test_a_rule_sees_the_name_as_written_and_in_plain_form() -> None:
    rules = FamilyRules((Rule(r"\(furlong\)$", Family.DISK), Rule("_fast_car_", Family.CPU)))
    assert rules.classify("Speed(furlong)").family is Family.DISK
    assert rules.classify("myFastCar").family is Family.CPU


def test_a_rule_may_be_meant_for_some_kinds() -> None:
    rules = FamilyRules((Rule("depth", Family.LOAD, kinds=(ComponentKind.QUEUE,)),))
    assert rules.classify("depth", ComponentKind.QUEUE).family is Family.LOAD
    assert rules.classify("depth").family is Family.GENERIC


TOML = r"""
[[rule]]
pattern = '^ct_ms$'
family = "latency"
statistic = "mean"
unit = "ms"

[[rule]]
pattern = '_depth_'
family = "load"
kinds = ["queue"]
"""


def test_rules_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text(TOML)
    assert FamilyRules.from_toml(file) == FamilyRules(
        (
            Rule("^ct_ms$", Family.LATENCY, Statistic.MEAN, "ms"),
            Rule("_depth_", Family.LOAD, kinds=(ComponentKind.QUEUE,)),
        )
    )
    file.write_text("")
    assert FamilyRules.from_toml(str(file)) == FamilyRules()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[[rule]", "is not TOML"),
        ("rules = 3", r"must hold \[\[rule\]\] tables and nothing else"),
        ("rule = 3", r"must hold \[\[rule\]\] tables"),
        ("rule = [3]", "rule 1 must be a table"),
        ("[[rule]]\npattern = 'a'", "rule 1 lacks 'family'"),
        ("[[rule]]\npattern = 'a'\nfamily = 'cpu'\nfoo = 1", "rule 1 has unknown key 'foo'"),
        ("[[rule]]\npattern = '('\nfamily = 'cpu'", "rule 1: pattern '\\(' is not a regular"),
        ("[[rule]]\npattern = 1\nfamily = 'cpu'", "rule 1: pattern 1 is not a regular"),
        ("[[rule]]\npattern = 'a'\nfamily = 'tea'", "rule 1: family must be one of latency"),
        ("[[rule]]\npattern = 'a'\nfamily = 'cpu'\nstatistic = 'x'", "statistic must be one of"),
        ("[[rule]]\npattern = 'a'\nfamily = 'cpu'\nunit = 1", "unit of pattern 'a' must be text"),
        ("[[rule]]\npattern = 'a'\nfamily = 'cpu'\nkinds = 'host'", "kinds must be an array"),
        ("[[rule]]\npattern = 'a'\nfamily = 'cpu'\nkinds = ['elf']", "kinds must be one of"),
    ],
)
def test_what_is_wrong_with_a_rules_file_is_named(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "rules.toml"
    file.write_text(text)
    with pytest.raises(InvalidSettingsError, match=rf"rules.toml: .*{problem}"):
        FamilyRules.from_toml(file)


def test_a_missing_rules_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettingsError, match=r"none.toml: cannot be read"):
        FamilyRules.from_toml(tmp_path / "none.toml")
