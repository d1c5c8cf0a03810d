"""What the front and its workers say to each other over the pipe."""

from __future__ import annotations

from dataclasses import dataclass, field

from bayesrca.config import Settings


@dataclass(frozen=True, slots=True)
class Job:
    """Front to worker: analyse this.

    The request travels as it came: reading it again costs the worker less than pickling what the
    front has read costs both.

    Attributes:
        number: grows from job to job of one worker.
        request: a serialised `AnalyzeRequest` that the front has found valid.
        settings: how to analyse it, instead of the request's own settings.
    """

    number: int
    # No repr, here and wherever a request travels: error messages and logs must not spell it out.
    request: bytes = field(repr=False)
    settings: Settings


@dataclass(frozen=True, slots=True)
class Cancel:
    """Front to worker: nobody waits for this job any more."""

    number: int


@dataclass(frozen=True, slots=True)
class Started:
    """Worker to front: jobs are accepted. Those that need the model wait until it is warm."""


@dataclass(frozen=True, slots=True)
class Ready:
    """Worker to front: the model is warm."""


@dataclass(frozen=True, slots=True)
class Done:
    """Worker to front: a job succeeded.

    Attributes:
        number: the job's.
        response: a serialised `AnalyzeResponse`, ready to be sent.
    """

    number: int
    response: bytes


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
