"""The results of a backtest as text for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bayesrca.evaluation.gates import FEWEST_CLUSTERS, THRESHOLDS, Gate
from bayesrca.evaluation.outcome import DataSetResult
from bayesrca.evaluation.run import Results
from bayesrca.evaluation.summary import (
    NO_INCIDENT_THRESHOLD,
    Scores,
    compute_scores,
    count_false_alarms,
    group_by_fault,
)

NAMED = 3
"""Cases named for each reason of failure; the JSON names them all."""


def render(results: Results) -> RenderableType:
    """Return the results as a rich renderable: accuracy, gates, false alarms, failures."""
    rows = [row for r in results.data_sets for row in score_rows(r)]
    parts: list[RenderableType] = []
    if results.stopped:
        stop = f"STOPPED ({results.stopped}): {results.done} of {results.planned} analyses."
        parts += [Text(stop, style="bold red"), Text()]
    parts += score_tables(rows)
    for r in results.data_sets:
        if r.normal is not None:
            parts += [Text(), Text(_false_alarms(r))]
    for r in results.data_sets:
        parts += [Text(line) for line in _failures(r)]
    return Group(*parts)


_INDENT = "  "
_GATE_NOTE = (
    "A gate fires on the most probable component of a healthy answer. Precision: right / fired, "
    "with a 95% interval clustered by (root causes, fault); n.e.: not estimable, fewer than "
    f"{FEWEST_CLUSTERS} clusters. Kinds of fault in which no gate fired are left out."
)


def score_tables(rows: Sequence[tuple[str, Scores]]) -> list[RenderableType]:
    """Return accuracy and gates of named scores, with a note on how to read them."""
    return [_accuracy(rows), Text(), _gates(rows), Text(_GATE_NOTE, style="dim")]


def score_rows(result: DataSetResult) -> Iterator[tuple[str, Scores]]:
    """Yield the scores of a data set, and of each kind of fault when it has several."""
    yield result.name, compute_scores(result.outcomes)
    groups = group_by_fault(result.outcomes)
    if len(groups) > 1:
        for fault, group in groups.items():
            yield f"{_INDENT}{fault}", compute_scores(group)


def _accuracy(rows: Sequence[tuple[str, Scores]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("data set, fault", overflow="fold")
    columns = "n top-1 top-3 top-5 MRR MAP@3 log set-log Brier ECE healthy CPU-s"
    for name in columns.split():
        table.add_column(name, justify="right")
    for name, s in rows:
        table.add_row(
            Text(name),
            str(s.n),
            *(_number(x) for x in (s.top1, s.top3, s.top5, s.mrr, s.map3)),
            *(_number(x) for x in (s.log_score, s.set_log_score)),
            _number(s.brier, digits=4),
            _number(s.ece, digits=4),
            _number(s.converged),
            _number(s.cpu_seconds_per_case, digits=2),
        )
    return table


def _gates(rows: Sequence[tuple[str, Scores]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("gates", overflow="fold")
    for threshold in THRESHOLDS:
        table.add_column(f"{threshold:g}: coverage", justify="right")
        table.add_column("precision", justify="right")
        table.add_column("interval", justify="right")
    for name, s in rows:
        if name.startswith(_INDENT) and not any(gate.n for gate in s.gates.values()):
            continue
        cells = [cell for t in THRESHOLDS for cell in _gate(s.gates[t])]
        table.add_row(Text(name), *cells)
    return table


def _gate(gate: Gate) -> tuple[str, str, str]:
    if gate.interval is not None:
        interval = f"{gate.interval[0]:.2f} - {gate.interval[1]:.2f}"
    else:
        interval = "n.e." if gate.n else ""
    precision = (
        f"{gate.precision:.2f} {gate.right}/{gate.n}" if gate.precision is not None else "0/0"
    )
    return _number(gate.coverage, digits=2), precision, interval


def _false_alarms(result: DataSetResult) -> str:
    alarms = count_false_alarms(result.normal or ())
    failed = f"; {alarms.failed} could not be analysed" if alarms.failed else ""
    return (
        f"No incident, {result.name}: {alarms.fired}/{alarms.n} normal windows fire at "
        f"{NO_INCIDENT_THRESHOLD:g}{failed}."
    )


def _failures(result: DataSetResult) -> Iterator[str]:
    """One line for each reason, worst first."""
    reasons: dict[str, list[str]] = {}
    for outcome in result.outcomes:
        if outcome.prediction is None:
            reasons.setdefault(f"failed, counted as a miss: {outcome.reason}", []).append(
                outcome.case
            )
    for case, reason in result.unlabelled:
        reasons.setdefault(f"left out: {reason}", []).append(case)
    for reason, cases in sorted(reasons.items(), key=lambda item: -len(item[1])):
        more = f" and {len(cases) - NAMED} more" if len(cases) > NAMED else ""
        yield f"{result.name}: {', '.join(cases[:NAMED])}{more}: {reason}"


def _number(value: float | None, *, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
