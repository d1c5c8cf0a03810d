"""What the front and its workers say to each other over the pipe."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from bayesrca.config import Method, Settings
from bayesrca.wire import AttributionSettings, ShapleyMethod


@dataclass(frozen=True, slots=True)
class Stored:
    """Where a worker finds a stored analysis.

    Attributes:
        answer: path of the serialised `Answer`.
        draws: path of the netCDF file.
    """

    answer: str
    draws: str


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an rpc that the front has found valid.

    The request travels as it came: reading it again costs the worker less than pickling what the
    front has read costs both.

    Attributes:
        rpc: name of the rpc, e.g. ``Analyze``.
        request: its request message, serialised.
        settings: how to do it, instead of the request's own settings; or what it is about.
        draft: path of a new file that takes the draws; empty where nobody wants them.
    """

    rpc: str
    # No repr: error messages and logs must not spell a request out.
    request: bytes = field(repr=False)
    settings: Settings | AttributionSettings | Stored
    draft: str = ""

    @property
    def needs_model(self) -> bool:
        """Whether it has to wait for a compiled model."""
        return isinstance(self.settings, Settings) and self.settings.method is not Method.SCREEN

    @property
    def can_end_early(self) -> bool:
        """Whether there is a lesser answer that in time is better than the full one too late."""
        match self.settings:
            case Settings():
                return self.settings.method is Method.AUTO
            case AttributionSettings():
                return self.settings.method is not ShapleyMethod.EXACT
            case _:
                return False

    def within(self, remaining: float | None) -> Call:
        """Return the call with a deadline that leaves time for the answer to reach the caller.

        Only the deadline of a call that can end early is set or lowered.

        Args:
            remaining: seconds until the caller stops waiting; None for never.
        """
        if remaining is None or not self.can_end_early or isinstance(self.settings, Stored):
            return self
        remaining = max(remaining, 1e-3)
        margin = min(max(0.1, 0.05 * remaining), 1.0, 0.5 * remaining)
        budget = remaining - margin
        if self.settings.deadline is not None:
            budget = min(budget, self.settings.deadline)
        return replace(self, settings=replace(self.settings, deadline=budget))


@dataclass(frozen=True, slots=True)
class Job:
    """Front to worker: do this.

    Attributes:
        number: grows from job to job of one worker.
        call: what to do.
    """

    number: int
    call: Call


@dataclass(frozen=True, slots=True)
class Cancel:
    """Front to worker: nobody waits for this job any more."""

    number: int


@dataclass(frozen=True, slots=True)
class Started:
    """Worker to front: jobs are accepted, those that need no compiled model."""


@dataclass(frozen=True, slots=True)
class Ready:
    """Worker to front: the model is warm, every job is accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Worker to front: how far a job is.

    Attributes:
        number: the job's; filled in where it is sent.
        step: as `bayesrca.analysis.Progress` has it, like the next two.
        done: share of the step that is done, in [0, 1].
        divergences: divergent transitions so far.
        screen: the screen's `Answer` message, serialised, once it is known and not the last.
    """

    number: int = -1
    step: str = ""
    done: float = 0.0
    divergences: int = 0
    screen: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Output:
    """What a worker made of a call.

    Attributes:
        response: the response message, serialised, ready to be sent.
        draws_sha256: SHA-256 of the call's draft, as it was written; empty without one.
        draws_bytes: its size.
    """

    response: bytes = field(repr=False)
    draws_sha256: str = ""
    draws_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Done:
    """Worker to front: a job succeeded.

    Attributes:
        number: the job's.
        output: what came out.
    """

    number: int
    output: Output


@dataclass(frozen=True, slots=True)
class Failed:
    """Worker to front: a job failed.

    Attributes:
        number: the job's.
        failure: why.
    """

    number: int
    failure: Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a call has no answer, in words that may leave the server.

    Attributes:
        reason: stable UPPER_SNAKE word.
        message: what is wrong, for people.
        field: path of the offending field of the request; empty when none applies.
        error_id: key to the traceback in the server's log; empty when there is none.
        retry_after: seconds after which trying again makes sense; None when it is not known to.
        retryable: False forbids clients to retry by themselves.
    """

    reason: str
    message: str
    field: str = ""
    error_id: str = ""
    retry_after: float | None = None
    retryable: bool = True


class CallFailedError(Exception):
    """A call that ends without an answer."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure
