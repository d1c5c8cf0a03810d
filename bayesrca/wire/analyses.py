"""Stored analyses and the requests about them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bayesrca.api.v1 import analysis_pb2
from bayesrca.api.v1 import root_cause_service_pb2 as pb
from bayesrca.errors import IncidentFormatError, InvalidRequestError
from bayesrca.posterior.result import Answer
from bayesrca.wire.answers import decode_answer
from bayesrca.wire.moments import seconds_of
from bayesrca.wire.paging import Page, read_page
from bayesrca.wire.requests import AnalyzeCall, encode_request
from bayesrca.wire.vocabulary import Vocabulary, word_of

_NAME = "analyses/"


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


def analysis_name(identity: str) -> str:
    """Return the name of the analysis with an id."""
    return f"{_NAME}{identity}"


def analysis_id(name: str, field: str = "name") -> str:
    """Return the id in an analysis's name.

    Args:
        name: the name.
        field: path of the field that holds it, for the error.

    Raises:
        InvalidRequestError: it is not ``analyses/{id}``.
    """
    identity = name.removeprefix(_NAME)
    if not name.startswith(_NAME) or not identity or "/" in identity or len(name) > 100:
        msg = f"{field} must be analyses/{{id}}, got {name[:100]!r}"
        raise InvalidRequestError(msg, field=field)
    return identity


def encode_create_request(call: AnalyzeCall, request_id: str) -> pb.CreateAnalysisRequest:
    """Return a call as the message that has it stored.

    Raises:
        InvalidSettingsError: a seed that is not a whole number from 0 to 2^63 - 1.
        InvalidRequestError: the id is no UUID.
    """
    request = pb.CreateAnalysisRequest(request_id=checked_request_id(request_id))
    copy_request(encode_request(call), request)
    return request


def copy_request(
    source: pb.AnalyzeRequest | pb.CreateAnalysisRequest,
    target: pb.AnalyzeRequest | pb.CreateAnalysisRequest,
) -> None:
    """Set the fields that the two requests have in common, those that are present."""
    for name in ("incident", "settings", "source"):
        if source.HasField(name):
            getattr(target, name).CopyFrom(getattr(source, name))
    if source.HasField("seed"):
        target.seed = source.seed


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


def decode_page(message: pb.ListAnalysesRequest) -> Page[AnalysisState]:
    """Return what a request to list asks for; its words are the states, all when there is none.

    Raises:
        InvalidRequestError: a negative size, an unknown state, or a token that is none of ours or
            came with other states.
    """
    states = {STATES.word(n, f"states[{i}]") for i, n in enumerate(message.states)}
    return read_page(message.page_size, message.page_token, sorted(states))


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
        created=seconds_of(message.create_time),
        started=seconds_of(message.start_time) if message.HasField("start_time") else None,
        finished=seconds_of(message.end_time) if message.HasField("end_time") else None,
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
