"""`Answer` to its message and back."""

from __future__ import annotations

from bayesrca.api.v1 import answer_pb2
from bayesrca.config import Method
from bayesrca.errors import IncidentFormatError
from bayesrca.posterior.result import (
    Alarm,
    Answer,
    ChangeProbability,
    Changes,
    Diagnostics,
    Onset,
)
from bayesrca.wire.excess import decode_excess, encode_excess
from bayesrca.wire.parts import require, unique
from bayesrca.wire.posteriors import decode_posterior, encode_posterior
from bayesrca.wire.vocabulary import METHODS


def encode_answer(answer: Answer) -> answer_pb2.Answer:
    """Return an answer as a message; every double survives to the last bit, and so does order."""
    return answer_pb2.Answer(
        incident=answer.incident,
        method=METHODS.number(Method(answer.method)),
        posterior=encode_posterior(answer.posterior),
        interval_mass=answer.interval_mass,
        diagnostics=_encode_diagnostics(answer.diagnostics),
        attribution=None if answer.attribution is None else encode_excess(answer.attribution),
        alarm=_encode_alarm(answer.alarm),
        onsets=[_encode_onset(onset) for onset in answer.onsets],
        notes=answer.notes,
        seed=answer.seed,
        versions=[
            answer_pb2.LibraryVersion(library=library, version=version)
            for library, version in answer.versions.items()
        ],
        timings=[
            answer_pb2.StepTiming(step=step, duration_seconds=seconds)
            for step, seconds in answer.timings.items()
        ],
        changes=None if answer.changes is None else _encode_changes(answer.changes),
    )


def decode_answer(message: answer_pb2.Answer, field: str = "answer") -> Answer:
    """Return the answer a message holds.

    Args:
        message: the message, as it came.
        field: path of the message, the start of every path in an error.

    Raises:
        IncidentFormatError: a part is missing, repeated or unknown; ``field`` says which.
    """
    require(message, field, "posterior", "diagnostics", "alarm")
    if message.method not in (answer_pb2.METHOD_SCREEN, answer_pb2.METHOD_NUTS):
        msg = f"{field}.method is {message.method}; an answer comes from the screen or from NUTS"
        raise IncidentFormatError(msg, field=f"{field}.method")
    return Answer(
        incident=message.incident,
        method=str(METHODS.word(message.method, f"{field}.method")),
        posterior=decode_posterior(message.posterior, f"{field}.posterior"),
        interval_mass=message.interval_mass,
        diagnostics=decode_diagnostics(message.diagnostics),
        attribution=decode_excess(message.attribution, f"{field}.attribution")
        if message.HasField("attribution")
        else None,
        alarm=_decode_alarm(message.alarm),
        onsets=tuple(_decode_onset(onset) for onset in message.onsets),
        notes=tuple(message.notes),
        seed=message.seed,
        versions=unique(((v.library, v.version) for v in message.versions), f"{field}.versions"),
        timings=unique(((t.step, t.duration_seconds) for t in message.timings), f"{field}.timings"),
        changes=_decode_changes(message.changes) if message.HasField("changes") else None,
    )


def _encode_changes(changes: Changes) -> answer_pb2.Changes:
    return answer_pb2.Changes(
        none=changes.none,
        ranking=[
            answer_pb2.ChangeProbability(
                id=change.id,
                kind=change.kind,
                component=change.component,
                time_seconds=change.time,
                text=change.text,
                probability=change.probability,
            )
            for change in changes.ranking
        ],
    )


def _decode_changes(message: answer_pb2.Changes) -> Changes:
    return Changes(
        none=message.none,
        ranking=tuple(
            ChangeProbability(
                id=change.id if change.HasField("id") else None,
                kind=change.kind,
                component=change.component if change.HasField("component") else None,
                time=change.time_seconds,
                text=change.text,
                probability=change.probability,
            )
            for change in message.ranking
        ),
    )


def _encode_alarm(alarm: Alarm) -> answer_pb2.Alarm:
    return answer_pb2.Alarm(
        target_p=alarm.target_p,
        incident_p=alarm.incident_p,
        anomalous=alarm.anomalous,
        text=alarm.text,
    )


def _decode_alarm(message: answer_pb2.Alarm) -> Alarm:
    return Alarm(
        target_p=message.target_p if message.HasField("target_p") else None,
        incident_p=message.incident_p,
        anomalous=message.anomalous,
        text=message.text,
    )


def _encode_onset(onset: Onset) -> answer_pb2.Onset:
    return answer_pb2.Onset(
        component=onset.component,
        signal=onset.signal,
        time_seconds=onset.time,
        lower_seconds=onset.lower,
        upper_seconds=onset.upper,
        rank=onset.rank,
    )


def _decode_onset(message: answer_pb2.Onset) -> Onset:
    return Onset(
        component=message.component,
        signal=message.signal,
        time=message.time_seconds,
        lower=message.lower_seconds,
        upper=message.upper_seconds,
        rank=message.rank,
    )


def _encode_diagnostics(diagnostics: Diagnostics) -> answer_pb2.Diagnostics:
    return answer_pb2.Diagnostics(
        healthy=diagnostics.healthy,
        problems=diagnostics.problems,
        n_draws=diagnostics.n_draws,
        n_chains=diagnostics.n_chains,
        r_hat=diagnostics.r_hat,
        ess=diagnostics.ess,
        divergences=diagnostics.divergences,
        e_bfmi=diagnostics.e_bfmi,
        pareto_k=diagnostics.pareto_k,
        reruns=diagnostics.reruns,
        max_width=diagnostics.max_width,
        estimated_sets=diagnostics.estimated_sets,
        sum_error=diagnostics.sum_error,
    )


def decode_diagnostics(message: answer_pb2.Diagnostics) -> Diagnostics:
    """Return the gates that a message holds."""
    return Diagnostics(
        healthy=message.healthy,
        problems=tuple(message.problems),
        n_draws=message.n_draws,
        n_chains=message.n_chains,
        r_hat=message.r_hat if message.HasField("r_hat") else None,
        ess=message.ess,
        divergences=message.divergences if message.HasField("divergences") else None,
        e_bfmi=message.e_bfmi if message.HasField("e_bfmi") else None,
        pareto_k=message.pareto_k if message.HasField("pareto_k") else None,
        reruns=message.reruns,
        max_width=message.max_width,
        estimated_sets=message.estimated_sets,
        sum_error=message.sum_error,
    )
