"""Run an analysis over labelled incidents, in this process or in several."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from bayesrca.analysis import analyze
from bayesrca.config import Method, Settings
from bayesrca.errors import BayesRcaError, IncidentFormatError
from bayesrca.evaluation.cases import DataSet, Labels, read_labels
from bayesrca.evaluation.outcome import (
    DataSetResult,
    NormalOutcome,
    Outcome,
    Prediction,
    read_answer,
)
from bayesrca.evaluation.periods import (
    Recording,
    Telemetry,
    cut_normal,
    cut_online,
    find_quiet_windows,
    hide_telemetry,
    record_normal,
)
from bayesrca.evaluation.workers import work
from bayesrca.incident import Incident, TimeWindow
from bayesrca.ingest import FamilyRules, SharedNormal, load_incident
from bayesrca.ingest.folder import folder_name
from bayesrca.model import warm

MOST_WINDOWS = 200
"""Normal windows taken of one data set at most, evenly among those there are."""


class Mode(StrEnum):
    """What an analysis may see.

    ``RETROSPECTIVE``: the whole incident window, and normal samples on either side of it.
    ``ONLINE``: what was known shortly after it began (`bayesrca.evaluation.periods.cut_online`).
    """

    RETROSPECTIVE = "retrospective"
    ONLINE = "online"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How every case is analysed.

    Attributes:
        settings: settings of the analysis.
        seed: its seed, the same for every case: `analyze` with it repeats any one of them.
        mode: what the analysis may see.
        families: rules from metric names to families, or None.
        normal_windows: whether normal windows are given as incidents too.
        own_normal: whether cases are compared with no normal recording of their data set.
        without: telemetry that no analysis sees.
    """

    settings: Settings
    seed: int
    mode: Mode = Mode.RETROSPECTIVE
    families: FamilyRules | None = None
    normal_windows: bool = False
    own_normal: bool = False
    without: frozenset[Telemetry] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What a run came to.

    Attributes:
        data_sets: their outcomes; cases the run did not reach are left out.
        done: analyses that were made.
        planned: analyses that were to be made.
        stopped: why the run ended early; empty when it did not.
    """

    data_sets: tuple[DataSetResult, ...]
    done: int
    planned: int
    stopped: str = ""


@dataclass(frozen=True, slots=True)
class _Task:
    data_set: int
    case: Path
    quiet: TimeWindow | None = None


@dataclass(frozen=True, slots=True)
class _Done:
    prediction: Prediction | None
    reason: str
    cpu_seconds: float


def run_backtest(
    data_sets: Sequence[DataSet],
    plan: Plan,
    *,
    jobs: int = 1,
    tell: Callable[[int, int], None] | None = None,
) -> Results:
    """Analyse every case and set the answers beside the labels.

    The labels are read here and never reach an analysis. An interrupt (Ctrl-C) ends the run and
    returns what there is. The numbers are the same for any number of jobs, CPU seconds apart.

    Args:
        data_sets: the cases, see `bayesrca.evaluation.cases.find_data_sets`.
        plan: how to analyse them.
        jobs: processes that work at once (>= 1); 1 works in this process.
        tell: told how many analyses are done, of how many.
    """
    labels: dict[Path, Labels | str] = {c: _labels(c) for d in data_sets for c in d.cases}
    tasks = [
        _Task(i, case)
        for i, d in enumerate(data_sets)
        for case in d.cases
        if isinstance(labels[case], Labels)
    ]
    if plan.normal_windows:
        tasks += [_Task(i, *at) for i, d in enumerate(data_sets) for at in _quiet_windows(d, plan)]
    done: dict[int, _Done] = {}
    stopped = ""
    try:
        with closing(work(tasks, partial(_answer, plan), jobs)) as answers:
            for i, answered in answers:
                done[i] = answered
                if tell is not None:
                    tell(len(done), len(tasks))
    except KeyboardInterrupt:
        stopped = "interrupted"
    except BrokenProcessPool:
        stopped = "a worker process died, perhaps for want of memory; use fewer --jobs"
    finished = [(tasks[i], done[i]) for i in sorted(done)]
    return Results(
        data_sets=tuple(
            _result(d, labels, [(t, a) for t, a in finished if t.data_set == i], plan)
            for i, d in enumerate(data_sets)
        ),
        done=len(done),
        planned=len(tasks),
        stopped=stopped,
    )


def _labels(case: Path) -> Labels | str:
    try:
        return read_labels(case)
    except IncidentFormatError as error:
        return str(error)


def _quiet_windows(data_set: DataSet, plan: Plan) -> list[tuple[Path, TimeWindow]]:
    """Normal windows of a data set, no two of which overlap."""
    recordings: list[Recording] = []
    windows: list[tuple[Path, TimeWindow]] = []
    for case in data_set.cases:
        try:
            incident = load_incident(case, families=plan.families)
        except BayesRcaError:
            continue  # the case itself is listed as a failure
        normal = record_normal(incident)
        windows += [(case, w) for w in find_quiet_windows(incident, normal, recordings)]
        recordings.append(normal)
    n = len(windows)
    return [windows[int(i)] for i in np.unique(np.linspace(0, n - 1, min(n, MOST_WINDOWS)).round())]


def _result(
    data_set: DataSet,
    labels: dict[Path, Labels | str],
    finished: list[tuple[_Task, _Done]],
    plan: Plan,
) -> DataSetResult:
    outcomes, normal = [], []
    for task, answered in finished:
        known = labels[task.case]
        if task.quiet is not None:
            normal.append(
                NormalOutcome(
                    case=folder_name(task.case),
                    prediction=answered.prediction,
                    reason=answered.reason,
                )
            )
        elif isinstance(known, Labels):
            outcomes.append(
                Outcome(
                    case=folder_name(task.case),
                    truth=known.truth,
                    fault=known.fault,
                    prediction=answered.prediction,
                    reason=answered.reason,
                    cpu_seconds=answered.cpu_seconds,
                )
            )
    reasons = ((folder_name(c), labels[c]) for c in data_set.cases)
    return DataSetResult(
        name=folder_name(data_set.folder),
        outcomes=tuple(outcomes),
        unlabelled=tuple((name, why) for name, why in reasons if isinstance(why, str)),
        normal=tuple(normal) if plan.normal_windows else None,
    )


def _answer(plan: Plan, task: _Task) -> _Done:
    """Analyse one case. Only the incident is read: its labels are not part of it."""
    if plan.settings.method is Method.NUTS:
        warm()  # once per process, and no part of what a case costs
    begun = time.process_time()
    prediction, reason = None, ""
    try:
        incident = load_case(task.case, plan.families, own_normal=plan.own_normal)
        if plan.without:
            incident = hide_telemetry(incident, plan.without)
        if task.quiet is not None:
            incident = cut_normal(incident, task.quiet)
        if plan.mode is Mode.ONLINE:
            incident = cut_online(incident)
        prediction = read_answer(analyze(incident, seed=plan.seed, settings=plan.settings).answer)
    except BayesRcaError as error:
        reason = str(error)
    except Exception as error:  # a bug met in one case must not cost the others
        reason = f"unexpected {type(error).__name__}: {error}"
    return _Done(prediction, reason, time.process_time() - begun)


def load_case(case: Path, families: FamilyRules | None, *, own_normal: bool = False) -> Incident:
    """Read a case, to be compared with the normal recordings of its data set.

    Args:
        case: its folder.
        families: rules that say what a metric measures by its name.
        own_normal: compare it with its own alone.

    Raises:
        BayesRcaError: it cannot be read.
    """
    incident = load_incident(case, families=families)
    if own_normal:
        return incident
    folder = case.resolve()
    return _shared(folder.parent, families).add_to(incident, folder)


@lru_cache(maxsize=1)  # cases of one data set come one after the other
def _shared(data_set: Path, families: FamilyRules | None) -> SharedNormal:
    return SharedNormal(data_set, families)
