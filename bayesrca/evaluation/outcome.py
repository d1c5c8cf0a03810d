"""What one labelled incident was answered, beside what was true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bayesrca.posterior.result import Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The part of an answer that can be scored.

    Attributes:
        components: [n] names, in the order of the answer.
        probabilities: [n] p(component is a cause), each in [0, 1].
        none: p(no listed component is a cause).
        sets: p(exactly this set of components is the cause); a set that is absent has 0.
        healthy: whether the answer passed its health gates.
        anomalous: whether anything moved more than normal telemetry does (`Answer.alarm`).
    """

    components: tuple[str, ...]
    probabilities: tuple[float, ...]
    none: float
    sets: Mapping[frozenset[str], float]
    healthy: bool
    anomalous: bool = True


def read_answer(answer: Answer) -> Prediction:
    """Return the part of an answer that can be scored."""
    causes = answer.posterior.causes
    return Prediction(
        components=tuple(c.component for c in causes),
        probabilities=tuple(c.probability.value for c in causes),
        none=answer.posterior.none.value,
        sets={frozenset(s.components): s.probability.value for s in answer.posterior.sets},
        healthy=answer.healthy,
        anomalous=answer.alarm.anomalous,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One case: its labels and its answer, or why there is none.

    Attributes:
        case: the folder's name.
        truth: components that caused it, at least one, in the order of the labels.
        fault: kind of fault in the source's own word, or None.
        prediction: the answer, or None when the case failed.
        reason: why it failed; empty when it did not.
        cpu_seconds: CPU time spent on reading and analysing it.
    """

    case: str
    truth: tuple[str, ...]
    fault: str | None
    prediction: Prediction | None
    reason: str = ""
    cpu_seconds: float = 0.0

    @property
    def cluster(self) -> tuple[frozenset[str], str | None]:
        """What repeats of one experiment share: the set of root causes and the kind of fault."""
        return frozenset(self.truth), self.fault

    @property
    def healthy(self) -> bool:
        """Whether there is an answer and it passed its health gates."""
        return self.prediction is not None and self.prediction.healthy

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """[n] p(component is a cause), empty when the case failed."""
        return np.array(self.prediction.probabilities if self.prediction else (), dtype=np.float64)

    @property
    def is_true(self) -> NDArray[np.bool_]:
        """[n] whether each component of the answer is a true cause."""
        names = self.prediction.components if self.prediction else ()
        return np.array([name in self.truth for name in names], dtype=bool)


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalOutcome:
    """One normal window that was given as an incident.

    Attributes:
        case: the folder whose normal period it is from.
        prediction: the answer, or None when it failed.
        reason: why it failed; empty when it did not.
    """

    case: str
    prediction: Prediction | None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSetResult:
    """Everything that is known about one data set after a run.

    Attributes:
        name: the data set's name.
        outcomes: the labelled cases, those that failed included.
        unlabelled: (case, reason) of those whose labels cannot be read or name nothing.
        normal: the normal windows; None when none were asked for.
    """

    name: str
    outcomes: tuple[Outcome, ...]
    unlabelled: tuple[tuple[str, str], ...] = ()
    normal: tuple[NormalOutcome, ...] | None = field(default=None)
