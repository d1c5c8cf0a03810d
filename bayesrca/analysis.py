"""The one place that knows all the steps from an incident to its answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bayesrca.config import Settings
from bayesrca.incident import Incident
from bayesrca.posterior.result import Answer

if TYPE_CHECKING:
    from xarray import DataTree


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One report from a running analysis.

    Attributes:
        step: ``evidence``, ``screen``, ``compile`` or ``nuts``.
        done: share of the step that is done, in [0, 1].
        divergences: divergent transitions so far (NUTS only, else 0).
    """

    step: str
    done: float
    divergences: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """An answer together with the draws behind it.

    Attributes:
        answer: the probabilities, explanations and diagnostics.
        draws: ArviZ-readable DataTree (`posterior`, `sample_stats`, ...); None when the answer came
            over the wire.
    """

    answer: Answer
    draws: DataTree | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the documented JSON form (docs/json.md)."""
        raise NotImplementedError


def analyze(
    incident: Incident,
    *,
    seed: int,
    settings: Settings | None = None,
    progress: Callable[[Progress], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Analysis:
    """Compute the posterior over root causes of one incident."""
    raise NotImplementedError
