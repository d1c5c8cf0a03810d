"""The words in a metric's name: its plain form, and the statistic and unit they state."""

from __future__ import annotations

import re

from bayesrca.incident import Family, Statistic

_WORD_BREAKS = (
    re.compile(r"(?<=[a-z])(?=[A-Z])"),  # latencyP95 -> latency P95
    re.compile(r"(?<=[0-9])(?=[A-Z][a-z])"),  # P95Latency -> P95 Latency, but not 5XX
    re.compile(r"(?<=[A-Z])(?=[A-Z][a-z])"),  # HTTPServer -> HTTP Server
)
_UNIT_SIGNS = {"%": "pct", "µ": "u", "μ": "u"}

_PER_TIME = r"_per_(s|sec|second|min|minute|h|hour|day)_"
_SHARE = re.compile(r"_(ratio|pct|percent|percentage|fraction|share)_")
_RATE = re.compile(rf"_(rate|qps|rps|tps|ops|lps|rpm|throughput|workload)_|{_PER_TIME}")
_QUANTILE = re.compile(r"_(p\d{2,}|quantile|percentile|median)_")
# At either end only: in the middle ("pool_max_size") it is a limit, not a statistic.
_MAXIMUM = re.compile(r"^_(max|maximum|peak)_|_(max|maximum|peak)_((n|u|m)?s_|seconds_|pct_)?$")
_MINIMUM = re.compile(r"_(min|minimum)_")
_MEAN = re.compile(r"_(avg|average|mean)_")
_COUNTED = re.compile(r"_(count|total|sum|events|kills|killed|faults|restarts?)_$")
_SUCCESS = re.compile(r"_(success\w*|availability|succeeded)_")
_GAUGES = (Family.CPU, Family.MEMORY, Family.STATE)  # a bare "rate" is a utilisation here

_UNITS = (
    (re.compile(r"_(pct|percent|percentage)_"), "%"),
    (re.compile(r"_(ratio|fraction)_"), "1"),
    (re.compile(r"_(milliseconds|millis|msec|ms)_"), "ms"),
    (re.compile(r"_(microseconds|micros|usec|us)_"), "us"),
    (re.compile(r"_(nanoseconds|nanos|nsec|ns)_"), "ns"),
    (re.compile(r"(?<!_per)_(seconds|secs)_|(?<!_per)_s_$"), "s"),
    (re.compile(r"_(kib|ki)_"), "KiB"),
    (re.compile(r"_(mib|mi)_"), "MiB"),
    (re.compile(r"_(gib|gi)_"), "GiB"),
    (re.compile(r"_(kilobytes|kb)_"), "kB"),
    (re.compile(r"_(megabytes|mb)_"), "MB"),
    (re.compile(r"_(gigabytes|gb)_"), "GB"),
    (re.compile(r"_bytes_"), "B"),
)


def to_plain(name: str) -> str:
    """Return the name as lower-case words, each between underscores.

    ``PodServerLatencyP95(s)`` becomes ``_pod_server_latency_p95_s_``, ``CpuUsageRate(%)`` becomes
    ``_cpu_usage_rate_pct_``: so ``_p95_`` finds the word whatever the spelling around it.
    """
    for sign, word in _UNIT_SIGNS.items():
        name = name.replace(sign, word)
    for words in _WORD_BREAKS:
        name = words.sub("_", name)
    return f"_{re.sub(r'[^a-z0-9]+', '_', name.lower()).strip('_')}_"


def infer_statistic(plain: str, family: Family) -> Statistic:
    """Return how the values of such a metric summarise their intervals, by its words."""
    if family is Family.ERRORS:
        return _error_statistic(plain)
    if _QUANTILE.search(plain):
        return Statistic.QUANTILE
    if family is Family.LOAD:
        return Statistic.RATE if _RATE.search(plain) else Statistic.COUNT
    if _MAXIMUM.search(plain):
        return Statistic.MAXIMUM
    if family is Family.LATENCY:
        return Statistic.VALUE if _MINIMUM.search(plain) else Statistic.MEAN
    return _reading_statistic(plain, family)


def _error_statistic(plain: str) -> Statistic:
    if _SUCCESS.search(plain):
        return Statistic.SUCCESS_RATIO
    # The mean over requests of "this one failed" is the share of failures.
    if _SHARE.search(plain) or _MEAN.search(plain):
        return Statistic.ERROR_RATIO
    return Statistic.RATE if _RATE.search(plain) else Statistic.COUNT


def _reading_statistic(plain: str, family: Family) -> Statistic:
    if _SHARE.search(plain):
        return Statistic.VALUE
    if _RATE.search(plain) and family not in _GAUGES:
        return Statistic.RATE
    if _MEAN.search(plain):
        return Statistic.MEAN
    return Statistic.COUNT if _COUNTED.search(plain) else Statistic.VALUE


def infer_unit(plain: str, family: Family, statistic: Statistic) -> str | None:
    """Return the unit a name states, empty when none, None for a ratio of unstated scale."""
    if statistic in (Statistic.COUNT, Statistic.RATE) or family is Family.LOAD:
        return ""
    for words, unit in _UNITS:
        if words.search(plain):
            return unit
    if statistic in (Statistic.SUCCESS_RATIO, Statistic.ERROR_RATIO):
        return None
    return ""
