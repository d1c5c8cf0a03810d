//! OpenTelemetry's export requests as tables of columns.

use bayesrca_core::otlp::{
    Columns, Dictionary, Limits, Lists, Logs, MetricKind, Points, Spans, Temporality, Value,
    decode_logs, decode_metrics, decode_spans,
};
use numpy::IntoPyArray;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use crate::error::to_python;

/// Rows of one kind, in columns.
enum Rows {
    Spans(Spans),
    Points(Points),
    Logs(Logs),
}

/// Spans, metric points or log records in columns; what they say is kept once and referred to by number.
#[pyclass(frozen, module = "bayesrca._core")]
pub(crate) struct OtlpTable {
    rows: Rows,
}

/// Decode an OpenTelemetry export request.
///
/// Args:
///     kind: what it holds, `spans`, `points` or `logs`.
///     request: the serialised request.
///     records: most spans, points or log records.
///     attributes: most attributes of one record, resource or scope.
///     text_bytes: most bytes of one text or value.
///     depth: how deeply lists and maps may be nested in a value.
///
/// Raises:
///     InvalidTelemetryError: it is no such request, or holds more than it may; the message names the byte.
///     ValueError: an unknown kind.
#[pyfunction]
#[pyo3(signature = (kind, request, *, records, attributes, text_bytes, depth))]
pub(crate) fn decode_otlp(
    py: Python<'_>,
    kind: &str,
    request: &Bound<'_, PyBytes>,
    records: usize,
    attributes: usize,
    text_bytes: usize,
    depth: usize,
) -> PyResult<OtlpTable> {
    let limits = Limits {
        records,
        attributes,
        text_bytes,
        depth,
    };
    // A Python bytes object does not change, and this reference keeps it alive.
    let bytes = request.as_bytes();
    let rows = match kind {
        "spans" => py.detach(|| decode_spans(bytes, &limits).map(Rows::Spans)),
        "points" => py.detach(|| decode_metrics(bytes, &limits).map(Rows::Points)),
        "logs" => py.detach(|| decode_logs(bytes, &limits).map(Rows::Logs)),
        _ => return Err(PyValueError::new_err(format!("unknown kind {kind:?}"))),
    };
    Ok(OtlpTable {
        rows: rows.map_err(to_python)?,
    })
}

/// Put the records of several tables that lie in a window into one, in their order.
///
/// Args:
///     kind: what the tables hold.
///     tables: tables of that kind, possibly none.
///     begin: first nanosecond since 1970 of the window.
///     end: the nanosecond after it.
///
/// Raises:
///     InvalidEvidenceError: more than 2^32 records or attributes.
///     ValueError: a table of another kind.
#[pyfunction]
#[pyo3(signature = (kind, tables: "list[OtlpTable]", begin, end))]
pub(crate) fn merge_otlp(
    py: Python<'_>,
    kind: &str,
    tables: Vec<Py<OtlpTable>>,
    begin: i64,
    end: i64,
) -> PyResult<OtlpTable> {
    let held: Vec<&OtlpTable> = tables.iter().map(Py::get).collect();
    let rows = py.detach(|| match kind {
        "spans" => merged(&held, begin, end, OtlpTable::spans, Rows::Spans),
        "points" => merged(&held, begin, end, OtlpTable::points, Rows::Points),
        "logs" => merged(&held, begin, end, OtlpTable::logs, Rows::Logs),
        _ => None,
    });
    let Some(rows) = rows else {
        let message = format!("not every table holds {kind:?}");
        return Err(PyValueError::new_err(message));
    };
    Ok(OtlpTable {
        rows: rows.map_err(to_python)?,
    })
}

/// None where a table is of another kind.
fn merged<T: Columns>(
    tables: &[&OtlpTable],
    begin: i64,
    end: i64,
    of: fn(&OtlpTable) -> Option<&T>,
    wrap: fn(T) -> Rows,
) -> Option<bayesrca_core::Result<Rows>> {
    let tables: Option<Vec<&T>> = tables.iter().copied().map(of).collect();
    Some(T::merge(&tables?, begin, end).map(wrap))
}

impl OtlpTable {
    fn spans(&self) -> Option<&Spans> {
        match &self.rows {
            Rows::Spans(spans) => Some(spans),
            _ => None,
        }
    }

    fn points(&self) -> Option<&Points> {
        match &self.rows {
            Rows::Points(points) => Some(points),
            _ => None,
        }
    }

    fn logs(&self) -> Option<&Logs> {
        match &self.rows {
            Rows::Logs(logs) => Some(logs),
            _ => None,
        }
    }

    fn records(&self) -> &bayesrca_core::otlp::Records {
        match &self.rows {
            Rows::Spans(spans) => &spans.records,
            Rows::Points(points) => &points.records,
            Rows::Logs(logs) => &logs.records,
        }
    }
}

