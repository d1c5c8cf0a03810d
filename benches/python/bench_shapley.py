"""bayesrca's Shapley estimators beside shap, shapiq, lightshap, dowhy and shapley-numba.

    make bench-peers                                   install the peers in .venv-bench, run it all
    python benches/python/bench_shapley.py --quick     a minute; peers not installed are skipped
    python -m pytest benches/python                    bayesrca alone, at a tiny size

All estimators play the same arrays in one process, in turns, on one thread, and are compared by CPU
time. docs/benchmarks.md tells what the columns mean and what was measured last.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    # BLAS reads these when numpy is loaded; the helper package lies beside the repository's root.
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    os.environ.update(dict.fromkeys(names, "1"))
    sys.path.append(str(Path(__file__).resolve().parents[2]))

import numpy as np
import pytest

import bayesrca
from benches.python.shapley_peers import estimators as doors
from benches.python.shapley_peers import games, measure, report

SIZES = [20, 50, 200]


def measure_one(name: str, n: int, options: argparse.Namespace) -> list[measure.Row]:
    game = games.draw_game(name, n)
    say(f"{name} n={n}: truth")
    truth = measure.find_truth(game, options.truth_seconds, options.threads)
    say(f"{name} n={n}: warming up")
    prepared = doors.prepare(game, options.peers)
    rows = measure.measure_game(
        game, prepared, truth, repeats=options.repeats, seconds=options.seconds, say=say
    )
    say("")
    report.print_game(rows, truth, measure.count_disagreements(game))
    return rows


def say(line: str) -> None:
    """Where the run is, for whoever watches; the tables go to standard output."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)


def describe_machine() -> dict[str, str]:
    return {
        "machine": platform.machine(),
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def write(path: Path, rows: list[measure.Row], rest: dict[str, Any]) -> None:
    def row(r: measure.Row) -> dict[str, Any]:
        times = {f"seconds_to_{e:.0%}": asdict(r.time_to(e)) for e in (report.LOOSE, report.TIGHT)}
        return {**asdict(r), "evaluations_per_second": r.rate, "biased": r.biased, **times}

    path.write_text(json.dumps({**rest, "rows": [row(r) for r in rows]}, indent=1) + "\n")


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--games", nargs="+", choices=list(games.GAMES), default=list(games.GAMES), metavar="GAME"
    )
    parser.add_argument("--n", nargs="+", type=int, default=SIZES, help="numbers of players")
    parser.add_argument("--repeats", type=int, default=8, help="seeds per estimator and budget")
    parser.add_argument("--seconds", type=float, default=0.5, help="CPU of the longest single run")
    parser.add_argument("--truth-seconds", type=float, default=20.0, help="CPU of a sampled truth")
    parser.add_argument("--threads", type=int, default=1, help="for the truth only")
    parser.add_argument(
        "--peers", nargs="*", choices=list(doors.PEERS), default=list(doors.PEERS), metavar="PEER"
    )
    parser.add_argument("--quick", action="store_true", help="n = 20, 3 seeds, short runs")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a target is missed")
    options = parser.parse_args(arguments)
    if options.quick:
        options.n, options.repeats, options.seconds, options.truth_seconds = [20], 3, 0.05, 2.0
    return options


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    versions = {"bayesrca": bayesrca.__version__}
    for peer in options.peers:
        found = doors.installed(peer)
        if found is None:
            print(f"{peer}: skipped, {doors.PEERS[peer][0]} is not installed")
        else:
            versions[doors.PEERS[peer][0]] = found
    print(", ".join(f"{name} {found}" for name, found in (versions | describe_machine()).items()))
    rows: list[measure.Row] = []
    scaling = []
    for name in options.games:
        for n in options.n:
            rows += measure_one(name, n, options)
        game = games.draw_game(name, max(options.n))
        scaling.append(measure.measure_scaling(game, 4 * options.seconds, options.repeats))
    verdicts = list(report.judge(rows))
    report.print_targets(rows, verdicts)
    report.print_scaling(scaling)
    if options.json:
        rest = {
            "versions": versions | describe_machine(),
            "targets": [asdict(v) | {"met": v.met, "failed": v.failed} for v in verdicts],
            "threads": [asdict(s) for s in scaling],
        }
        write(options.json, rows, rest)
    return 1 if options.check and any(v.failed for v in verdicts) else 0


# ---- pytest


@pytest.mark.parametrize("name", games.GAMES)
def test_estimate_of_ten_players(benchmark: Any, name: str) -> None:  # noqa: ANN401
    game = games.draw_game(name, 10)
    estimator = doors.bayesrca(game)

    sample = benchmark(estimator.sample, 2048, 1)

    if isinstance(game, games.LIVE):
        truth = game.worlds(1 << 14, 1)
    else:
        truth = games.enumerate_shapley(game)
        assert measure.count_disagreements(game) == 0
    assert sample.evaluations > 0
    assert measure.rms(sample.values - truth) < 0.1 * measure.rms(truth)


def test_report_without_peers(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    tiny = "--n 10 --repeats 2 --seconds 0.002 --truth-seconds 0.01 --peers --check --json"

    assert main([*tiny.split(), str(path)]) == 0

    assert "LIVE n=10" in capsys.readouterr().out
    assert len(json.loads(path.read_text())["rows"]) == 5 * 4 + 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
