"""`Answer` to its message and back."""

from __future__ import annotations

from collections.abc import Iterable

from bayesrca.api.v1 import answer_pb2, incident_pb2
from bayesrca.attribution.shares import ComponentShare, ExcessAttribution
from bayesrca.config import Method
from bayesrca.errors import IncidentFormatError
from bayesrca.posterior.result import (
    Answer,
    Cause,
    Diagnostics,
    Dose,
    Explanation,
    OwnEvidence,
    Probability,
    RootCausePosterior,
)
from bayesrca.wire.vocabulary import METHODS


def encode_answer(answer: Answer) -> answer_pb2.Answer:
    """Return an answer as a message; every double survives to the last bit, and so does order."""
    posterior = answer.posterior
    return answer_pb2.Answer(
        incident=answer.incident,
        method=METHODS.number(Method(answer.method)),
        posterior=answer_pb2.RootCausePosterior(
            causes=[_encode_cause(c) for c in posterior.causes],
            none=_encode_probability(posterior.none),
        ),
        interval_mass=answer.interval_mass,
        diagnostics=_encode_diagnostics(answer.diagnostics),
        attribution=None if answer.attribution is None else _encode_attribution(answer.attribution),
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
    )


def decode_answer(message: answer_pb2.Answer, field: str = "answer") -> Answer:
    """Return the answer a message holds.

    Args:
        message: the message, as it came.
        field: path of the message, the start of every path in an error.

    Raises:
        IncidentFormatError: a part is missing, repeated or unknown; ``field`` says which.
    """
    for part in ("posterior", "diagnostics"):
        if not message.HasField(part):
            raise _missing(f"{field}.{part}")
    if message.method not in (answer_pb2.METHOD_SCREEN, answer_pb2.METHOD_NUTS):
        msg = f"{field}.method is {message.method}; an answer comes from the screen or from NUTS"
        raise IncidentFormatError(msg, field=f"{field}.method")
    posterior = message.posterior
    where = f"{field}.posterior"
    if not posterior.HasField("none"):
        raise _missing(f"{where}.none")
    return Answer(
        incident=message.incident,
        method=str(METHODS.word(message.method, f"{field}.method")),
        posterior=RootCausePosterior(
            causes=tuple(
                _decode_cause(c, f"{where}.causes[{i}]") for i, c in enumerate(posterior.causes)
            ),
            none=_decode_probability(posterior.none, f"{where}.none"),
        ),
        interval_mass=message.interval_mass,
        diagnostics=_decode_diagnostics(message.diagnostics),
        attribution=_decode_attribution(message.attribution, f"{field}.attribution")
        if message.HasField("attribution")
        else None,
        notes=tuple(message.notes),
        seed=message.seed,
        versions=_unique(((v.library, v.version) for v in message.versions), f"{field}.versions"),
        timings=_unique(
            ((t.step, t.duration_seconds) for t in message.timings), f"{field}.timings"
        ),
    )


def _encode_probability(probability: Probability) -> answer_pb2.Probability:
    low, high = probability.interval
    return answer_pb2.Probability(
        value=probability.value,
        mcse=probability.mcse,
        interval=answer_pb2.Interval(low=low, high=high),
    )


def _decode_probability(message: answer_pb2.Probability, field: str) -> Probability:
    if not message.HasField("interval"):
        raise _missing(f"{field}.interval")
    interval = (message.interval.low, message.interval.high)
    return Probability(value=message.value, mcse=message.mcse, interval=interval)


def _encode_cause(cause: Cause) -> answer_pb2.Cause:
    return answer_pb2.Cause(
        component=cause.component,
        kind=cause.kind,
        kinds=[
            answer_pb2.KindProbability(kind=kind, probability=probability)
            for kind, probability in cause.kinds.items()
        ],
        probability=_encode_probability(cause.probability),
        explains=_encode_explanation(cause.explains),
    )


