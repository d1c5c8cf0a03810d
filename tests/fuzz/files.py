"""Laws of the readers of files: they read what is meant, or refuse it by an error that names it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from bayesrca.columns.otlp import Kind, Table, decode
from bayesrca.decision.policy_file import load_policy
from bayesrca.errors import (
    BayesRcaError,
    IncidentFormatError,
    InvalidIncidentError,
    InvalidSettingsError,
    InvalidTelemetryError,
    NoEvidenceError,
    NotSupportedError,
)
from bayesrca.incident import TimeWindow
from bayesrca.ingest import load_incident
from bayesrca.ingest.connectors.datadog import UNUSED_KEYS
from bayesrca.ingest.connectors.prometheus_file import read_plan
from bayesrca.ingest.families import FamilyRules
from bayesrca.ingest.folder import load_topology_map
from bayesrca.ingest.received_incident import build_received_incident
from bayesrca.ingest.truth import load_truth
from bayesrca.model.parameters import PRIORS
from bayesrca.model.prior_file import load_prior
from bayesrca.posterior.document import answer_document, hash_answer
from bayesrca.posterior.parse import parse_answer
from tests.fuzz.law import Law, folder, refused

START = 1_750_000_000.0
_WRONG = (IncidentFormatError, InvalidIncidentError, NotSupportedError)


@cache
def _incident() -> Path:
    """Return the folder of a small incident that nothing is wrong with."""
    path = folder() / "incident"
    path.mkdir()
    times = pa.array(START + np.arange(8.0))
    names = ["time", "cart|latency_ms", "pay|error_ratio"]
    columns = [times, pa.array(np.arange(8.0)), pa.array(np.linspace(0.0, 1.0, 8))]
    pq.write_table(pa.table(dict(zip(names, columns, strict=True))), path / "metrics.parquet")
    return path


def _loaded(path: Path) -> bool:
    """Load an incident; return whether that worked."""
    try:
        incident = load_incident(path)
    except _WRONG as error:
        return refused(error, path.name)
    assert incident.name
    for note in incident.notes:
        note.encode()
    load_topology_map(path)
    return True


def _part(name: str) -> Law:
    """The law of a file of an incident's folder, beside good others."""

    def law(data: bytes) -> bool:
        file = _incident() / name
        file.write_bytes(data)
        try:
            return _loaded(file.parent)
        finally:
            file.unlink()

    return law


def truth(data: bytes) -> bool:
    read = _part("truth.json")(data)
    file = _incident() / "truth.json"
    file.write_bytes(data)
    try:
        for component, _ in load_truth(file.parent).root_causes:
            component.encode(errors="surrogatepass")
    except IncidentFormatError as error:
        return refused(error, file.name)
    finally:
        file.unlink()
    return read


_TYPES: dict[str, Callable[[], pa.DataType]] = {
    "bool": pa.bool_,
    "int64": pa.int64,
    "uint64": pa.uint64,
    "int8": pa.int8,
    "double": pa.float64,
    "half": pa.float16,
    "text": pa.string,
    "bytes": pa.binary,
    "id": lambda: pa.binary(8),
    "seconds": lambda: pa.timestamp("s"),
    "nanoseconds": lambda: pa.timestamp("ns", "UTC"),
    "dictionary": lambda: pa.dictionary(pa.int8(), pa.string()),
    "list": lambda: pa.list_(pa.int64()),
    "decimal": lambda: pa.decimal128(20, 3),
    "null": pa.null,
}


def tables(data: bytes) -> bool:
    """Parquet files of a folder: ``{"file": {"column": {"type": [cells]}}}``."""
    path = folder() / "tables"
    path.mkdir(exist_ok=True)
    try:
        return _written(path, data) and _loaded(path)
    finally:
        for file in path.iterdir():
            file.unlink()


def parquet(data: bytes) -> bool:
    """The bytes of an incident's metrics themselves, its column names as they come."""
    path = folder() / "parquet"
    path.mkdir(exist_ok=True)
    (path / "metrics.parquet").write_bytes(data)
    return _loaded(path)


def _written(path: Path, data: bytes) -> bool:
    try:
        for name, columns in json.loads(data).items():
            if name in ("metrics", "traces", "logs", "traces_normal", "logs_normal"):
                pq.write_table(_table(columns), path / f"{name}.parquet")
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError):
        return False  # Arrow cannot write what was described
    except (AttributeError, pa.ArrowException):
        return False
    return True


