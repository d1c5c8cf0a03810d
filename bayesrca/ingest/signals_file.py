"""signals.json: what each series measures, where its name does not say it or says it wrongly."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bayesrca.incident import ComponentKind, Family, Signal, Statistic, Topology
from bayesrca.ingest._files import (
    expect_known_keys,
    expect_object,
    expect_text,
    read_json,
    reject,
)
from bayesrca.ingest.families import FamilyRules
from bayesrca.ingest.metrics_file import SEPARATOR, Table
from bayesrca.ingest.rule import Reading

FILE_NAME = "signals.json"

# A share above this cannot be a plain ratio, even with noise round 1: it is in percent.
_PLAIN_RATIO_LIMIT = 1.5


def read_signals(
    path: Path, table: Table, topology: Topology, rules: FamilyRules
) -> tuple[Signal, ...]:
    """Return the series of a table with what they measure.

    The caller's own rules come first, then the signals file, then the default rules. Where nothing
    states the scale of a ratio, it is percent if any series of that metric exceeds 1.5.

    Raises:
        IncidentFormatError: the signals file is not JSON, has the wrong shape, or names a series
            that the table does not hold.
        InvalidIncidentError: a series holds an infinite value.
    """
    stated = _read_stated(path, table)
    kinds = {component.name: component.kind for component in topology.components}
    units = _ratio_units(table)
    signals = []
    for component, metric, values in table.series:
        reading = _read_one(stated, rules, component, metric, kinds[component])
        unit = units[metric] if reading.unit is None else reading.unit
        signals.append(
            Signal(component, metric, reading.family, reading.statistic, table.time, values, unit)
        )
    return tuple(signals)


def _read_one(
    stated: dict[str, dict[str, str]],
    rules: FamilyRules,
    component: str,
    metric: str,
    kind: ComponentKind,
) -> Reading:
    own = rules.classify_own(metric, kind)
    if own is not None:
        return own
    by_name = rules.classify(metric, kind)
    entry = stated.get(f"{component}{SEPARATOR}{metric}", {})
    return Reading(
        Family(entry.get("family", by_name.family)),
        Statistic(entry.get("statistic", by_name.statistic)),
        entry.get("unit", by_name.unit),
    )


def _read_stated(path: Path, table: Table) -> dict[str, dict[str, str]]:
    content = read_json(path)
    if content is None:
        return {}
    stated: dict[str, dict[str, str]] = expect_object(path, content)
    series = {f"{component}{SEPARATOR}{metric}" for component, metric, _ in table.series}
    for name, entry in stated.items():
        if name not in series:
            reject(path, f"{name!r} is not a column of the metrics file; correct or remove it")
        expect_object(path, entry, repr(name))
        expect_known_keys(path, entry, {"family", "statistic", "unit"}, repr(name))
        for key, value in entry.items():
            expect_text(path, value, f"{key} of {name!r}")
        for key, vocabulary in (("family", Family), ("statistic", Statistic)):
            if key in entry and entry[key] not in set(vocabulary):
                known = ", ".join(vocabulary)
                reject(path, f"{key} of {name!r} must be one of {known}; got {entry[key]!r}")
    return stated


def _ratio_units(table: Table) -> dict[str, str]:
    """Return ``%`` or ``1`` for each metric, were it a ratio, by its largest value anywhere."""
    largest: dict[str, float] = {}
    for _, metric, values in table.series:
        top = float(np.fmax.reduce(values, initial=0.0))
        largest[metric] = max(largest.get(metric, 0.0), top)
    return {metric: "%" if top > _PLAIN_RATIO_LIMIT else "1" for metric, top in largest.items()}


def signals_to_json(signals: Sequence[Signal]) -> dict[str, Any]:
    """Return the content of the signals file that states all of these series."""
    return {
        f"{signal.component}{SEPARATOR}{signal.name}": {
            "family": signal.family.value,
            "statistic": signal.statistic.value,
            "unit": signal.unit,
        }
        for signal in signals
    }
