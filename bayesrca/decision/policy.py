"""Policies: when a runbook may run by itself. Frozen, validated, known by their hash.

Every threshold is passed exactly at it. Whatever a policy says, an answer that is not healthy or
finds nothing anomalous holds (`bayesrca.decision.gate`).
"""

from __future__ import annotations

import json
import math
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import Any

from bayesrca.errors import InvalidSettingsError
from bayesrca.incident import ComponentKind

FORM = 1
"""Number of the canonical form; part of what is hashed."""
LONGEST_SECONDS = 366.0 * 86400.0
"""The longest age and window there may be."""
MOST_NAMES = 1000
"""In one list of a scope; names and patterns are at most so many characters long, too."""


class Verdict(StrEnum):
    """What automation may do.

    ``RUN``: run the runbook. ``REVIEW``: ask a person, with the reasons. ``HOLD``: do nothing.
    """

    RUN = "run"
    REVIEW = "review"
    HOLD = "hold"


class Bound(StrEnum):
    """Which end of a probability's uncertainty a threshold is compared with.

    ``INTERVAL``: the worse of its credible interval's end and of 3 Monte Carlo errors from it.
    ``MCSE``: 3 Monte Carlo errors from it; what is not known of the parameters is averaged over.
    """

    INTERVAL = "interval"
    MCSE = "mcse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The causes a runbook is meant for.

    Attributes:
        components: exact names; sorted, each once.
        patterns: shell patterns of names, case counts; sorted, each once. ``*`` is any component.
            At least one name or pattern is given.
        level: act on places of this kind, e.g. ``host``: a component with all that it contains, by
            `Level`; None acts on components.
        faults: kinds of fault the runbook is meant for, e.g. ``resource``; empty for all. Not with
            ``level``, whose places have no kind of fault.

    Raises:
        InvalidSettingsError: nothing named, an unknown level, or faults at a level.
    """

    components: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    level: str | None = None
    faults: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("components", "patterns", "faults"):
            object.__setattr__(self, name, _names(f"scope.{name}", getattr(self, name)))
        if not (self.components or self.patterns):
            raise _error("scope", 'names no component; patterns = ["*"] means any')
        if self.level is not None:
            level = _word(ComponentKind, "scope.level", self.level)
            object.__setattr__(self, "level", level.value)
            if self.faults:
                raise _error("scope.faults", "cannot be asked for at a level; leave one out")

    def covers(self, component: str) -> bool:
        """Whether the runbook is meant for a component, or place, of this name."""
        return component in self.components or any(
            fnmatchcase(component, pattern) for pattern in self.patterns
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Numbers an answer is compared with; all in [0, 1].

    Attributes:
        p_cause: least p(cause) at which the runbook runs (> 0); its lower bound is compared.
        p_cause_review: least p(cause) that is worth a person's time (> 0, at most ``p_cause``).
        p_none: largest p(none) at which the runbook runs; its upper bound is compared.
        p_none_review: largest p(none) that is worth a person's time (at least ``p_none``).
        lead: least p(cause) less the probability that the strongest rival is a cause without it
            (> 0, so that a tie never runs).
        alone: least p(only cause) / p(cause): below it the cause rather acts with others.
        fault: least probability of the scope's faults, given that it is the only cause.
        bound: which uncertainty is held against the runbook.
        interval_mass: least mass of the answer's credible intervals; narrower ones hold.

    Raises:
        InvalidSettingsError: a number outside its range, or an unknown bound.
    """

    p_cause: float = 0.9
    p_cause_review: float = 0.5
    p_none: float = 0.05
    p_none_review: float = 0.5
    lead: float = 0.1
    alone: float = 0.5
    fault: float = 0.5
    bound: Bound = Bound.INTERVAL
    interval_mass: float = 0.89

    def __post_init__(self) -> None:
        for name in ("p_cause", "p_cause_review", "lead"):
            _set_number(self, "thresholds", name, 0.0, 1.0, open_low=True)
        for name in ("p_none", "p_none_review", "alone", "fault", "interval_mass"):
            _set_number(self, "thresholds", name, 0.0, 1.0)
        if self.p_cause_review > self.p_cause:
            raise _error("thresholds.p_cause_review", f"must be at most p_cause, {self.p_cause}")
        if self.p_none_review < self.p_none:
            raise _error("thresholds.p_none_review", f"must be at least p_none, {self.p_none}")
        object.__setattr__(self, "bound", _word(Bound, "thresholds.bound", self.bound))


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedShareRule:
    """How much of the target's excess the cause has to account for.

    Attributes:
        minimum: least share at which the runbook runs, in [0, 1]; below it a person reviews.
        unknown: what becomes of an answer that does not know the share.

    Raises:
        InvalidSettingsError: a number outside its range, or an unknown verdict.
    """

    minimum: float = 0.5
    unknown: Verdict = Verdict.REVIEW

    def __post_init__(self) -> None:
        _set_number(self, "explained_share", "minimum", 0.0, 1.0)
        object.__setattr__(self, "unknown", _word(Verdict, "explained_share.unknown", self.unknown))


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthRule:
    """What is asked of the computation, on top of its health gates.

    Attributes:
        methods: methods whose answers may act: ``nuts``, ``screen`` or both; sorted, each once.
        min_ess: least effective sample size (>= 0).

    Raises:
        InvalidSettingsError: no method, an unknown one, or a number outside its range.
    """

    methods: tuple[str, ...] = ("nuts", "screen")
    min_ess: float = 0.0

    def __post_init__(self) -> None:
        methods = _names("health.methods", self.methods)
        if not methods or set(methods) - {"nuts", "screen"}:
            raise _error("health.methods", f"must name nuts, screen or both, got {methods!r}")
        object.__setattr__(self, "methods", methods)
        _set_number(self, "health", "min_ess", 0.0, math.inf)


