"""Made-up outcomes, and folders of small incidents whose answers are known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from bayesrca.evaluation.outcome import Outcome, Prediction
from bayesrca.incident import Incident
from bayesrca.ingest import save_incident


def make_prediction(
    p: Sequence[float],
    none: float = 0.0,
    *,
    healthy: bool = True,
    anomalous: bool = True,
    sets: dict[frozenset[str], float] | None = None,
) -> Prediction:
    """Components c0, c1, ... with these probabilities."""
    names = tuple(f"c{i}" for i in range(len(p)))
    single = {frozenset({name}): value for name, value in zip(names, p, strict=True)}
    return Prediction(
        components=names,
        probabilities=tuple(p),
        none=none,
        sets=single if sets is None else sets,
        healthy=healthy,
        anomalous=anomalous,
    )


def make_outcome(
    p: Sequence[float] | None,
    truth: Sequence[str],
    none: float = 0.0,
    *,
    fault: str | None = "slow",
    healthy: bool = True,
    case: str = "case",
) -> Outcome:
    """A case answered with these probabilities, or one that failed."""
    return Outcome(
        case=case,
        truth=tuple(truth),
        fault=fault,
        prediction=None if p is None else make_prediction(p, none, healthy=healthy),
        reason="" if p is not None else "no series",
        cpu_seconds=0.5,
    )


def save_case(
    incident: Incident, path: Path, truth: Sequence[str], fault: str | None = "slow"
) -> Path:
    """Write a labelled incident folder."""
    save_incident(incident, path)
    label(path, truth, fault)
    return path


def label(path: Path, truth: Sequence[str], fault: str | None = "slow") -> None:
    """Put labels into an incident folder."""
    file = path / "truth.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    content["root_causes"] = [{"component": name, "metric": None} for name in truth]
    content["fault_type"] = fault
    file.write_text(json.dumps(content), encoding="utf-8")
