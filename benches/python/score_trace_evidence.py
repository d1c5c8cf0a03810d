"""What spans, logs and changes say alone: `python benches/python/score_trace_evidence.py DIR...`

Each DIR is a folder of labelled incidents (docs/backtest.md). Printed per incident: CPU seconds of
the reduction; the rank of the labelled component by each family by itself (own patterns, own self
times; of calls to it the largest gap, terminal and order factor), where - says that the family has
nothing to tell of it; the rank of the labelled code region given the component; and the rank of the
labelled commit among changes, given the component, with the probability of no change.

This is for finding faults in the evidence, not for choosing constants.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesrca.evidence.trace_build import build_trace_evidence
from bayesrca.evidence.trace_evidence import TraceEvidence
from bayesrca.incident import Incident, TimeWindow
from bayesrca.ingest import load_incident
from bayesrca.posterior.changes import compute_change_posterior

Floats = NDArray[np.float64]

GIVEN = 0.8
"""Probability of the labelled component when changes are ranked given it."""
_LINE = re.compile(r"([\w$.]+)#(\d+)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    for folder in parser.parse_args().folders:
        tally: dict[str, list[bool]] = {}
        for path in sorted(p.parent for p in folder.glob("*/truth.json")):
            truth = json.loads((path / "truth.json").read_text(encoding="utf-8"))
            if truth["abnormal_window"] is not None:
                print(path.name[:40].ljust(40), score(path, truth, tally), flush=True)
        for name, hits in tally.items():
            print(f"{folder.name}: {name}: {sum(hits)} of {len(hits)}")


def score(path: Path, truth: dict[str, Any], tally: dict[str, list[bool]]) -> str:
    incident = load_incident(path)
    start = time.process_time()
    evidence = build_trace_evidence(incident, TimeWindow(*truth["abnormal_window"]))
    seconds = time.process_time() - start
    if evidence is None:
        return "no spans, logs or changes"
    names = incident.topology.names
    i = names.index(truth["root_causes"][0]["component"])
    families = {
        "P": evidence.own_pattern,
        "S": evidence.own_self_time,
        "G": into(evidence, evidence.edge_gap, len(names)),
        "T": into(evidence, evidence.edge_terminal, len(names)),
        "O": into(evidence, evidence.edge_order, len(names)),
    }
    shown = [f"{seconds:.2f} s", *(f"{k} {rank(x, i)}" for k, x in families.items())]
    for name, x in families.items():
        if np.isfinite(x[i]):
            tally.setdefault(f"first by {name}", []).append(rank(x, i).startswith("1 "))
    if _LINE.search(str(truth.get("inner_label"))):
        place = rank_region(evidence, i, truth["inner_label"])
        tally.setdefault("code region first", []).append(place == 1)
        shown.append(f"region {place}")
    if "root_cause_commit" in truth:
        shown.append(rank_change(evidence, incident, i, truth["root_cause_commit"], tally))
    return "  ".join(shown)


def into(evidence: TraceEvidence, factor: Floats, n: int) -> Floats:
    """Largest factor of the calls to each component."""
    out = np.full(n, np.nan)
    np.fmax.at(out, evidence.edge_target, factor)
    return out


def rank(x: Floats, i: int) -> str:
    if np.isnan(x[i]):
        return "-"
    return f"{int(np.nansum(x > x[i])) + 1} ({x[i]:+.1f})"


def rank_region(evidence: TraceEvidence, i: int, label: str) -> int:
    """Rank of the first region in the label: one of its lines, or one that lies between them."""
    lines = [(found[1].rpartition(".")[2], int(found[2])) for found in _LINE.finditer(label)]
    low = 0 if "start" in label else min(line for _, line in lines)
    high = max(line for _, line in lines)
    regions = [r.region for r in evidence.regions if r.component == i]
    for place, region in enumerate(regions, start=1):
        found = _LINE.fullmatch(region)
        if found is None or found[1].rpartition(".")[2] not in {name for name, _ in lines}:
            continue
        if low <= int(found[2]) <= high:
            return place
    return len(regions) + 1


def rank_change(
    evidence: TraceEvidence,
    incident: Incident,
    i: int,
    commit: str | None,
    tally: dict[str, list[bool]],
) -> str:
    n = len(incident.topology)
    probability = np.full(n, (1.0 - GIVEN) / max(n - 1, 1))
    probability[i] = GIVEN if n > 1 else 1.0
    posterior = compute_change_posterior(evidence.changes, probability, np.ones(n))
    ids = [{incident.events[row].id for row in c.rows} for c in posterior.ranking]
    place = next((p for p, of in enumerate(ids, start=1) if commit in of), None)
    if place is not None:
        tally.setdefault("culprit commit first", []).append(place == 1)
    else:
        nothing = posterior.none > posterior.probability.max(initial=0.0)
        tally.setdefault("no change most probable", []).append(bool(nothing))
    return f"commit {place or 'none'}  no change {posterior.none:.2f}"


if __name__ == "__main__":
    main()
