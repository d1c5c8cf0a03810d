"""`ExcessAttribution` to its message and back."""

from __future__ import annotations

from bayesrca.api.v1 import answer_pb2, incident_pb2
from bayesrca.attribution.shares import ComponentShare, ExcessAttribution
from bayesrca.wire.parts import require


def encode_excess(attribution: ExcessAttribution) -> answer_pb2.ExcessAttribution:
    """Return shares of the target's excess as a message."""
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


def decode_excess(message: answer_pb2.ExcessAttribution, field: str) -> ExcessAttribution:
    """Return the shares of the target's excess that a message holds.

    Raises:
        IncidentFormatError: they have no footprint.
    """
    require(message, field, "footprint")
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
