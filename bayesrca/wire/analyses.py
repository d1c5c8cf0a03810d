"""Stored analyses and the requests about them."""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from bayesrca.api.v1 import analysis_pb2
from bayesrca.api.v1 import root_cause_service_pb2 as pb
from bayesrca.errors import IncidentFormatError, InvalidRequestError
from bayesrca.posterior.result import Answer
from bayesrca.wire.answers import decode_answer
from bayesrca.wire.requests import AnalyzeCall, encode_request
from bayesrca.wire.vocabulary import Vocabulary, word_of

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

_NAME = "analyses/"
_PAGE = 50
_LARGEST_PAGE = 1000


class AnalysisState(StrEnum):
    """Where an analysis is; the last three are final."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def final(self) -> bool:
        """Whether it never changes again."""
        return self not in (AnalysisState.QUEUED, AnalysisState.RUNNING)


STATES = Vocabulary(
    AnalysisState, analysis_pb2.AnalysisState, "ANALYSIS_STATE", error=InvalidRequestError
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAnalysis:
    """An analysis on a server, as it was when the server said so.

    Attributes:
        name: ``analyses/`` and the id the server gave it.
        request_id: the id its creator gave it.
        incident: name of the incident.
        state: where it is.
        attempt: attempts begun, 0 to 2.
        created: when it was accepted, in seconds since 1970 by the server's clock, as the next two.
        started: when the last attempt began; None before the first.
        finished: when it reached a final state; None before.
        failure: ``(reason, message, field)`` of one that failed, else None.
        answer_sha256: SHA-256 of the stored answer; empty without one.
        draws_sha256: SHA-256 of the draws' netCDF file; empty without one.
        draws_bytes: its size.
        answer: the answer, where the response holds it.
    """

    name: str
    request_id: str
    incident: str
    state: AnalysisState
    attempt: int
    created: float
    started: float | None
    finished: float | None
    failure: tuple[str, str, str] | None
    answer_sha256: str
    draws_sha256: str
    draws_bytes: int
    answer: Answer | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisUpdate:
    """One message of `WatchAnalysis`.

    Attributes:
        analysis: as it is now; with its answer in the last update, if it has one.
        step: what it is at, as `bayesrca.analysis.Progress` has it, like the next two; empty where
            it has not said so.
        done: share of the step that is done, in [0, 1].
        divergences: divergent transitions so far.
        screen_answer: the screen's answer, in one update at most.
    """

    analysis: StoredAnalysis
    step: str
    done: float
    divergences: int
    screen_answer: Answer | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Which analyses a `ListAnalyses` asks for.

    Attributes:
        size: at most so many, 1 to 1000.
        before: only those accepted before the one of this number; None for all.
        states: only those in one of these; all when empty.
    """

    size: int
    before: int | None
    states: tuple[AnalysisState, ...]

    def token(self, last: int) -> str:
        """Return the token of the page that follows the analysis of number `last`."""
        content = json.dumps([last, sorted(self.states)])
        return base64.urlsafe_b64encode(content.encode()).decode()


def analysis_name(identity: str) -> str:
    """Return the name of the analysis with an id."""
    return f"{_NAME}{identity}"


def analysis_id(name: str) -> str:
    """Return the id in an analysis's name.

    Raises:
        InvalidRequestError: it is not ``analyses/{id}``.
    """
    identity = name.removeprefix(_NAME)
    if not name.startswith(_NAME) or not identity or "/" in identity or len(name) > 100:
        msg = f"name must be analyses/{{id}}, got {name[:100]!r}"
        raise InvalidRequestError(msg, field="name")
    return identity


def encode_create_request(call: AnalyzeCall, request_id: str) -> pb.CreateAnalysisRequest:
    """Return a call as the message that has it stored.

    Raises:
        InvalidSettingsError: a seed that is not a whole number from 0 to 2^63 - 1.
        InvalidRequestError: the id is no UUID.
    """
    request = encode_request(call)
    return pb.CreateAnalysisRequest(
        incident=request.incident,
        seed=request.seed,
        settings=request.settings,
        request_id=checked_request_id(request_id),
    )


