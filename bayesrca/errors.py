"""The one tree of errors that bayesrca raises on purpose.

Every error names the offender and, where there is one, the remedy. The native core raises the same
classes (it imports them from here), so callers need a single ``except BayesRcaError``.

``reason`` is a stable UPPER_SNAKE word for automation; the message is for people and may change.
``field`` is the path of the offending input (``signals[3].values``), empty when none applies.
"""

from __future__ import annotations


class BayesRcaError(Exception):
    """Base of every error raised on purpose.

    Args:
        message: what is wrong and what to do about it, in plain words.
        field: path of the offending input, e.g. ``topology.edges[2]``; empty when none applies.
    """

    reason = "INTERNAL"

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class InvalidIncidentError(BayesRcaError):
    """The incident's own description is inconsistent (names, edges, time, windows, values)."""

    reason = "INVALID_INCIDENT"


class IncidentFormatError(BayesRcaError):
    """A file or message that should hold an incident cannot be read as one."""

    reason = "INCIDENT_FORMAT"


class NotSupportedError(BayesRcaError):
    """The input is legal but this version cannot analyse it yet."""

    reason = "NOT_SUPPORTED"


class UnknownComponentError(BayesRcaError):
    """A name that no component of the topology carries."""

    reason = "UNKNOWN_COMPONENT"


class InvalidEvidenceError(BayesRcaError):
    """Arrays handed to the native core have the wrong shape, type or values."""

    reason = "INVALID_EVIDENCE"


class InvalidGameError(BayesRcaError):
    """A game's players, arrays or value function cannot be played."""

    reason = "INVALID_GAME"


class InvalidTelemetryError(BayesRcaError):
    """An OpenTelemetry export request cannot be read, or holds more than it may."""

    reason = "INVALID_TELEMETRY"


class NoEvidenceError(BayesRcaError):
    """Nothing in the incident can tell one hypothesis from another."""

    reason = "NO_EVIDENCE"


class GraphTooWideError(BayesRcaError):
    """The topology is too densely connected for the exact sum over affected sets."""

    reason = "GRAPH_TOO_WIDE"


class InvalidSettingsError(BayesRcaError):
    """A setting is outside its range or unknown."""

    reason = "INVALID_SETTINGS"


class InvalidRequestError(BayesRcaError):
    """A call names, pages or counts something in a way that cannot be."""

    reason = "INVALID_REQUEST"


class KernelError(BayesRcaError):
    """The native core failed for a reason that is not the caller's input."""

    reason = "KERNEL"


class SamplingError(BayesRcaError):
    """The sampler could not produce draws at all (unhealthy draws are an answer, not an error)."""

    reason = "SAMPLING"


class CancelledError(BayesRcaError):
    """The caller cancelled the work or its deadline passed before any answer existed."""

    reason = "CANCELLED"


class SourceError(BayesRcaError):
    """A source of telemetry could not be asked, or its answer cannot be read.

    Args:
        message: what happened and what to do about it; the source's name stands in front of it.
        source: the source's name, e.g. ``prometheus``.
        lost: whether asking it again for something else would fail as well.
    """

    reason = "SOURCE"

    def __init__(self, message: str, *, source: str, lost: bool = False) -> None:
        super().__init__(f"{source}: {message}", field=source)
        self.source = source
        self.lost = lost


class ServiceError(BayesRcaError):
    """The server could not be reached or refused the call.

    Args:
        message: what happened.
        reason: the server's stable reason, e.g. ``INVALID_INCIDENT``; ``UNAVAILABLE`` when no
            answer came.
        violations: ``(field, description)`` pairs the server sent, possibly empty.
    """

    reason = "SERVICE"

    def __init__(
        self,
        message: str,
        *,
        reason: str = "SERVICE",
        violations: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message, field=violations[0][0] if violations else "")
        self.reason = reason
        self.violations = violations