def _table(columns: dict[str, dict[str, list[object]]]) -> pa.Table:
    arrays = {}
    for name, typed in columns.items():
        ((kind, cells),) = typed.items()
        texts = kind in ("bytes", "id")
        cells = [c.encode() if texts and isinstance(c, str) else c for c in cells]
        arrays[name] = pa.array(cells, _TYPES.get(kind, pa.string)())
    return pa.table(arrays)


def queries(data: bytes) -> bool:
    """A file of queries: JSON if it begins so, else TOML."""
    file = folder() / ("queries.json" if data[:1] == b"{" else "queries.toml")
    file.write_bytes(data)
    read = []
    for unused in ((), UNUSED_KEYS):
        try:
            plan = read_plan(file, unused=unused)
        except InvalidSettingsError as error:
            read.append(refused(error, file.name))
            continue
        assert plan.window_text(60.0).endswith("ms")
        for query in plan.queries:
            f"{query.name}{query.expr}{query.label}{query.component}{query.unit}".encode()
        plan.mapping.component("job", "shop/cart")
        plan.mapping.component_of({"app": "cart-svc", "pod": "cart-1"})
        read.append(True)
    return any(read)


def families(data: bytes) -> bool:
    file = folder() / "families.toml"
    file.write_bytes(data)
    try:
        rules = FamilyRules.from_toml(file)
    except InvalidSettingsError as error:
        return refused(error, file.name)
    rules.classify("http_request_duration_ms").family.encode()
    return True


def policy(data: bytes) -> bool:
    file = folder() / "policy.toml"
    file.write_bytes(data)
    try:
        load_policy(file)
    except InvalidSettingsError as error:
        return refused(error, file.name)
    return True


def prior(data: bytes) -> bool:
    """A prior file as it is, and once more with the hash that its content calls for."""
    read = _prior(data)
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return read
    if isinstance(document, dict):
        document.pop("sha256", None)
        text = json.dumps(document, sort_keys=True, separators=(",", ":"))
        signed = document | {"sha256": sha256(text.encode()).hexdigest()}
        read = _prior(json.dumps(signed).encode())
    return read


def _prior(data: bytes) -> bool:
    file = folder() / "prior.json"
    file.write_bytes(data)
    try:
        found = load_prior(file)
    except InvalidSettingsError as error:
        return refused(error, file.name)
    count = sum(len(one.centre) for one in PRIORS.values())
    assert len(found.mean) == len(found.sd) == count
    assert all(map(math.isfinite, (*found.mean, *found.sd, found.gamma)))
    assert min(found.sd) > 0.0
    assert found.incidents >= 0
    assert found.groups >= 0
    return True


def answer(data: bytes) -> bool:
    """The JSON of an answer; what was read is written and read as the same."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return False
    try:
        found = parse_answer(document)
    except IncidentFormatError as error:
        return refused(error, error.field or "document")
    again = parse_answer(json.loads(json.dumps(answer_document(found))))
    assert hash_answer(again) == hash_answer(found)
    return True


def received(data: bytes) -> bool:
    """An incident from export requests, each behind its sort in one byte and its length in two."""
    held: list[Table] = []
    while len(data) > 3:
        kind = list(Kind)[data[0] % 3]
        length = int.from_bytes(data[1:3], "little")
        request, data = data[3 : 3 + length], data[3 + length :]
        try:
            held.append(decode(kind, request))
        except InvalidTelemetryError as error:
            refused(error, "byte")
    window, before = TimeWindow(START - 5.0, START + 60.0), TimeWindow(START - 60.0, START - 5.0)
    try:
        incident = build_received_incident(held, "outage", window=window, step=5.0)
    except NoEvidenceError as error:
        return refused(error, "received")
    assert incident.signals or incident.spans is not None
    try:
        build_received_incident(held, "outage", window=window, baseline=before, step=5.0)
    except BayesRcaError as error:
        refused(error, "baseline")
    return True


LAWS: dict[str, Law] = {
    "answer": answer,
    "events_json": _part("events.json"),
    "families": families,
    "gaps_json": _part("gaps.json"),
    "graph_json": _part("graph.json"),
    "otlp_received": received,
    "parquet": parquet,
    "policy": policy,
    "prior": prior,
    "queries": queries,
    "signals_json": _part("signals.json"),
    "tables": tables,
    "traces_json": _part("traces.json"),
    "truth_json": truth,
}