def checked_request_id(request_id: str) -> str:
    """Return a request id in its one form: a UUID's 36 characters, in lower case.

    Raises:
        InvalidRequestError: it is none.
    """
    try:
        if len(request_id) == 36:
            return str(uuid.UUID(request_id))
    except ValueError:
        pass
    msg = (
        "request_id must be a UUID such as 123e4567-e89b-42d3-a456-426614174000, "
        f"got {request_id[:50]!r}"
    )
    raise InvalidRequestError(msg, field="request_id")


def encode_states(states: Iterable[AnalysisState | str]) -> list[Any]:
    """Return the numbers of states given by their names.

    Raises:
        InvalidSettingsError: a name that no state has.
    """
    return [STATES.number(word_of(AnalysisState, state, "states")) for state in states]


def decode_page(message: pb.ListAnalysesRequest) -> Page:
    """Return what a request to list asks for.

    Raises:
        InvalidRequestError: a negative size, an unknown state, or a token that is none of ours or
            came with other states.
    """
    if message.page_size < 0:
        msg = f"page_size must be >= 0, got {message.page_size}"
        raise InvalidRequestError(msg, field="page_size")
    states = tuple(sorted({STATES.word(n, f"states[{i}]") for i, n in enumerate(message.states)}))
    before = None
    if message.page_token:
        before, of = _decode_token(message.page_token)
        if of != states:
            msg = "page_token belongs to a list of other states; repeat the states it was made with"
            raise InvalidRequestError(msg, field="page_token")
    size = min(message.page_size or _PAGE, _LARGEST_PAGE)
    return Page(size=size, before=before, states=states)


def _decode_token(token: str) -> tuple[int, tuple[str, ...]]:
    try:
        before, states = json.loads(base64.urlsafe_b64decode(token.encode()))
        if isinstance(before, int) and 0 < before < 1 << 62:
            return before, tuple(map(str, states))
    except (ValueError, TypeError, binascii.Error, RecursionError):
        pass
    msg = "page_token is none that this server gave out; begin with the first page"
    raise InvalidRequestError(msg, field="page_token")


def decode_analysis(message: analysis_pb2.Analysis, field: str = "analysis") -> StoredAnalysis:
    """Return the analysis a message describes.

    Args:
        message: the message, as it came.
        field: path of the message, the start of every path in an error.

    Raises:
        IncidentFormatError: the answer in it cannot be read, or the state is unknown.
    """
    try:
        state = STATES.word(message.state, f"{field}.state")
    except InvalidRequestError as error:
        raise IncidentFormatError(str(error), field=error.field) from error
    why = message.failure
    return StoredAnalysis(
        name=message.name,
        request_id=message.request_id,
        incident=message.incident,
        state=state,
        attempt=message.attempt,
        created=_seconds(message.create_time),
        started=_seconds(message.start_time) if message.HasField("start_time") else None,
        finished=_seconds(message.end_time) if message.HasField("end_time") else None,
        failure=(why.reason, why.message, why.field) if message.HasField("failure") else None,
        answer_sha256=message.answer_sha256,
        draws_sha256=message.inference_data.sha256,
        draws_bytes=message.inference_data.size_bytes,
        answer=decode_answer(message.answer, f"{field}.answer")
        if message.HasField("answer")
        else None,
    )


def decode_update(message: pb.WatchAnalysisResponse) -> AnalysisUpdate:
    """Return what one message of a watch says.

    Raises:
        IncidentFormatError: an answer in it cannot be read, or the state is unknown.
    """
    return AnalysisUpdate(
        analysis=decode_analysis(message.analysis),
        step=message.progress.step,
        done=message.progress.done,
        divergences=message.progress.divergences,
        screen_answer=decode_answer(message.screen_answer, "screen_answer")
        if message.HasField("screen_answer")
        else None,
    )


def decode_analyses(messages: Iterable[analysis_pb2.Analysis]) -> list[StoredAnalysis]:
    """Return the analyses of a list."""
    return [decode_analysis(message, f"analyses[{i}]") for i, message in enumerate(messages)]


def _seconds(stamp: Timestamp) -> float:
    return float(stamp.ToMicroseconds()) / 1e6
