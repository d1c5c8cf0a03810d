"""What a policy would have done: `python benches/python/gate_on_incidents.py DIR... [--seed N]`

Each DIR is a labelled incident, a folder of such, or a folder of data sets (docs/backtest.md).
Every incident is analysed by the screen as `bayesrca backtest` does it, and decided on at the same
moment by policies that cover any component, by whose losses acting pays from a probability of .5
on, and that differ in the threshold of p(cause), in the bound that is compared with it, and in
whether the explained share is asked for (at least .5; a share that is not known is reviewed).

Printed per data set and policy: cases, runs with how many named a true cause, reviews, holds, and
how often each check stood in the way. Normal runs of a data set are used where there are any.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import replace
from pathlib import Path

from bayesrca.analysis import analyze
from bayesrca.config import Method, Settings
from bayesrca.decision import (
    Bound,
    Decision,
    ExplainedShareRule,
    LossTable,
    Policy,
    RateLimit,
    Scope,
    Thresholds,
    Verdict,
    decide,
)
from bayesrca.errors import BayesRcaError
from bayesrca.evaluation.cases import find_data_sets, read_labels
from bayesrca.evaluation.run import load_case
from bayesrca.posterior.result import Answer

BASE = Policy(
    runbook="any",
    reversible=True,
    scope=Scope(patterns=("*",)),
    loss=LossTable(act_right=0.0, act_wrong=1.0, wait_right=1.0, wait_wrong=0.0),
    rate_limit=RateLimit(runs=1, window_seconds=1.0),
)
NOT_ASKED = ExplainedShareRule(minimum=0.0, unknown=Verdict.RUN)
POLICIES = {
    "p >= .9, share asked": BASE,
    "p >= .9": replace(BASE, explained_share=NOT_ASKED),
    "p >= .8": replace(BASE, explained_share=NOT_ASKED, thresholds=Thresholds(p_cause=0.8)),
    "p >= .8, by MC error": replace(
        BASE, explained_share=NOT_ASKED, thresholds=Thresholds(p_cause=0.8, bound=Bound.MCSE)
    ),
}


def answer_of(case: Path, seed: int) -> Answer:
    """Analyse a case by the screen, with the normal recordings of its data set."""
    return analyze(load_case(case, None), seed=seed, settings=Settings(method=Method.SCREEN)).answer


def decide_now(answer: Answer, policy: Policy) -> Decision:
    """Decide on an answer that was made this moment, on a runbook that never ran."""
    return decide(answer, policy, now=0.0, analyzed_at=0.0, history=(), kill_switch=False)


def main() -> None:
    """Analyse, decide and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for data_set in find_data_sets(arguments.paths):
        found: dict[str, Counter[str]] = {name: Counter() for name in POLICIES}
        skipped = 0
        for case in data_set.cases:
            try:
                truth, answer = read_labels(case).truth, answer_of(case, arguments.seed)
            except BayesRcaError:
                skipped += 1
                continue
            for name, policy in POLICIES.items():
                decision = decide_now(answer, policy)
                found[name][decision.verdict] += 1
                if decision.verdict is Verdict.RUN:
                    found[name]["right"] += decision.component in truth
                found[name].update(f"  {check.name}" for check in decision.reasons)
        print(f"{data_set.name}: {len(data_set.cases) - skipped} cases, {skipped} not analysed")
        for name, n in found.items():
            reasons = ", ".join(f"{k.strip()} {v}" for k, v in n.most_common() if k[0] == " ")
            print(
                f"  {name:22} RUN {n[Verdict.RUN]} ({n['right']} right), "
                f"REVIEW {n[Verdict.REVIEW]}, HOLD {n[Verdict.HOLD]}; {reasons}",
                flush=True,
            )


if __name__ == "__main__":
    main()
