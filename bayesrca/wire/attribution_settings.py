"""How much effort an attribution may take, as a message and back. Needs no native core."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NoReturn

from bayesrca.api.v1 import attribution_service_pb2 as pb
from bayesrca.errors import InvalidSettingsError
from bayesrca.wire.paths import located
from bayesrca.wire.vocabulary import Vocabulary

MAX_BUDGET = 10_000_000_000
"""Most evaluations one call may ask for: minutes to hours of a core."""
MAX_RESAMPLES = 100_000
MAX_ATTRIBUTION_SECONDS = 3600.0
"""Seconds after which an attribution returns what it has, whatever was asked for."""


class ShapleyMethod(StrEnum):
    """How Shapley values come about; all but ``EXACT`` as in `bayesrca.attribution`."""

    AUTOMATIC = "automatic"
    SAMPLED = "sampled"
    LEVERAGE = "leverage"
    EXACT = "exact"


class ToleranceKind(StrEnum):
    """What a tolerance is measured in."""

    RELATIVE = "relative"
    ABSOLUTE = "absolute"


class IntervalGuarantee(StrEnum):
    """What half-widths under a tolerance promise."""

    ASYMPTOTIC = "asymptotic"
    BERNSTEIN = "bernstein"


SHAPLEY_METHODS = Vocabulary(
    ShapleyMethod,
    pb.ShapleyMethod,
    "SHAPLEY_METHOD",
    default=ShapleyMethod.AUTOMATIC,
    error=InvalidSettingsError,
)
TOLERANCE_KINDS = Vocabulary(
    ToleranceKind,
    pb.ToleranceKind,
    "TOLERANCE_KIND",
    default=ToleranceKind.RELATIVE,
    error=InvalidSettingsError,
)

GUARANTEES = Vocabulary(
    IntervalGuarantee,
    pb.IntervalGuarantee,
    "INTERVAL_GUARANTEE",
    default=IntervalGuarantee.ASYMPTOTIC,
    error=InvalidSettingsError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributionSettings:
    """Effort of one attribution. Ranges the estimator checks itself are not checked here.

    Attributes:
        method: how the values come about.
        tolerance: half-width at which to stop; None for none.
        tolerance_kind: what it is measured in.
        budget: most evaluations, at most 10^10; None for none.
        confidence: coverage of the half-widths; None for the estimator's default.
        guarantee: what they promise.
        deadline: seconds (> 0) after which what there is is returned; None for none.
        share_resamples: how often the doses of an excess-flow game are drawn, 2 to 100 000; None
            for no shares.
        threads: threads to use (>= 1). Stays on either side of the wire: it changes no number.

    Raises:
        InvalidSettingsError: a value is outside its range, or means nothing to the exact method.
    """

    method: ShapleyMethod = ShapleyMethod.AUTOMATIC
    tolerance: float | None = None
    tolerance_kind: ToleranceKind = ToleranceKind.RELATIVE
    budget: int | None = None
    confidence: float | None = None
    guarantee: IntervalGuarantee = IntervalGuarantee.ASYMPTOTIC
    deadline: float | None = None
    share_resamples: int | None = None
    threads: int = 1

    def __post_init__(self) -> None:
        if self.budget is not None and not 1 <= self.budget <= MAX_BUDGET:
            _refuse("budget", f"must be in [1, {MAX_BUDGET}], got {self.budget}")
        resamples = self.share_resamples
        if resamples is not None and not 2 <= resamples <= MAX_RESAMPLES:
            _refuse("share_resamples", f"must be in [2, {MAX_RESAMPLES}], got {resamples}")
        if self.deadline is not None and not self.deadline > 0:
            _refuse("deadline", f"must be more than 0 seconds, got {self.deadline!r}")
        if self.method is ShapleyMethod.EXACT:
            for name in ("tolerance", "budget", "confidence"):
                if getattr(self, name) is not None:
                    _refuse(name, _NOT_FOR_EXACT)
            if self.tolerance_kind is not ToleranceKind.RELATIVE:
                _refuse("tolerance_kind", _NOT_FOR_EXACT)
            if self.guarantee is not IntervalGuarantee.ASYMPTOTIC:
                _refuse("guarantee", _NOT_FOR_EXACT)


_NOT_FOR_EXACT = "means nothing to the exact method, which has no error; leave it out"
# What has the same name on both sides and no words of its own.
_SAME = ("tolerance", "budget", "confidence", "share_resamples")


def encode_attribution_settings(settings: AttributionSettings) -> pb.AttributionSettings:
    """Return settings as a message, all but ``threads``; what is None stays out of it."""
    message = pb.AttributionSettings(
        method=SHAPLEY_METHODS.number(settings.method),
        tolerance_kind=TOLERANCE_KINDS.number(settings.tolerance_kind),
        guarantee=GUARANTEES.number(settings.guarantee),
        deadline_seconds=settings.deadline,
    )
    for name in _SAME:
        if getattr(settings, name) is not None:
            setattr(message, name, getattr(settings, name))
    return message


def decode_attribution_settings(
    message: pb.AttributionSettings, *, threads: int = 1
) -> AttributionSettings:
    """Return the settings a message asks for.

    Args:
        message: the message, as it came.
        threads: threads the attribution may use, >= 1.

    Raises:
        InvalidSettingsError: a value outside its range; ``field`` is a path of the request.
    """
    chosen: dict[str, Any] = {
        descriptor.name: value
        for descriptor, value in message.ListFields()
        if descriptor.name in _SAME
    }
    if message.HasField("deadline_seconds"):
        chosen["deadline"] = message.deadline_seconds
    method = SHAPLEY_METHODS.word(message.method, "settings.method")
    kind = TOLERANCE_KINDS.word(message.tolerance_kind, "settings.tolerance_kind")
    guarantee = GUARANTEES.word(message.guarantee, "settings.guarantee")
    with located("settings"):
        return AttributionSettings(
            method=method, tolerance_kind=kind, guarantee=guarantee, threads=threads, **chosen
        )


def _refuse(field: str, what: str) -> NoReturn:
    msg = f"{field}: {what}"
    raise InvalidSettingsError(msg, field=field)
