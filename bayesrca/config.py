"""Settings of an analysis: one frozen object, validated once, the same everywhere."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from bayesrca.alert_law import AlertLaw
from bayesrca.errors import InvalidSettingsError

LARGEST_SEED = 2**63 - 1
"""Seeds run from 0 to this, at home and over the wire: what a signed 64-bit column holds."""
DEFAULT_MAX_MESSAGE_BYTES = 64 << 20
"""Largest message that server and client send and take unless told otherwise: 1 000 components with
3 series of 600 samples each take 15 MB."""
_MOST_SCREEN_POINTS = 1 << 16
"""The core's own limit: its Sobol sequences are that long."""


class Method(StrEnum):
    """How the posterior is computed.

    ``SCREEN``: importance sampling around the posterior mode, in Rust (milliseconds).
    ``NUTS``: the No-U-Turn sampler on the PyMC model (seconds).
    ``AUTO``: the screen first, then NUTS where the deadline leaves room for it.
    """

    AUTO = "auto"
    SCREEN = "screen"
    NUTS = "nuts"


class BeyondWidth(StrEnum):
    """What becomes of a sum over affected sets that would hold open more than ``max_width``.

    ``ESTIMATE``: it is estimated without bias, and the answer's diagnostics give the error.
    ``REFUSE``: the analysis stops with `GraphTooWideError`.
    """

    ESTIMATE = "estimate"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedPrior:
    """A prior of theta learned from labelled incidents; read by `bayesrca.model.prior_file`.

    Attributes:
        name: the file's name.
        sha256: hash of its content, 64 hexadecimal digits.
        mean: [p] means of the unconstrained theta.
        sd: [p] standard deviations.
        gamma: exponent of the hypotheses' posterior, in (0, 1]; 1 leaves it as it is.
        incidents: labelled incidents it was learned from.
        groups: distinct (data set, root causes, fault) among them.
        alerts: what they taught of alerts, or None.
    """

    name: str
    sha256: str
    mean: tuple[float, ...]
    sd: tuple[float, ...]
    gamma: float
    incidents: int
    groups: int
    alerts: AlertLaw | None = None

    @property
    def label(self) -> str:
        """Name and the hash's first 12 digits: enough to tell files apart."""
        return f"{self.name} (sha256 {self.sha256[:12]})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that shapes an analysis apart from the incident and the seed.

    Attributes:
        method: see `Method`.
        deadline: seconds the whole analysis may take (> 0), or None for no limit. With a deadline,
            `Method.AUTO` answers with the screen when NUTS cannot finish in time.
        chains: NUTS chains (1 to 64; R-hat needs at least 2).
        draws: kept draws per chain (>= 1).
        tune: warm-up draws per chain (>= 1).
        target_accept: NUTS' target acceptance probability, in (0, 1).
        retry_target_accept: the same for the one rerun when the health gates fail, with longer
            trajectories, in (0, 1).
        screen_scrambles: independent Sobol scrambles of the screen (>= 4), whose spread is its
            error.
        screen_points: points per scramble (8 to 2^16; powers of two balance best).
        none_prior: prior probability that no listed component is the cause, in (0, 1).
        max_causes: largest number of components that may be causes at once (1 to 3).
        set_candidates: components among which sets of several causes are formed, those most
            probable as single causes (2 to 24).
        interval_mass: mass of the reported credible intervals, in (0, 1). Default .89, ArviZ's own.
        cores: threads one analysis may use (>= 1). Never changes a number in the answer.
        max_bins: bins into which the incident window is cut to place onset and end (2 to 12).
        max_width: largest number of components that may stay open at once in the exact sum over
            affected sets (1 to 20).
        beyond_width: what becomes of sums that would need more; see `BeyondWidth`.
        prior: a learned prior of theta (docs/learning.md), or None for the built-in one.

    Raises:
        InvalidSettingsError: a value is outside its range.
    """

    method: Method = Method.AUTO
    deadline: float | None = None
    chains: int = 4
    draws: int = 1000
    tune: int = 1000
    target_accept: float = 0.7
    retry_target_accept: float = 0.98
    screen_scrambles: int = 16
    screen_points: int = 32
    none_prior: float = 0.05
    max_causes: int = 3
    set_candidates: int = 10
    interval_mass: float = 0.89
    cores: int = 2
    max_bins: int = 5
    max_width: int = 14
    beyond_width: BeyondWidth = BeyondWidth.ESTIMATE
    prior: LearnedPrior | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "method", _word(Method, "method", self.method))
        beyond = _word(BeyondWidth, "beyond_width", self.beyond_width)
        object.__setattr__(self, "beyond_width", beyond)
        if self.deadline is not None:
            _check("deadline", self.deadline, 0.0, math.inf, open_low=True, open_high=True)
        for name, low, high in (
            ("chains", 1, 64),
            ("draws", 1, 1_000_000),
            ("tune", 1, 1_000_000),
            ("screen_scrambles", 4, 1024),
            ("screen_points", 8, _MOST_SCREEN_POINTS),
            ("cores", 1, 1024),
            ("max_causes", 1, 3),
            ("set_candidates", 2, 24),
            ("max_bins", 2, 12),
            ("max_width", 1, 20),
        ):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool):
                msg = f"{name} must be a whole number, got {value!r}"
                raise InvalidSettingsError(msg, field=name)
            _check(name, value, low, high)
        for name in ("target_accept", "retry_target_accept", "none_prior", "interval_mass"):
            _check(name, getattr(self, name), 0.0, 1.0, open_low=True, open_high=True)


def _word[E: StrEnum](words: type[E], name: str, value: str) -> E:
    try:
        return words(value)
    except ValueError:
        msg = f"{name} must be one of {', '.join(words)}, got {value!r}"
        raise InvalidSettingsError(msg, field=name) from None


def _check(
    name: str,
    value: float,
    low: float,
    high: float,
    *,
    open_low: bool = False,
    open_high: bool = False,
) -> None:
    above = value > low if open_low else value >= low
    below = value < high if open_high else value <= high
    if not (above and below):
        left, right = "(" if open_low else "[", ")" if open_high else "]"
        msg = f"{name} must be in {left}{low}, {high}{right}, got {value!r}"
        raise InvalidSettingsError(msg, field=name)
