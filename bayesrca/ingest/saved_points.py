"""Metric points in a Parquet file: as `series_of` reads them, they come back as they were."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
from numpy.typing import NDArray

from bayesrca.columns.otlp import Table, Value
from bayesrca.errors import IncidentFormatError
from bayesrca.ingest.table_file import Text, encode_text

_SERVICE = {"service.name": "service_name", "service.namespace": "service_namespace"}
_OF_METRIC = {
    "metric_kind": "metric_kind",
    "metric_temporality": "metric_temporality",
    "metric_monotonic": "metric_monotonic",
}
_OWN = ("start", "value", "count", "sum", "min", "max")
_LISTS = {"bucket": ("bucket_upper", "bucket_count"), "quantile": ("quantile", "quantile_value")}
_TIME = "time_unix_nano"


def point_arrays(table: Table) -> dict[str, pa.Array]:
    """Return points as the columns of a file: one row each, with all attributes."""
    columns, strings = table.columns, pa.array(table.strings, pa.string())
    metric = columns["metric"]
    arrays = {
        _TIME: pa.array(columns["time"]),
        "metric_name": strings.take(pa.array(columns["metric_name"][metric])),
        "metric_unit": strings.take(pa.array(columns["metric_unit"][metric])),
        **{name: pa.array(columns[name][metric]) for name in _OF_METRIC},
        **{name: pa.array(columns[name]) for name in _OWN},
        # Which points are one stream is told by these and the attributes.
        **{name: pa.array(columns[name]) for name in ("resource", "scope", "metric")},
    }
    for key, name in _SERVICE.items():
        numbers = table.resource_attribute(key)[columns["resource"]]
        arrays[name] = pa.array([None if n < 0 else str(table.values[n]) for n in numbers.tolist()])
    for name, parts in _LISTS.items():
        ends = columns[f"{name}_ends"]
        for part in parts:
            arrays[part] = pa.ListArray.from_arrays(_offsets(ends), pa.array(columns[part]))
    return arrays | attribute_maps(table)


def attribute_maps(table: Table) -> dict[str, pa.Array]:
    """Return the attributes of each record and of its resource, as maps of texts."""
    columns = table.columns
    keys = pa.array(table.strings, pa.string())
    values = pa.array([_plain(value) for value in table.values], pa.string())

    def maps(ends: NDArray[np.int64], numbers: NDArray[np.int32]) -> pa.Array:
        chosen = (
            pa.DictionaryArray.from_arrays(pa.array(codes), texts)
            for codes, texts in ((columns["key"][numbers], keys), (numbers, values))
        )
        return pa.MapArray.from_arrays(_offsets(ends), *chosen)

    begins = np.r_[0, columns["resource_attribute_ends"]]
    resource = columns["resource"]
    lengths = np.diff(begins)[resource]
    ends = np.cumsum(lengths)
    # Row by row the positions of its resource's attributes.
    places = np.arange(lengths.sum()) + np.repeat(begins[resource] - (ends - lengths), lengths)
    return {
        "attributes": maps(columns["attribute_ends"], columns["attributes"]),
        "resource_attributes": maps(ends, columns["resource_attributes"][places]),
    }


def _offsets(ends: NDArray[np.int64]) -> pa.Array:
    return pa.array(np.r_[0, ends].astype(np.int32))


def _plain(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


class SavedPoints:
    """Points of a file, with what `series_of` asks of a `Table`.

    Args:
        path: the file, as `point_arrays` made its columns.
        begin: earliest nanosecond since 1970.
        end: the nanosecond after the latest.

    Attributes:
        columns: as those of `Table`, without what no series needs.
        strings: texts by number.
        values: attributes' values by number, as texts.

    Raises:
        IncidentFormatError: it cannot be read.
    """

    def __init__(self, path: Path, begin: int, end: int) -> None:
        try:
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                table = file.read()
            time = table.column(_TIME)
            table = table.filter(
                pc.and_(pc.greater_equal(time, begin), pc.less(time, end))
            ).combine_chunks()
            self._read(path, table)
        except (pa.ArrowException, OSError, ValueError, KeyError, IndexError) as error:
            msg = f"{path.name} is not what was saved: {str(error).partition(chr(10))[0]}"
            raise IncidentFormatError(msg) from error

    def __len__(self) -> int:
        return len(self.columns["time"])

    def attribute(self, key: str) -> NDArray[np.int32]:
        """Return for each point the number of its attribute with a key, -1 for none: int32 [n]."""
        numbers = self.columns["attributes"]
        hits = np.flatnonzero((self._keys == key)[numbers])[::-1]  # the first one counts
        found = np.full(len(self), -1, dtype=np.int32)
        found[self._rows[hits]] = numbers[hits]
        return found

    def resource_attribute(self, key: str) -> NDArray[np.int32]:
        """Return the same for each distinct resource: of its service's name and namespace."""
        return self._resources[key]

    def _read(self, path: Path, table: pa.Table) -> None:
        def text(name: str) -> Text:
            return encode_text(path, name, table.column(name))

        def numbers(name: str) -> NDArray[Any]:
            return np.asarray(table.column(name).combine_chunks().to_numpy(zero_copy_only=False))

        _, first, metric = np.unique(numbers("metric"), return_index=True, return_inverse=True)
        _, owner, resource = np.unique(numbers("resource"), return_index=True, return_inverse=True)
        name, unit = text("metric_name"), text("metric_unit")
        self.strings = [*name.values, *unit.values]
        columns: dict[str, NDArray[Any]] = {
            "time": numbers(_TIME),
            "metric": metric,
            "resource": resource,
            "scope": numbers("scope"),
            "metric_name": name.codes[first],
            "metric_unit": unit.codes[first] + len(name.values),
            **{column: numbers(column)[first] for column in _OF_METRIC},
            **{column: numbers(column) for column in _OWN},
        }
        for word, parts in _LISTS.items():
            for part in parts:
                lists = table.column(part).combine_chunks()
                columns[f"{word}_ends"] = _ends(lists)
                columns[part] = np.asarray(lists.flatten().to_numpy(zero_copy_only=False))
        maps = table.column("attributes").combine_chunks()
        begin, end = maps.offsets[0].as_py(), maps.offsets[-1].as_py()
        keys, items = (
            encode_text(path, "attributes", pa.chunked_array([part[begin:end]]))
            for part in (maps.keys, maps.items)
        )
        width = len(items.values) + 1
        pairs, codes = np.unique(keys.codes * width + items.codes, return_inverse=True)
        columns["attributes"] = codes.astype(np.int32)
        columns["attribute_ends"] = _ends(maps)
        self.columns: Mapping[str, NDArray[Any]] = columns
        self._keys = np.array([keys.values[pair // width] for pair in pairs], dtype=object)
        values: list[Value] = [items.values[pair % width] for pair in pairs]
        self._rows = np.repeat(np.arange(len(table)), np.diff(columns["attribute_ends"], prepend=0))
        self._resources = {}
        for key, column in _SERVICE.items():
            found = text(column)
            places = np.where(found.codes >= 0, found.codes + len(values), -1)
            self._resources[key] = places[owner].astype(np.int32)
            values += found.values
        self.values = values


def _ends(lists: pa.Array) -> NDArray[np.int64]:
    offsets = np.asarray(lists.offsets.to_numpy(zero_copy_only=False), dtype=np.int64)
    ends: NDArray[np.int64] = offsets[1:] - offsets[0]
    return ends
