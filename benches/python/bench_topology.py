"""CPU cost of the topology map: 200,000 spans of 200 components, 2,000 declared edges.

    python -m pytest benches/python/bench_topology.py --benchmark-only

All times are CPU times of the whole process, so that a busy machine does not change what they mean.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from bayesrca.incident import Component, ComponentKind, Edge, Spans, TopologyMap
from bayesrca.ingest.places import Place
from bayesrca.ingest.topology_map import Sources, build_topology_map

CPU = pytest.mark.benchmark(timer=time.process_time)
DEPTH = 10


def make_sources(n: int = 200_000, components: int = 200, codes: int = 20) -> Sources:
    """Traces that go down ten components each; every component ran twenty regions on five pods."""
    rng = np.random.default_rng(3)
    traces = n // DEPTH
    level = np.tile(np.arange(DEPTH), traces)
    first = np.repeat(rng.integers(components, size=traces), DEPTH)
    component = (first + level * (1 + level)) % components
    names = tuple(f"c{i}" for i in range(components))
    spans = Spans(
        components=names,
        operations=("op",),
        codes=tuple(f"Class#{i}" for i in range(codes)),
        trace_ids=tuple(map(str, range(traces))),
        component=component.astype(np.int32),
        operation=np.zeros(len(level), dtype=np.int32),
        code=rng.integers(codes, size=len(level)).astype(np.int32),
        trace=np.repeat(np.arange(traces), DEPTH),
        parent=np.where(level > 0, np.arange(len(level)) - 1, -1),
        start_ns=np.arange(len(level)),
        duration_ns=rng.integers(1, 10**9, size=len(level)),
        kind=np.full(len(level), 2, dtype=np.int8),
        status=np.zeros(len(level), dtype=np.int8),
        peer=np.full(len(level), -1, dtype=np.int32),
    )
    return Sources(
        declared=[Component(name) for name in names],
        # Most of them are never seen.
        edges=[
            Edge(f"c{i}", f"c{(i + step) % components}")
            for i in range(components)
            for step in range(1, 11)
        ],
        spans=[spans],
        places=[
            Place(f"pod{i}-{j}", ComponentKind.POD, f"c{i}", None, 7)
            for i in range(components)
            for j in range(5)
        ],
    )


@CPU
def test_whole_map(benchmark: Any) -> None:  # noqa: ANN401
    found: TopologyMap = benchmark(build_topology_map, make_sources(*_size(benchmark)))
    assert any(known.component.kind is ComponentKind.FUNCTION for known in found.components)


@CPU
def test_topology_of_an_incident(benchmark: Any) -> None:  # noqa: ANN401
    sources = make_sources(*_size(benchmark))
    topology = benchmark(
        lambda: build_topology_map(sources, resources=False, code=False).topology()
    )
    assert {component.kind for component in topology.components} == {ComponentKind.SERVICE}


def _size(benchmark: Any) -> tuple[int, int]:  # noqa: ANN401
    return (2_000, 20) if benchmark.disabled else (200_000, 200)
