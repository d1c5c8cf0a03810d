import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

MakeFolder = Callable[..., Path]

COLUMNS: Mapping[str, Sequence[object]] = {
    "time": [0.0, 60.0, 120.0, 180.0],
    "front|latency_avg": [0.1, 0.2, None, 0.9],
    "front|success_rate": [1.0, 1.0, 0.5, 0.0],
    "back|latency_avg": [0.1, 0.1, 0.2, 0.8],
}


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """Return a function that writes an incident folder out of columns and JSON contents."""

    def make(columns: Mapping[str, object] | pa.Table | None = COLUMNS, **files: object) -> Path:
        folder = tmp_path / "outage"
        folder.mkdir()
        if columns is not None:
            table = columns if isinstance(columns, pa.Table) else pa.table(dict(columns))
            pq.write_table(table, folder / "metrics.parquet")
        for name, content in files.items():
            text = content if isinstance(content, str) else json.dumps(content)
            (folder / f"{name}.json").write_text(text, encoding="utf-8")
        return folder

    return make