#[pymethods]
impl OtlpTable {
    /// Number of records.
    fn __len__(&self) -> usize {
        self.records().time.len()
    }

    /// Bytes that the table takes in memory.
    #[getter]
    fn n_bytes(&self) -> usize {
        match &self.rows {
            Rows::Spans(spans) => spans.n_bytes(),
            Rows::Points(points) => points.n_bytes(),
            Rows::Logs(logs) => logs.n_bytes(),
        }
    }

    /// Records that were left out, as pairs (why, how many).
    #[getter]
    fn rejected(&self) -> Vec<(&'static str, u64)> {
        self.records().tally.rejected.clone()
    }

    /// Texts that were not UTF-8 and have U+FFFD where they could not be read.
    #[getter]
    fn invalid_texts(&self) -> u64 {
        self.records().tally.invalid_texts
    }

    /// Earliest and latest time, nanoseconds since 1970; None without a record.
    #[getter]
    fn period(&self) -> Option<(i64, i64)> {
        let time = &self.records().time;
        Some((*time.iter().min()?, *time.iter().max()?))
    }

    /// The columns by name, as `bayesrca.columns.otlp` describes them.
    #[pyo3(signature = () -> "dict[str, numpy.typing.NDArray[numpy.generic]]")]
    fn columns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let out = Out(PyDict::new(py));
        let records = self.records();
        out.put("time", records.time.clone())?;
        out.numbers("resource", &records.resource)?;
        out.numbers("scope", &records.scope)?;
        out.lists("attribute", &records.attributes)?;
        let dictionary = &records.dictionary;
        out.lists("resource_attribute", &dictionary.resources)?;
        out.lists("scope_attribute", &dictionary.scopes)?;
        let keys: Vec<u32> = dictionary.attributes.iter().map(|a| a.0).collect();
        out.numbers("key", &keys)?;
        let types: Vec<i8> = dictionary.attributes.iter().map(|a| type_of(a.1)).collect();
        out.put("value_type", types)?;
        match &self.rows {
            Rows::Spans(spans) => put_spans(&out, spans)?,
            Rows::Points(points) => put_points(&out, points)?,
            Rows::Logs(logs) => put_logs(&out, logs)?,
        }
        Ok(out.0)
    }

    /// The texts, by number.
    #[pyo3(signature = () -> "list[str]")]
    fn strings<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let strings: Vec<&str> = self.records().dictionary.strings.iter().collect();
        PyList::new(py, strings)
    }

    /// The values of the distinct attributes, by number: bytes as hexadecimal digits, lists and maps as JSON.
    #[pyo3(signature = () -> "list[str | bool | int | float | None]")]
    fn values<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let dictionary = &self.records().dictionary;
        let list = PyList::empty(py);
        for &(_, value) in &dictionary.attributes {
            list.append(object(py, dictionary, value)?)?;
        }
        Ok(list)
    }

    /// For each record the number of its attribute with this key, -1 where it has none.
    #[pyo3(signature = (key) -> "numpy.typing.NDArray[numpy.int32]")]
    fn attribute<'py>(&self, py: Python<'py>, key: &str) -> Bound<'py, PyAny> {
        let found = py.detach(|| self.records().attribute(key));
        signed(&found).into_pyarray(py).into_any()
    }

    /// For each distinct resource the number of its attribute with this key, -1 where it has none.
    #[pyo3(signature = (key) -> "numpy.typing.NDArray[numpy.int32]")]
    fn resource_attribute<'py>(&self, py: Python<'py>, key: &str) -> Bound<'py, PyAny> {
        let found = py.detach(|| self.records().resource_attribute(key));
        signed(&found).into_pyarray(py).into_any()
    }

    /// Of spans: number of each one's trace, and the traces' ids as hexadecimal digits.
    ///
    /// Raises:
    ///     ValueError: the table does not hold spans.
    #[pyo3(signature = () -> "tuple[numpy.typing.NDArray[numpy.int64], list[str]]")]
    fn traces<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Vec<String>)> {
        let spans = self.spans().ok_or_else(no_spans)?;
        let (numbers, ids) = py.detach(|| spans.traces());
        let numbers: Vec<i64> = numbers.into_iter().map(i64::from).collect();
        let ids = ids.iter().map(|id| format!("{id:032x}")).collect();
        Ok((numbers.into_pyarray(py).into_any(), ids))
    }
}

fn no_spans() -> PyErr {
    PyValueError::new_err("the table does not hold spans")
}

/// A dictionary of arrays on the way.
struct Out<'py>(Bound<'py, PyDict>);

