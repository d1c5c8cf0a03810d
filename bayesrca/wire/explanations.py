"""`Explanation` to its message and back."""

from __future__ import annotations

from bayesrca.api.v1 import answer_pb2, incident_pb2
from bayesrca.posterior.result import Dose, Explanation, OwnEvidence
from bayesrca.wire.parts import require


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
        path=explanation.path,
        reaches_target=explanation.reaches_target,
        footprint=incident_pb2.TimeWindow(start_seconds=start, end_seconds=end),
        text=explanation.text,
    )


def decode_explanation(message: answer_pb2.Explanation, field: str) -> Explanation:
    """Return the explanation a message holds.

    Raises:
        IncidentFormatError: it has no footprint.
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
        path=tuple(message.path),
        reaches_target=message.reaches_target if message.HasField("reaches_target") else None,
        footprint=(message.footprint.start_seconds, message.footprint.end_seconds),
        text=message.text,
    )
