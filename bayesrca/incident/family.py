"""What a series measures: its family, and how its values summarise the underlying events."""

from __future__ import annotations

from enum import StrEnum


class Family(StrEnum):
    """What a series says about its component.

    ``AVAILABILITY`` is up or down (presence, readiness); success ratios belong to ``ERRORS``.
    ``EGRESS`` is the time it waits for those it calls; ``HOST`` what the machine under it reports.
    ``STATE`` holds discrete codes whose numbers have no order. ``GENERIC`` is everything else.
    """

    LATENCY = "latency"
    ERRORS = "errors"
    LOAD = "load"
    CPU = "cpu"
    MEMORY = "memory"
    DISK = "disk"
    NETWORK = "network"
    HOST = "host"
    EGRESS = "egress"
    AVAILABILITY = "availability"
    STATE = "state"
    GENERIC = "generic"


class Statistic(StrEnum):
    """How one value summarises what happened since the sample before it.

    ``MEAN``, ``QUANTILE``, ``MAXIMUM``: of the interval's events. ``COUNT``: number of events in
    the interval. ``RATE``: events per unit of time. ``SUCCESS_RATIO``, ``ERROR_RATIO``: shares of
    the interval's requests. ``VALUE``: a plain reading of a gauge.
    """

    MEAN = "mean"
    QUANTILE = "quantile"
    MAXIMUM = "maximum"
    COUNT = "count"
    RATE = "rate"
    SUCCESS_RATIO = "success_ratio"
    ERROR_RATIO = "error_ratio"
    VALUE = "value"
