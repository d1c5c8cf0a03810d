"""What the pool tells whoever counts. Knows neither gRPC nor what counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from bayesrca.posterior.result import Diagnostics


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A call that a worker had, and how it ended.

    Attributes:
        rpc: name of the rpc, e.g. ``Analyze``.
        outcome: ``OK``, ``CANCELLED`` when nobody waited any more, or a failure's reason.
        waited: seconds in the queue.
        seconds: seconds at the worker.
        diagnostics: of the answer; None where there is none.
    """

    rpc: str
    outcome: str
    waited: float
    seconds: float
    diagnostics: Diagnostics | None = None


class Observer(Protocol):
    """Is told what happens, in the context of the call that it happens to."""

    def job_ended(self, ended: Ended) -> None:
        """A worker has ended a call."""

    def worker_lost(self) -> None:
        """A worker process has ended, by itself or killed because it did not stop."""