impl Out<'_> {
    fn put<T: numpy::Element>(&self, name: &str, column: Vec<T>) -> PyResult<()> {
        self.0.set_item(name, column.into_pyarray(self.0.py()))
    }

    fn numbers(&self, name: &str, column: &[u32]) -> PyResult<()> {
        let column: Vec<i32> = column.iter().map(|id| id.cast_signed()).collect();
        self.put(name, column)
    }

    fn ends(&self, name: &str, column: &[u32]) -> PyResult<()> {
        self.put(name, column.iter().map(|&id| i64::from(id)).collect())
    }

    fn lists(&self, name: &str, lists: &Lists) -> PyResult<()> {
        self.ends(&format!("{name}_ends"), &lists.ends)?;
        self.numbers(&format!("{name}s"), &lists.items)
    }
}

fn put_spans(out: &Out<'_>, spans: &Spans) -> PyResult<()> {
    out.put(
        "trace_high",
        spans.trace.iter().map(|t| (t >> 64) as u64).collect(),
    )?;
    out.put("trace_low", spans.trace.iter().map(|&t| t as u64).collect())?;
    out.put("id", spans.id.clone())?;
    out.put("parent", spans.parent.clone())?;
    out.put("duration", spans.duration.clone())?;
    out.numbers("name", &spans.name)?;
    out.put("kind", spans.kind.clone())?;
    out.put("status", spans.status.clone())?;
    out.numbers("message", &spans.message)?;
    let events = &spans.events;
    out.ends("event_span", &events.span)?;
    out.put("event_time", events.time.clone())?;
    out.numbers("event_name", &events.name)?;
    out.lists("event_attribute", &events.attributes)
}

fn put_points(out: &Out<'_>, points: &Points) -> PyResult<()> {
    let metrics = &points.metrics;
    let of = |text: fn(&bayesrca_core::otlp::Metric) -> u32| -> Vec<u32> {
        metrics.iter().map(text).collect()
    };
    out.numbers("metric_name", &of(|m| m.name))?;
    out.numbers("metric_unit", &of(|m| m.unit))?;
    let kinds = metrics.iter().map(|m| match m.kind {
        MetricKind::Gauge => 0_i8,
        MetricKind::Sum => 1,
        MetricKind::Histogram => 2,
        MetricKind::ExponentialHistogram => 3,
        MetricKind::Summary => 4,
    });
    out.put("metric_kind", kinds.collect())?;
    let temporality = metrics.iter().map(|m| match m.temporality {
        Temporality::Unspecified => 0_i8,
        Temporality::Delta => 1,
        Temporality::Cumulative => 2,
    });
    out.put("metric_temporality", temporality.collect())?;
    out.put(
        "metric_monotonic",
        metrics.iter().map(|m| m.monotonic).collect(),
    )?;
    out.numbers("metric", &points.metric)?;
    out.put("start", points.start.clone())?;
    out.put("value", points.value.clone())?;
    out.put("count", points.count.clone())?;
    out.put("sum", points.sum.clone())?;
    out.put("min", points.min.clone())?;
    out.put("max", points.max.clone())?;
    out.ends("bucket_ends", &points.buckets.ends)?;
    out.put("bucket_upper", points.buckets.upper.clone())?;
    out.put("bucket_count", points.buckets.count.clone())?;
    out.ends("quantile_ends", &points.quantiles.ends)?;
    out.put("quantile", points.quantiles.quantile.clone())?;
    out.put("quantile_value", points.quantiles.value.clone())
}

fn put_logs(out: &Out<'_>, logs: &Logs) -> PyResult<()> {
    out.put("severity", logs.severity.clone())?;
    out.numbers("severity_text", &logs.severity_text)?;
    out.numbers("body", &logs.body)?;
    out.numbers("event", &logs.event)?;
    out.put(
        "trace_high",
        logs.trace.iter().map(|t| (t >> 64) as u64).collect(),
    )?;
    out.put("trace_low", logs.trace.iter().map(|&t| t as u64).collect())?;
    out.put("span", logs.span.clone())
}

/// Numbers with -1 for none.
fn signed(found: &[Option<u32>]) -> Vec<i32> {
    found
        .iter()
        .map(|id| id.map_or(-1, u32::cast_signed))
        .collect()
}

fn type_of(value: Value) -> i8 {
    match value {
        Value::Empty => 0,
        Value::Text(_) => 1,
        Value::Bool(_) => 2,
        Value::Int(_) => 3,
        Value::Double(_) => 4,
        Value::Bytes(_) => 5,
        Value::Json(_) => 6,
    }
}

fn object(py: Python<'_>, dictionary: &Dictionary, value: Value) -> PyResult<Py<PyAny>> {
    Ok(match value {
        Value::Empty => py.None(),
        Value::Text(id) | Value::Bytes(id) | Value::Json(id) => dictionary
            .strings
            .get(id)
            .into_pyobject(py)?
            .into_any()
            .unbind(),
        Value::Bool(b) => b.into_pyobject(py)?.to_owned().into_any().unbind(),
        Value::Int(i) => i.into_pyobject(py)?.into_any().unbind(),
        Value::Double(d) => d.into_pyobject(py)?.into_any().unbind(),
    })
}
