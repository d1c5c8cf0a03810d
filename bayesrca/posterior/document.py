"""The stable JSON form of an answer (docs/json.md)."""

from __future__ import annotations

import json
from dataclasses import asdict
from hashlib import sha256
from math import isfinite
from typing import Any

from bayesrca.attribution.shares import ExcessAttribution
from bayesrca.posterior.result import Answer, Cause, CauseSet, Level, Probability, Region

SCHEMA = 2
"""Number of the document's form; grows when a key is removed or changes its meaning."""


def answer_document(answer: Answer) -> dict[str, Any]:
    """Return the answer as plain dicts, lists, strings, numbers, booleans and None.

    Numbers are exact: parsing the JSON gives back the same doubles.
    """
    return {
        "schema": SCHEMA,
        "incident": answer.incident,
        "method": answer.method,
        "healthy": answer.healthy,
        "may_act": answer.may_act,
        "alarm": _plain(asdict(answer.alarm)),
        "interval_mass": answer.interval_mass,
        "ambiguity": _plain(asdict(answer.posterior.ambiguity)),
        "none": _probability(answer.posterior.none),
        "causes": [_cause(c) for c in answer.posterior.causes],
        "sets": [_set(s) for s in answer.posterior.sets],
        "levels": [_level(level) for level in answer.posterior.levels],
        "changes": None if answer.changes is None else _plain(asdict(answer.changes)),
        "onsets": [asdict(onset) for onset in answer.onsets],
        "attribution": _attribution(answer.attribution),
        "diagnostics": _plain(asdict(answer.diagnostics)),
        "notes": list(answer.notes),
        "seed": answer.seed,
        "versions": dict(answer.versions),
        "timings": dict(answer.timings),
    }


def hash_answer(answer: Answer) -> str:
    """SHA-256 of everything an answer says, 64 hexadecimal digits.

    Of the canonical JSON of its document without ``timings``: the same for every run that gives the
    same numbers, and for an answer that was written as JSON and read back.
    """
    document = {key: part for key, part in answer_document(answer).items() if key != "timings"}
    text = json.dumps(_plain(document), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return sha256(text.encode()).hexdigest()


def _probability(p: Probability) -> dict[str, Any]:
    return {"probability": p.value, "mcse": p.mcse, "interval": list(p.interval)}


def _cause(cause: Cause) -> dict[str, Any]:
    return {
        "component": cause.component,
        "kind": cause.kind,
        "kinds": dict(cause.kinds),
        **_probability(cause.probability),
        "only": _probability(cause.only),
        "explains": {**_plain(asdict(cause.explains)), "regions": _regions(cause.explains.regions)},
    }


def _regions(regions: tuple[Region, ...]) -> list[dict[str, Any]]:
    return [
        {
            "region": r.region,
            "change": r.change,
            "probability": r.probability,
            "at_fault": None if r.at_fault is None else _probability(r.at_fault),
        }
        for r in regions
    ]


def _set(cause_set: CauseSet) -> dict[str, Any]:
    return {"components": list(cause_set.components), **_probability(cause_set.probability)}


def _level(level: Level) -> dict[str, Any]:
    nodes = [{"component": n.component, **_probability(n.probability)} for n in level.nodes]
    return {"kind": level.kind, "nodes": nodes}


def _attribution(attribution: ExcessAttribution | None) -> dict[str, Any] | None:
    return None if attribution is None else dict(_plain(asdict(attribution)))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not isfinite(value):
        return None  # an undefined diagnostic, such as the k-hat of too few draws
    return value
