"""How often the labelled commit comes first: `python benches/python/score_changes.py DIR...`

Each DIR is a folder of labelled incidents (docs/backtest.md) whose truth.json names a
`root_cause_commit`, or something that is no change's id where none is to blame. Every incident is
answered as users are, by the screen, with the posterior over its causes unknown;
`score_trace_evidence.py` ranks changes given the true component. Printed per incident: the place of
the labelled commit among changes, its probability, and that of no change.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from bayesrca.analysis import analyze
from bayesrca.config import Method, Settings
from bayesrca.evaluation.run import load_case
from bayesrca.posterior.result import Changes

SCREEN = Settings(method=Method.SCREEN)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for folder in options.folders:
        tally: dict[str, list[bool]] = {"culprit commit first": [], "no change most probable": []}
        for path in sorted(p.parent for p in folder.glob("*/truth.json")):
            truth = json.loads((path / "truth.json").read_text(encoding="utf-8"))
            if "root_cause_commit" not in truth:
                continue
            answer = analyze(load_case(path, None), seed=options.seed, settings=SCREEN).answer
            shown = score(answer.changes, truth["root_cause_commit"], tally)
            print(path.name[:40].ljust(40), shown, flush=True)
        for name, hits in tally.items():
            print(f"{folder.name}: {name}: {sum(hits)} of {len(hits)}")


def score(changes: Changes | None, commit: str, tally: dict[str, list[bool]]) -> str:
    """Add one incident to the tally; a label that is no change's id says that none is to blame."""
    ranking = () if changes is None else changes.ranking
    none = 1.0 if changes is None else changes.none
    found = [(place, c.probability) for place, c in enumerate(ranking, 1) if c.id == commit]
    if not found:
        most = max((c.probability for c in ranking), default=0.0)
        tally["no change most probable"].append(none > most)
        return f"no culprit commit; no change {none:.2f}, the most probable {most:.2f}"
    place, p = found[0]
    tally["culprit commit first"].append(place == 1)
    return f"commit {place} ({p:.2f}); no change {none:.2f}"


if __name__ == "__main__":
    main()