@dataclass(frozen=True, slots=True, kw_only=True)
class LossTable:
    """What each outcome costs, >= 0, in any one unit.

    ``right`` is: the component is a cause of the kind the runbook is meant for.

    Attributes:
        act_right: the runbook ran and was right; below ``wait_right``.
        act_wrong: the runbook ran and was wrong; above ``wait_wrong``.
        wait_right: it was not run and would have been right.
        wait_wrong: it was not run and would have been wrong.

    Raises:
        InvalidSettingsError: a number outside its range, or a table by which it never matters
            whether the runbook is right.
    """

    act_right: float
    act_wrong: float
    wait_right: float
    wait_wrong: float

    def __post_init__(self) -> None:
        for name in ("act_right", "act_wrong", "wait_right", "wait_wrong"):
            _set_number(self, "loss", name, 0.0, math.inf)
        if self.act_right >= self.wait_right:
            raise _error("loss.act_right", f"must be below wait_right, {self.wait_right}")
        if self.act_wrong <= self.wait_wrong:
            raise _error("loss.act_wrong", f"must be above wait_wrong, {self.wait_wrong}")

    def acting(self, p: float) -> float:
        """Return the expected loss of acting, given the probability of being right."""
        return p * self.act_right + (1.0 - p) * self.act_wrong

    def waiting(self, p: float) -> float:
        """Return the expected loss of waiting, given the probability of being right."""
        return p * self.wait_right + (1.0 - p) * self.wait_wrong

    def benefit(self, p: float) -> float:
        """Return the expected loss of waiting less that of acting; never falls as p grows."""
        gain, harm = self.wait_right - self.act_right, self.act_wrong - self.wait_wrong
        return p * gain - (1.0 - p) * harm

    @property
    def break_even(self) -> float:
        """Probability of being right at which acting and waiting cost the same, in (0, 1)."""
        gain, harm = self.wait_right - self.act_right, self.act_wrong - self.wait_wrong
        return harm / (gain + harm)


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """How often a runbook may run by itself.

    Attributes:
        runs: most runs within the window (>= 1).
        window_seconds: its length (> 0, at most 366 days); a run exactly so long ago still counts.

    Raises:
        InvalidSettingsError: a number outside its range.
    """

    runs: int
    window_seconds: float

    def __post_init__(self) -> None:
        runs: object = self.runs
        if isinstance(runs, bool) or not isinstance(runs, int) or runs < 1:
            raise _error("rate_limit.runs", f"must be a whole number >= 1, got {runs!r}")
        _set_number(self, "rate_limit", "window_seconds", 0.0, LONGEST_SECONDS, open_low=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """When a runbook may run by itself.

    Attributes:
        runbook: its name.
        reversible: whether it can be undone; what cannot never runs, but is reviewed.
        scope: the causes it is meant for.
        loss: what acting and waiting cost.
        rate_limit: how often it may run.
        thresholds: what the probabilities are compared with.
        explained_share: what is asked of the explained share.
        health: what is asked of the computation.
        several: what becomes of a cause that rather acts with others (`Thresholds.alone`).
        max_age_seconds: age up to which an analysis may be acted on (> 0, at most 366 days).

    Raises:
        InvalidSettingsError: a value outside its range; ``field`` is its path.
    """

    runbook: str
    reversible: bool
    scope: Scope
    loss: LossTable
    rate_limit: RateLimit
    thresholds: Thresholds = field(default_factory=Thresholds)
    explained_share: ExplainedShareRule = field(default_factory=ExplainedShareRule)
    health: HealthRule = field(default_factory=HealthRule)
    several: Verdict = Verdict.REVIEW
    max_age_seconds: float = 900.0

    def __post_init__(self) -> None:
        runbook: object = self.runbook
        reversible: object = self.reversible
        if not isinstance(runbook, str) or not 0 < len(runbook) <= MOST_NAMES:
            raise _error("runbook", f"must be a name of 1 to {MOST_NAMES} characters")
        if not isinstance(reversible, bool):
            raise _error("reversible", f"must be true or false, got {reversible!r}")
        object.__setattr__(self, "several", _word(Verdict, "several", self.several))
        _set_number(self, "", "max_age_seconds", 0.0, LONGEST_SECONDS, open_low=True)

    @property
    def version(self) -> str:
        """SHA-256 of the policy's canonical form, 64 hexadecimal digits: its identity.

        What has its default is left out, so that a key a later release adds changes no version; a
        release that changes a default has to change `FORM`.
        """
        document = {"form": FORM, **_without_defaults(self)}
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return sha256(text.encode()).hexdigest()


def policy_document(policy: Policy) -> dict[str, Any]:
    """Return a policy as plain dicts, lists, strings, numbers and booleans, all keys present.

    Scope's ``level`` is None where none is set; the tables are those of a policy file.
    """
    return {key: _plain(value) for key, value in asdict(policy).items()}


def _without_defaults(part: Any) -> dict[str, Any]:  # noqa: ANN401  any of the classes above
    out: dict[str, Any] = {}
    for f in fields(part):
        value = getattr(part, f.name)
        default = f.default if f.default_factory is MISSING else f.default_factory()
        if value != default:
            out[f.name] = _without_defaults(value) if is_dataclass(value) else _plain(value)
    return out


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, tuple):
        return list(value)
    return value.value if isinstance(value, StrEnum) else value


