import pickle

import numpy as np
import pytest

from bayesrca.errors import InvalidIncidentError
from bayesrca.incident import (
    Component,
    Edge,
    Family,
    Incident,
    Run,
    Signal,
    Statistic,
    TimeWindow,
    Topology,
)


def series(component: str | None = "pump", name: str = "ok", edge: Edge | None = None) -> Signal:
    time = np.arange(3.0)
    return Signal(component, name, Family.STATE, Statistic.VALUE, time, np.ones(3), "", edge)


def test_a_run_keeps_its_own_clock_and_components() -> None:
    late = Signal("other", "x", Family.GENERIC, Statistic.VALUE, [1e9], [1.0])  # type: ignore[arg-type]
    incident = Incident(
        "outage",
        Topology((Component("pump"),)),
        (series(),),
        window=TimeWindow(1.0, 2.0),
        normal_runs=[Run("monday", [late])],  # type: ignore[arg-type]
    )
    assert incident.normal_runs == (Run("monday", (late,)),)
    assert pickle.loads(pickle.dumps(incident)) == incident


def test_what_is_no_run() -> None:
    with pytest.raises(InvalidIncidentError, match="'monday' has no signal, span or log record"):
        Run("monday", ())
    with pytest.raises(InvalidIncidentError, match=r"'pump\|ok' is given twice .*'monday'"):
        Run("monday", (series(), series()))
    with pytest.raises(InvalidIncidentError, match="belongs to an edge; drop it"):
        Run("monday", (series(None, edge=Edge("a", "b")),))
    with pytest.raises(InvalidIncidentError, match=r"two normal runs .* named 'a'; rename one"):
        Incident(
            "outage",
            Topology((Component("pump"),)),
            (series(),),
            normal_runs=(Run("a", (series(),)), Run("a", (series(),))),
        )