def _decode_cause(message: answer_pb2.Cause, field: str) -> Cause:
    for part in ("probability", "explains"):
        if not message.HasField(part):
            raise _missing(f"{field}.{part}")
    return Cause(
        component=message.component,
        kind=message.kind,
        kinds=_unique(((k.kind, k.probability) for k in message.kinds), f"{field}.kinds"),
        probability=_decode_probability(message.probability, f"{field}.probability"),
        explains=_decode_explanation(message.explains, f"{field}.explains"),
    )


def _encode_explanation(explanation: Explanation) -> answer_pb2.Explanation:
    start, end = explanation.footprint
    dose = explanation.dose
    return answer_pb2.Explanation(
        own=[
            answer_pb2.OwnEvidence(
                family=own.family,
                signal=own.signal,
                contrast=own.contrast,
                scale=own.scale,
                log_bayes_factor=own.log_bayes_factor,
                measure=own.measure,
            )
            for own in explanation.own
        ],
        dose=None
        if dose is None
        else answer_pb2.Dose(
            family=dose.family, unit=dose.unit, cause=dose.cause, target=dose.target
        ),
        path=explanation.path,
        reaches_target=explanation.reaches_target,
        footprint=incident_pb2.TimeWindow(start_seconds=start, end_seconds=end),
        text=explanation.text,
    )


def _decode_explanation(message: answer_pb2.Explanation, field: str) -> Explanation:
    if not message.HasField("footprint"):
        raise _missing(f"{field}.footprint")
    dose = None
    if message.HasField("dose"):
        d = message.dose
        dose = Dose(family=d.family, unit=d.unit, cause=d.cause, target=d.target)
    return Explanation(
        own=tuple(
            OwnEvidence(
                family=own.family,
                signal=own.signal,
                contrast=own.contrast,
                scale=own.scale,
                log_bayes_factor=own.log_bayes_factor,
                measure=own.measure,
            )
            for own in message.own
        ),
        dose=dose,
        path=tuple(message.path),
        reaches_target=message.reaches_target if message.HasField("reaches_target") else None,
        footprint=(message.footprint.start_seconds, message.footprint.end_seconds),
        text=message.text,
    )


def _encode_attribution(attribution: ExcessAttribution) -> answer_pb2.ExcessAttribution:
    start, end = attribution.footprint
    return answer_pb2.ExcessAttribution(
        family=attribution.family,
        unit=attribution.unit,
        footprint=incident_pb2.TimeWindow(start_seconds=start, end_seconds=end),
        target=attribution.target,
        excess=attribution.excess,
        excess_std_err=attribution.excess_std_err,
        shares=[
            answer_pb2.ComponentShare(
                component=share.component,
                value=share.value,
                value_std_err=share.value_std_err,
                share=share.share,
                share_std_err=share.share_std_err,
                observed=share.observed,
            )
            for share in attribution.shares
        ],
        rule=attribution.rule,
        n_resamples=attribution.n_resamples,
        seed=attribution.seed,
    )


def _decode_attribution(message: answer_pb2.ExcessAttribution, field: str) -> ExcessAttribution:
    if not message.HasField("footprint"):
        raise _missing(f"{field}.footprint")
    return ExcessAttribution(
        family=message.family,
        unit=message.unit,
        footprint=(message.footprint.start_seconds, message.footprint.end_seconds),
        target=message.target,
        excess=message.excess,
        excess_std_err=message.excess_std_err,
        shares=tuple(
            ComponentShare(
                component=share.component,
                value=share.value,
                value_std_err=share.value_std_err,
                share=share.share,
                share_std_err=share.share_std_err,
                observed=share.observed,
            )
            for share in message.shares
        ),
        rule=message.rule,
        n_resamples=message.n_resamples,
        seed=message.seed,
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
    )


def _decode_diagnostics(message: answer_pb2.Diagnostics) -> Diagnostics:
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
    )


def _unique[V](pairs: Iterable[tuple[str, V]], field: str) -> dict[str, V]:
    table: dict[str, V] = {}
    for key, value in pairs:
        if key in table:
            msg = f"{field} names {key!r} twice"
            raise IncidentFormatError(msg, field=field)
        table[key] = value
    return table


def _missing(field: str) -> IncidentFormatError:
    return IncidentFormatError(f"{field} is missing", field=field)
