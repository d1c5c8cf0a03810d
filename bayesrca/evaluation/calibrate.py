"""Calibration on injected faults: do stated probabilities hold in the noise of a real system?"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from bayesrca.analysis import analyze
from bayesrca.config import Settings
from bayesrca.errors import BayesRcaError, InvalidIncidentError
from bayesrca.evaluation.cases import DataSet
from bayesrca.evaluation.inject import NO_CULPRIT, Injected, Part, inject
from bayesrca.evaluation.outcome import DataSetResult, Outcome, Prediction, read_answer
from bayesrca.evaluation.run import load_case
from bayesrca.evaluation.workers import work
from bayesrca.ingest import FamilyRules
from bayesrca.ingest.folder import folder_name

_CYCLE = 15
"""Of so many incidents one is of each part without a culprit and two have two causes."""
_PARTS = {2: Part.CAUSES, 10: Part.CAUSES, 4: Part.HIDDEN, 9: Part.NOISE, 14: Part.QUIET}
_CASES_TRIED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationPlan:
    """How incidents are made and analysed.

    Attributes:
        settings: settings of every analysis.
        seed: of the incidents and of every analysis.
        n: incidents to make of each data set.
        families: rules from metric names to families, or None.
    """

    settings: Settings
    seed: int
    n: int
    families: FamilyRules | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One injected incident and its answer.

    Attributes:
        part: what sort of incident it is.
        outcome: its truth, empty for the parts without a culprit, and its answer. ``case`` is the
            folder whose normal period it was made from.
        target: the component that raised the alarm, or None.
        stand_ins: with `Part.HIDDEN`, components that nothing tells from the hidden cause.
    """

    part: Part
    outcome: Outcome
    target: str | None = None
    stand_ins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What one data set came to.

    Attributes:
        name: the data set's name.
        trials: those that were answered, or failed to be.
        unmade: why incidents could not be made, once for each.
    """

    name: str
    trials: tuple[Trial, ...]
    unmade: tuple[str, ...] = ()

    @property
    def culprits(self) -> DataSetResult:
        """The incidents with a cause, as a backtest has them."""
        found = (t.outcome for t in self.trials if t.part not in NO_CULPRIT)
        return DataSetResult(name=self.name, outcomes=tuple(found))

    @property
    def everything(self) -> tuple[Outcome, ...]:
        """All incidents: where there is no culprit, whatever a gate names is wrong."""
        return tuple(t.outcome for t in self.trials)


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationResults:
    """What a run came to.

    Attributes:
        data_sets: one each; incidents the run did not reach are left out.
        stopped: why it ended early; empty when it did not.
    """

    data_sets: tuple[Calibration, ...]
    stopped: str = ""


@dataclass(frozen=True, slots=True)
class _Task:
    data_set: int
    cases: tuple[Path, ...]
    part: Part
    seed: tuple[int, ...]


def run_calibration(
    data_sets: Sequence[DataSet],
    plan: CalibrationPlan,
    *,
    jobs: int = 1,
    tell: Callable[[int, int], None] | None = None,
) -> CalibrationResults:
    """Inject faults into the normal periods of some cases and set the answers beside them.

    Four in five incidents have a culprit, a sixth of those two; the rest have none, in equal parts
    of the three sorts. The numbers are the same for any number of jobs.

    Args:
        data_sets: folders of incidents; their labels are not read.
        plan: how to make and analyse incidents.
        jobs: processes that work at once (>= 1).
        tell: told how many incidents are done, of how many.
    """
    tasks = [t for i, d in enumerate(data_sets) for t in _plan_tasks(i, d, plan)]
    done: dict[int, Trial | str] = {}
    stopped = ""
    try:
        with closing(work(tasks, partial(_try, plan), jobs)) as answers:
            for i, trial in answers:
                done[i] = trial
                if tell is not None:
                    tell(len(done), len(tasks))
    except KeyboardInterrupt:
        stopped = "interrupted"
    except BrokenProcessPool:
        stopped = "a worker process died, perhaps for want of memory; use fewer --jobs"
    found = []
    for i, d in enumerate(data_sets):
        own = [done[k] for k in sorted(done) if tasks[k].data_set == i]
        found.append(
            Calibration(
                name=folder_name(d.folder),
                trials=tuple(t for t in own if isinstance(t, Trial)),
                unmade=tuple(t for t in own if isinstance(t, str)),
            )
        )
    return CalibrationResults(data_sets=tuple(found), stopped=stopped)


def _plan_tasks(i: int, data_set: DataSet, plan: CalibrationPlan) -> list[_Task]:
    """Which case each incident is made from; others stand by where one has no normal period."""
    key = zlib.crc32(folder_name(data_set.folder).encode())
    tasks = []
    for k in range(plan.n):
        seed = (plan.seed, key, k)
        order = np.random.default_rng((*seed, 1)).permutation(len(data_set.cases))
        cases = tuple(data_set.cases[int(c)] for c in order[:_CASES_TRIED])
        tasks.append(_Task(i, cases, _PARTS.get(k % _CYCLE, Part.CAUSE), (*seed, 2)))
    return tasks


def _try(plan: CalibrationPlan, task: _Task) -> Trial | str:
    """Make one incident and analyse it; a string says why none could be made."""
    made, reason = None, ""
    for case in task.cases:
        try:
            incident = load_case(case, plan.families)
            made = inject(incident, seed=task.seed, part=task.part)
            break
        except InvalidIncidentError as error:
            reason = str(error)
        except BayesRcaError as error:
            reason = f"{case}: {error}"
        except Exception as error:  # a bug met in one case must not cost the others
            reason = f"{case}: unexpected {type(error).__name__}: {error}"
    return reason if made is None else _answer(plan, made, folder_name(case))


def _answer(plan: CalibrationPlan, made: Injected, case: str) -> Trial:
    begun = time.process_time()
    prediction: Prediction | None = None
    reason = ""
    try:
        answer = analyze(made.incident, seed=plan.seed, settings=plan.settings).answer
        prediction = read_answer(answer)
    except BayesRcaError as error:
        reason = str(error)
    except Exception as error:  # a bug met in one incident must not cost the others
        reason = f"unexpected {type(error).__name__}: {error}"
    target = made.incident.target
    return Trial(
        part=made.part,
        outcome=Outcome(
            case=case,
            truth=tuple(name for name, _ in made.truth.root_causes),
            fault=made.truth.fault_type,
            prediction=prediction,
            reason=reason,
            cpu_seconds=time.process_time() - begun,
        ),
        target=None if target is None else target.component,
        stand_ins=made.stand_ins,
    )
