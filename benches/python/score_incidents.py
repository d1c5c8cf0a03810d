"""Score the screen on labelled incident folders: `python benches/python/score_incidents.py DIR...`

Each DIR is one incident folder with its labels in ``truth.json``, or a folder of such folders.
Prints per incident the most probable component, p(true) and k-hat, then top-1 and the mean natural
log of p(true) (floored at 1e-6). Incidents that cannot be analysed are listed and left out of the
means.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

from bayesrca.analysis import analyze
from bayesrca.config import Method, Settings
from bayesrca.errors import BayesRcaError
from bayesrca.ingest import load_incident, load_truth

FLOOR = 1e-6


def folders(arguments: list[str]) -> list[Path]:
    out: list[Path] = []
    for argument in arguments:
        path = Path(argument)
        inner = sorted(p.parent for p in path.glob("*/truth.json"))
        out += inner or [path]
    return out


def main(arguments: list[str]) -> None:
    scores, hits = [], 0
    for path in folders(arguments):
        try:
            roots = {name for name, _ in load_truth(path).root_causes}
            settings = Settings(method=Method.SCREEN)
            answer = analyze(load_incident(path), seed=1, settings=settings).answer
        except BayesRcaError as error:
            print(f"{path.name}: not analysed: {error}")
            continue
        p = {c.component: c.probability.value for c in answer.posterior.causes}
        true = [math.log(max(p.get(name, 0.0), FLOOR)) for name in roots]
        best = answer.posterior.causes[0]
        scores.append(sum(true) / len(true))
        hits += best.component in roots
        k = answer.diagnostics.pareto_k
        print(f"{path.name}: {best.component} {best.probability.value:.3f}, ", end="")
        print(f"p(true) {math.exp(scores[-1]):.3f}, k-hat {k:.2f}")
    if scores:
        mean = sum(scores) / len(scores)
        print(f"top-1 {hits}/{len(scores)}, mean log p(true) {mean:.3f}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
