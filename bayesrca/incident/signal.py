"""One series of numbers about one component or edge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesrca.errors import InvalidIncidentError
from bayesrca.incident._checks import require_member, require_text, require_unicode
from bayesrca.incident._columns import is_immutable
from bayesrca.incident.family import Family, Statistic
from bayesrca.incident.topology import Edge


@dataclass(frozen=True, slots=True, eq=False)
class Signal:
    """A series measured at one component or on one edge.

    Both arrays are kept as read-only, C-contiguous float64; an input that somebody could still
    write to is copied. Equality compares the arrays bit for bit in meaning (NaN equals NaN), and
    signals are not hashable.

    Attributes:
        component: name of the component it belongs to, or None when it belongs to an edge.
        name: name of the series, unique within its component or edge; opaque.
        family: what it measures.
        statistic: how each value summarises its interval.
        timestamps: [n] seconds, n >= 1, finite, strictly increasing.
        values: [n] finite numbers, NaN where a sample is missing; all NaN is legal.
        unit: ``s``, ``1`` (plain ratio), ``%``, any other unit's symbol, or empty when unknown.
        edge: the edge it belongs to, or None when it belongs to a component.

    Raises:
        InvalidIncidentError: neither or both of component and edge, an empty name, arrays that are
            not one-dimensional numbers of equal length, time that does not increase, an infinity.
    """

    component: str | None
    name: str
    family: Family
    statistic: Statistic
    timestamps: NDArray[np.float64]
    values: NDArray[np.float64]
    unit: str = ""
    edge: Edge | None = None

    def __post_init__(self) -> None:
        require_text(self.name, "a signal's name", "name")
        if (self.component is None) == (self.edge is None):
            msg = f"signal {self.name!r} must belong to a component or to an edge, and not to both"
            raise InvalidIncidentError(msg, field="component")
        if self.component is not None:
            require_text(self.component, f"the component of signal {self.name!r}", "component")
        family = require_member(Family, self.family, f"the family of {self.label}", "family")
        what = f"the statistic of {self.label}"
        statistic = require_member(Statistic, self.statistic, what, "statistic")
        require_unicode(self.unit, f"the unit of {self.label}", "unit")
        object.__setattr__(self, "family", family)
        object.__setattr__(self, "statistic", statistic)
        for part in ("timestamps", "values"):
            object.__setattr__(self, part, _freeze(getattr(self, part), self.label, part))
        self._check_time()
        self._check_values()

    @property
    def label(self) -> str:
        """Owner and name, to be read by people: `'checkout|latency'`."""
        if self.edge is not None:
            return f"'{self.edge.source} -> {self.edge.target}|{self.name}'"
        return f"'{self.component}|{self.name}'"

    def __len__(self) -> int:
        return len(self.timestamps)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Signal):
            return NotImplemented
        return (
            (self.component, self.name, self.family, self.statistic, self.unit, self.edge)
            == (other.component, other.name, other.family, other.statistic, other.unit, other.edge)
            and np.array_equal(self.timestamps, other.timestamps)
            and np.array_equal(self.values, other.values, equal_nan=True)
        )

    __hash__ = None  # type: ignore[assignment]  # arrays have no cheap, stable hash

    def __reduce__(self) -> tuple[type[Signal], tuple[object, ...]]:
        # NumPy forgets the read-only flag when it pickles; building anew restores it.
        parts = (self.component, self.name, self.family, self.statistic)
        return type(self), (*parts, self.timestamps, self.values, self.unit, self.edge)

    def _check_time(self) -> None:
        time = self.timestamps
        if len(time) == 0:
            msg = f"signal {self.label} has no sample; leave the series out instead"
            raise InvalidIncidentError(msg, field="timestamps")
        bad = np.flatnonzero(~np.isfinite(time))
        if bad.size:
            msg = f"signal {self.label} has time {time[bad[0]]} at index {bad[0]}; give seconds"
            raise InvalidIncidentError(msg, field=f"timestamps[{bad[0]}]")
        # Compared as neighbours: a difference of two huge times could overflow or round to zero.
        bad = np.flatnonzero(time[1:] <= time[:-1]) + 1
        if bad.size:
            i = int(bad[0])
            msg = (
                f"time of signal {self.label} does not increase at index {i}: {time[i]} follows "
                f"{time[i - 1]}; sort the samples and keep one per instant"
            )
            raise InvalidIncidentError(msg, field=f"timestamps[{i}]")

    def _check_values(self) -> None:
        if len(self.values) != len(self.timestamps):
            msg = (
                f"signal {self.label} has {len(self.values)} values for {len(self.timestamps)} "
                "timestamps; they must be equally many"
            )
            raise InvalidIncidentError(msg, field="values")
        bad = np.flatnonzero(np.isinf(self.values))
        if bad.size:
            msg = (
                f"signal {self.label} is infinite at index {bad[0]}; "
                "replace it by NaN if the sample is missing"
            )
            raise InvalidIncidentError(msg, field=f"values[{bad[0]}]")


def _freeze(data: object, label: str, part: str) -> NDArray[np.float64]:
    """Return the data as a read-only float64 vector that nobody else can write to."""
    try:
        raw = np.asarray(data)
    except ValueError:
        raw = np.empty(0, dtype=object)  # ragged: fails the check on the type below
    if raw.dtype.kind not in "fiub":
        msg = f"{part} of signal {label} must be plain numbers, got {raw.dtype} data"
        raise InvalidIncidentError(msg, field=part)
    if raw.ndim != 1:
        msg = f"{part} of signal {label} must have one dimension, got shape {raw.shape}"
        raise InvalidIncidentError(msg, field=part)
    if raw.dtype == np.float64 and raw.flags.c_contiguous and is_immutable(raw):
        return raw
    with np.errstate(over="ignore"):  # a long double too large becomes inf, which is reported
        frozen = np.array(raw, dtype=np.float64, order="C")
    frozen.setflags(write=False)
    return frozen