def _set_number(
    owner: object, table: str, name: str, low: float, high: float, *, open_low: bool = False
) -> None:
    """Check a number and store it as a float, so that 1 and 1.0 are one policy."""
    value = getattr(owner, name)
    path = f"{table}.{name}" if table else name
    number = math.nan
    # Whole numbers have no end in Python.
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300:
        number = float(value)
    if not (low < number <= high if open_low else low <= number <= high):
        top = "below 1e300" if high == math.inf else f"at most {high:.9g}"
        least = "above" if open_low else "at least"
        raise _error(path, f"must be a number {least} {low:g} and {top}, got {value!r}")
    object.__setattr__(owner, name, number + 0.0)


def _names(path: str, values: object) -> tuple[str, ...]:
    """Return names sorted and each once: their order means nothing."""
    listed = list(values) if isinstance(values, list | tuple) else []
    names = {v for v in listed if isinstance(v, str) and v}
    if not isinstance(values, list | tuple) or not names.issuperset(listed):
        raise _error(path, f"must be an array of names, got {values!r}")
    if len(names) > MOST_NAMES or any(len(name) > MOST_NAMES for name in names):
        raise _error(path, f"must hold at most {MOST_NAMES} names of {MOST_NAMES} characters")
    return tuple(sorted(names))


def _word[E: StrEnum](words: type[E], path: str, value: object) -> E:
    try:
        return words(str(value))
    except ValueError:
        raise _error(path, f"must be one of {', '.join(words)}, got {value!r}") from None


def _error(path: str, what: str) -> InvalidSettingsError:
    return InvalidSettingsError(f"the policy's {path} {what}", field=path)
