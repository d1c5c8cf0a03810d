"""`Explanation` to its message and back."""

from __future__ import annotations

from bayesrca.api.v1 import answer_pb2, incident_pb2
from bayesrca.posterior.result import (
    Affected,
    Dose,
    ExplainedShare,
    Explanation,
    OwnEvidence,
    PathEdge,
    Region,
)
from bayesrca.wire.parts import decode_probability, encode_probability, require


def encode_explanation(explanation: Explanation) -> answer_pb2.Explanation:
    """Return an explanation as a message."""
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
        explained_share=None
        if explanation.explained_share is None
        else _encode_share(explanation.explained_share),
        path=explanation.path,
        edges=[
            answer_pb2.PathEdge(
                source=edge.source,
                target=edge.target,
                family=edge.family,
                probability=edge.probability,
            )
            for edge in explanation.edges
        ],
        affected=[
            answer_pb2.AffectedComponent(component=a.component, probability=a.probability)
            for a in explanation.affected
        ],
        reaches_target=explanation.reaches_target,
        footprint=incident_pb2.TimeWindow(start_seconds=start, end_seconds=end),
        text=explanation.text,
        regions=[
            answer_pb2.CodeRegion(
                region=r.region,
                change=r.change,
                probability=r.probability,
                at_fault=None if r.at_fault is None else encode_probability(r.at_fault),
            )
            for r in explanation.regions
        ],
    )


def decode_explanation(message: answer_pb2.Explanation, field: str) -> Explanation:
    """Return the explanation a message holds.

    Raises:
        IncidentFormatError: it has no footprint, or a share without its interval.
    """
    require(message, field, "footprint")
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
        explained_share=_decode_share(message.explained_share, f"{field}.explained_share")
        if message.HasField("explained_share")
        else None,
        path=tuple(message.path),
        edges=tuple(
            PathEdge(
                source=edge.source,
                target=edge.target,
                family=edge.family,
                probability=edge.probability,
            )
            for edge in message.edges
        ),
        affected=tuple(
            Affected(component=a.component, probability=a.probability) for a in message.affected
        ),
        reaches_target=message.reaches_target if message.HasField("reaches_target") else None,
        footprint=(message.footprint.start_seconds, message.footprint.end_seconds),
        text=message.text,
        regions=tuple(
            Region(
                region=r.region,
                change=r.change,
                probability=r.probability,
                at_fault=decode_probability(r.at_fault, f"{field}.regions[{j}].at_fault")
                if r.HasField("at_fault")
                else None,
            )
            for j, r in enumerate(message.regions)
        ),
    )


def _encode_share(share: ExplainedShare) -> answer_pb2.ExplainedShare:
    low, high = share.interval
    return answer_pb2.ExplainedShare(
        family=share.family,
        value=share.value,
        interval=answer_pb2.Interval(low=low, high=high),
        ratio=share.ratio,
    )


def _decode_share(message: answer_pb2.ExplainedShare, field: str) -> ExplainedShare:
    require(message, field, "interval")
    return ExplainedShare(
        family=message.family,
        value=message.value,
        interval=(message.interval.low, message.interval.high),
        ratio=message.ratio,
    )
