"""Log records as columns: who said what, when, how gravely, and within which span."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesrca.errors import InvalidIncidentError
from bayesrca.incident._columns import (
    ColumnTable,
    reject_rows,
    require_index,
    require_names,
)
from bayesrca.incident.moment import TimeWindow

COLUMNS = {
    "component": np.int32,
    "text": np.int32,
    "time_ns": np.int64,
    "severity": np.int8,
    "span": np.int64,
    "code": np.int32,
}
LARGEST_SEVERITY = 24
LONGEST_TEXT = 2048


@dataclass(frozen=True, slots=True, eq=False)
class Logs(ColumnTable):
    """n log records of one recording, in any order; texts are interned.

    Columns are kept as read-only arrays of the types below; an input that somebody could still
    write to is copied. Equality compares content, and tables are not hashable.

    Attributes:
        components: names of the components that logged; unique.
        texts: bodies, unique, each of at most 2,048 characters; one may be empty.
        codes: code regions, unique: ``Class#line`` or a function.
        component: int32[n] which of `components` logged.
        text: int32[n] which of `texts` it said.
        time_ns: int64[n] when, nanoseconds since the epoch.
        severity: int8[n] OpenTelemetry's severity number: 0 unknown, 1 to 4 trace, 5 to 8 debug,
            9 to 12 info, 13 to 16 warning, 17 to 20 error, 21 to 24 fatal.
        span: int64[n] row of the enclosing span in the spans of the same recording, -1 none.
        code: int32[n] which of `codes` it was said by, -1 unknown.
        notes: what was mended or left out when the records were read, for the answer.

    Raises:
        InvalidIncidentError: no row, columns of different lengths, a number out of its range, a
            repeated name, or a text that is too long; the message names the row. Whether `span`
            exists is checked by the `Incident` or `Run`.
    """

    components: tuple[str, ...]
    texts: tuple[str, ...]
    codes: tuple[str, ...]
    component: NDArray[np.int32]
    text: NDArray[np.int32]
    time_ns: NDArray[np.int64]
    severity: NDArray[np.int8]
    span: NDArray[np.int64]
    code: NDArray[np.int32]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = {
            "components": require_names(self.components, "component", "components"),
            "texts": require_names(self.texts, "text", "texts", empty=True),
            "codes": require_names(self.codes, "code region", "codes"),
        }
        self.freeze(names, COLUMNS, "log records")
        self._check()

    def within(self, window: TimeWindow) -> NDArray[np.bool_]:
        """Return which records [n] were logged in the window."""
        return window.contains(self.time_ns / 1e9)

    def _check(self) -> None:
        what = "of a log record"
        require_index(self.component, len(self.components), f"the component {what}", "component")
        require_index(self.text, len(self.texts), f"the text {what}", "text")
        require_index(self.severity, LARGEST_SEVERITY + 1, f"the severity {what}", "severity")
        require_index(self.code, len(self.codes), f"the code {what}", "code", optional=True)
        what = "the span of a log record is a row of the spans, or -1 for none: it is"
        reject_rows(self.span < -1, self.span, what, "span")
        for i, text in enumerate(self.texts):
            if len(text) > LONGEST_TEXT:
                msg = f"text {i} has {len(text)} characters; cut it at {LONGEST_TEXT}"
                raise InvalidIncidentError(msg, field=f"texts[{i}]")
