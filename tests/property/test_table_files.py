"""Whatever a file of spans or log records holds, it is read or refused with its name."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesrca.errors import BayesRcaError
from bayesrca.incident import Incident
from bayesrca.ingest import load_incident, load_topology_map

TEXT = st.text(max_size=6) | st.sampled_from(["a", "b", "same", "root", "1970-01-01T00:00:01Z"])
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats() | st.integers(0, 9)
ODD = st.none() | st.booleans() | NUMBERS | TEXT
KEYS = st.sampled_from(
    [
        "trace_id",
        "span_id",
        "parent_id",
        "service",
        "name",
        "start",
        "start_ns",
        "end_ns",
        "duration_ms",
        "kind",
        "status",
        "peer.service",
        "db.system",
        "code.line.number",
        "host.name",
        "attributes",
    ]
)
ROWS = st.lists(
    st.dictionaries(KEYS, ODD | st.lists(ODD, max_size=2) | st.dictionaries(KEYS, ODD, max_size=2)),
    max_size=5,
)
GOOD: dict[str, Any] = {
    "trace_id": "t",
    "service": "web",
    "name": "op",
    "start": "1970-01-01T00:00:01Z",
    "duration_ms": 1,
    "time": 1,
    "body": "said",
}
COLUMNS = {
    "trace_id": st.sampled_from([b"t", b"u", b"\xff", None]),
    "span_id": st.sampled_from([b"a", b"b", b"\xfe", b"", None]),
    "parent_id": st.sampled_from([b"a", b"b", b"root", None]),
    "service": st.sampled_from([b"web", b"\xc3\x28", b"", b"a|b", None]),
    "name": st.binary(max_size=4),
    "body": st.binary(max_size=40) | st.sampled_from([b'{"log": {"log": 1}}', b"INFO a#1", None]),
    "start_ns": st.integers(-(2**63), 2**63 - 1) | st.none(),
    "time_ns": st.integers(-(2**63), 2**63 - 1) | st.none(),
    "duration_ns": st.integers(-(2**63), 2**63 - 1) | st.none(),
    "kind": st.integers(-9, 9),
    "severity": st.sampled_from([b"INFO", b"", b"4", b"\xff"]),
    "db.system": st.sampled_from([b"mysql", None]),
    "server.address": st.sampled_from([b"web", b"db", None]),
    "host.name": st.sampled_from([b"web", b"h", None]),
}


def read(folder: Path) -> Incident | None:
    try:
        load_topology_map(folder)
        return load_incident(folder)
    except BayesRcaError as error:
        assert str(folder) in str(error)
        return None


@settings(deadline=None, max_examples=150)
@given(ROWS, st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(GOOD, ODD)), max_size=4))
def test_json(rows: list[dict[str, Any]], changes: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as parent:
        content = [*rows, *(GOOD | change for change in changes)]
        (Path(parent) / "traces.json").write_text(json.dumps(content))
        read(Path(parent))


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_parquet(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 6))
    with tempfile.TemporaryDirectory() as parent:
        for name in ("traces", "logs"):
            columns = {
                key: pa.array(data.draw(st.lists(values, min_size=n, max_size=n)))
                for key, values in COLUMNS.items()
            }
            pq.write_table(pa.table(columns), Path(parent) / f"{name}.parquet")
        found = read(Path(parent))
        if found is not None and found.spans is not None:
            assert len(found.spans) <= n


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 255))
def test_damaged_parquet(at: int, change: int) -> None:
    with tempfile.TemporaryDirectory() as parent:
        path = Path(parent) / "traces.parquet"
        table = pa.table({k: [v] * 20 for k, v in GOOD.items()})
        pq.write_table(table, path, write_page_checksum=True)
        content = bytearray(path.read_bytes())
        content[at % len(content)] ^= change
        path.write_bytes(content)
        read(Path(parent))
