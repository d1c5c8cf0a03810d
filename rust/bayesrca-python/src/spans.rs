//! Spans and log lines, reduced to counts and moments.

use bayesrca_core::spans::{Moments, OrderCounts, Reduction};
use numpy::ndarray::Array2;
use numpy::{Element, IntoPyArray, PyArray2, PyReadonlyArray1};
use pyo3::prelude::*;

use crate::error::{invalid, to_python};

/// Whole traces as columns: n spans and l log lines within them, in any order.
///
/// Args:
///     component: int32 [n], number of the component that made the span (>= 0).
///     operation: int32 [n], number of its operation (>= 0).
///     parent: int64 [n], row of the span that it was made within; any other number for none.
///     start_ns: int64 [n], start in nanoseconds.
///     duration_ns: int64 [n], duration in nanoseconds (>= 0).
///     kind: int8 [n], OpenTelemetry's span kind.
///     status: int8 [n], 2 for a span that failed.
///     peer: int32 [n], number of a component without spans that the span calls, -1 for none.
///     side: int8 [n], which count the span goes to, -1 for none.
///     covered: bool [n], whether log lines of the component are there for the time of the span.
///     log_span: int64 [l], row of the span that a log line lies in, -1 for none.
///     log_key: int32 [l], number of its template or code region (>= 0).
///     log_time_ns: int64 [l], its time in nanoseconds.
///
/// Raises:
///     InvalidEvidenceError: an array is not contiguous.
#[pyclass(frozen, module = "bayesrca._core")]
pub(crate) struct SpanBatch {
    component: Vec<i32>,
    operation: Vec<i32>,
    parent: Vec<i64>,
    start_ns: Vec<i64>,
    duration_ns: Vec<i64>,
    kind: Vec<i8>,
    status: Vec<i8>,
    peer: Vec<i32>,
    side: Vec<i8>,
    covered: Vec<bool>,
    log_span: Vec<i64>,
    log_key: Vec<i32>,
    log_time_ns: Vec<i64>,
}

#[pymethods]
impl SpanBatch {
    #[new]
    #[pyo3(signature = (*, component, operation, parent, start_ns, duration_ns, kind, status, peer, side, covered, log_span, log_key, log_time_ns))]
    #[allow(clippy::too_many_arguments, reason = "one named array per column")]
    fn new(
        component: PyReadonlyArray1<'_, i32>,
        operation: PyReadonlyArray1<'_, i32>,
        parent: PyReadonlyArray1<'_, i64>,
        start_ns: PyReadonlyArray1<'_, i64>,
        duration_ns: PyReadonlyArray1<'_, i64>,
        kind: PyReadonlyArray1<'_, i8>,
        status: PyReadonlyArray1<'_, i8>,
        peer: PyReadonlyArray1<'_, i32>,
        side: PyReadonlyArray1<'_, i8>,
        covered: PyReadonlyArray1<'_, bool>,
        log_span: PyReadonlyArray1<'_, i64>,
        log_key: PyReadonlyArray1<'_, i32>,
        log_time_ns: PyReadonlyArray1<'_, i64>,
    ) -> PyResult<Self> {
        Ok(Self {
            component: copy(&component, "component")?,
            operation: copy(&operation, "operation")?,
            parent: copy(&parent, "parent")?,
            start_ns: copy(&start_ns, "start_ns")?,
            duration_ns: copy(&duration_ns, "duration_ns")?,
            kind: copy(&kind, "kind")?,
            status: copy(&status, "status")?,
            peer: copy(&peer, "peer")?,
            side: copy(&side, "side")?,
            covered: copy(&covered, "covered")?,
            log_span: copy(&log_span, "log_span")?,
            log_key: copy(&log_key, "log_key")?,
            log_time_ns: copy(&log_time_ns, "log_time_ns")?,
        })
    }
}

impl SpanBatch {
    fn view(&self) -> bayesrca_core::spans::SpanBatch<'_> {
        bayesrca_core::spans::SpanBatch {
            component: &self.component,
            operation: &self.operation,
            parent: &self.parent,
            start_ns: &self.start_ns,
            duration_ns: &self.duration_ns,
            kind: &self.kind,
            status: &self.status,
            peer: &self.peer,
            side: &self.side,
            covered: &self.covered,
            log_span: &self.log_span,
            log_key: &self.log_key,
            log_time_ns: &self.log_time_ns,
        }
    }
}

/// Counts and moments of spans by side; every table has a row per key and a column per side.
///
/// Args:
///     sides: sides that are counted apart (>= 1).
///     limit: most keys of each table; what would need more is counted in `left_out`.
///
/// Raises:
///     InvalidEvidenceError: there is no side.
#[pyclass(module = "bayesrca._core")]
pub(crate) struct SpanReduction {
    inner: Reduction,
}

#[pymethods]
impl SpanReduction {
    #[new]
    #[pyo3(signature = (*, sides, limit))]
    fn new(sides: usize, limit: usize) -> PyResult<Self> {
        if sides == 0 {
            return Err(invalid("sides must be at least 1".into()));
        }
        Ok(Self {
            inner: Reduction::new(sides, limit),
        })
    }

    /// Add whole traces.
    ///
    /// Raises:
    ///     InvalidEvidenceError: columns of different lengths, or a number out of its range.
    fn push(&mut self, py: Python<'_>, batch: &SpanBatch) -> PyResult<()> {
        let (inner, view) = (&mut self.inner, batch.view());
        py.detach(|| inner.push(&view)).map_err(to_python)
    }

    /// Count in which order things changed in the visits of the first sides, batch by batch.
    ///
    /// Args:
    ///     batches: what was pushed.
    ///     sides: how many of the first sides are asked.
    ///     marks: int8 [e], per event 1 where having it is a change, -1 where missing it is, else 0.
    ///
    /// Returns:
    ///     Per edge (rows: caller, callee, visits of a caller that changed after a failed or changed call, visits of one that
    ///     did not change with such a call) and per component (rows: component, visits that changed, visits that did not).
    ///
    /// Raises:
    ///     InvalidEvidenceError: another number of marks than there are events.
    #[pyo3(signature = (batches: "list[SpanBatch]", *, sides: "int", marks: "numpy.typing.NDArray[numpy.int8]") -> "tuple[numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.int64]]")]
    #[allow(clippy::type_complexity, reason = "two arrays")]
    fn count_order<'py>(
        &self,
        py: Python<'py>,
        batches: Vec<PyRef<'py, SpanBatch>>,
        sides: i8,
        marks: PyReadonlyArray1<'py, i8>,
    ) -> PyResult<(Bound<'py, PyArray2<i64>>, Bound<'py, PyArray2<i64>>)> {
        let marks = copy(&marks, "marks")?;
        let views: Vec<_> = batches.iter().map(|batch| batch.view()).collect();
        let counts = py
            .detach(|| {
                let mut counts = OrderCounts::default();
                for view in &views {
                    self.inner
                        .count_order(view, 0..sides, &marks, &mut counts)?;
                }
                Ok(counts)
            })
            .map_err(to_python)?;
        let edges = counts.edges.iter().map(|(&(caller, callee), order)| {
            [
                i64::from(caller),
                i64::from(callee),
                whole(order.changed_after),
                whole(order.unchanged_with),
            ]
        });
        let visits = counts
            .visits
            .iter()
            .map(|(&c, &(changed, rest))| [i64::from(c), whole(changed), whole(rest)]);
        Ok((rows(py, edges), rows(py, visits)))
    }

    /// Component and operations of each local path, int64 [p, 6]: the operation, then those of its ancestors, -1 beyond.
    #[getter]
    fn paths<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray2<i64>> {
        rows(
            py,
            self.inner.paths().iter().map(|key| {
                let mut row = [i64::from(key.component); 6];
                for (slot, &operation) in row[1..].iter_mut().zip(&key.operations) {
                    *slot = operation.into();
                }
                row
            }),
        )
    }

    /// Spans of each path, int64 [p, sides].
    #[getter]
    fn instances<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray2<i64>> {
        self.counts(py, self.inner.instances())
    }

    /// Of them, those with log coverage, int64 [p, sides].
    #[getter]
    fn covered<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray2<i64>> {
        self.counts(py, self.inner.covered())
    }

    /// What happens within spans of a path, int64 [e, 4]: path, sort (0 operation, 1 call to another component, 2 log line,
    /// 3 failure), its number, and 1 for "at least twice".
    #[getter]
    fn events<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray2<i64>> {
        rows(
            py,
            self.inner.events().iter().map(|key| {
                [
                    i64::from(key.path),
                    key.kind as i64,
                    i64::from(key.id),
                    i64::from(key.twice),
                ]
            }),
        )
    }

    /// Spans in which the event happened, int64 [e, sides].
    #[getter]
    fn present<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray2<i64>> {
        self.counts(py, self.inner.present())
    }

    /// Over these spans, the sum of how many other things had happened before, float64 [e, sides].
    #[getter]
    fn ranks<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray2<f64>> {
        shaped(self.inner.sides(), self.inner.ranks().to_vec()).into_pyarray(py)
    }

    /// Component and operation of each group of self times, int64 [k, 2].
    #[getter]
    fn self_keys<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray2<i64>> {
        let keys = self.inner.self_keys().iter();
        rows(py, keys.map(|&(a, b)| [i64::from(a), i64::from(b)]))
    }

    /// Number, mean and sum of squared deviations of log(self time in microseconds + 100), float64 [k, 3 sides].
    #[getter]
    fn self_moments<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray2<f64>> {
        self.moments(py, self.inner.self_moments())
    }

    /// Caller, its operation and callee of each group of gaps, int64 [g, 3].
    #[getter]
    fn gap_keys<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray2<i64>> {
        let keys = self.inner.gap_keys().iter();
        rows(py, keys.map(|&(a, b, c)| [a.into(), b.into(), c.into()]))
    }

    /// Number, mean and sum of squared deviations of log(gap in microseconds + 100), float64 [g, 3 sides].
    #[getter]
    fn gap_moments<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray2<f64>> {
        self.moments(py, self.inner.gap_moments())
    }

    /// Calls from spans of a path, int64 [t, 3]: path, callee, and 1 where log lines count as something after the call.
    #[getter]
    fn terminal_keys<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray2<i64>> {
        let keys = self.inner.terminal_keys().iter();
        rows(
            py,
            keys.map(|key| [key.path.into(), key.callee.into(), key.lines.into()]),
        )
    }

    /// Spans with such a call, int64 [t, sides].
    #[getter]
    fn calls<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray2<i64>> {
        self.counts(py, self.inner.calls())
    }

    /// Of them, those in which it was the last thing to happen, int64 [t, sides].
    #[getter]
    fn last<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray2<i64>> {
        self.counts(py, self.inner.last())
    }

    /// Numbers that were not kept because a table was full.
    #[getter]
    fn left_out(&self) -> u64 {
        self.inner.left_out()
    }
}

impl SpanReduction {
    fn counts<'py>(&self, py: Python<'py>, values: &[u64]) -> Bound<'py, PyArray2<i64>> {
        let values = values.iter().map(|&v| whole(v)).collect();
        shaped(self.inner.sides(), values).into_pyarray(py)
    }

    fn moments<'py>(&self, py: Python<'py>, values: &[Moments]) -> Bound<'py, PyArray2<f64>> {
        let flat = values
            .iter()
            .flat_map(|m| [m.n as f64, m.mean, m.squares])
            .collect();
        shaped(3 * self.inner.sides(), flat).into_pyarray(py)
    }
}

fn copy<T: Element + Copy>(array: &PyReadonlyArray1<'_, T>, name: &str) -> PyResult<Vec<T>> {
    array
        .as_slice()
        .map(<[T]>::to_vec)
        .map_err(|_| invalid(format!("{name} must be C-contiguous")))
}

/// A count, which never comes near the end of the range.
fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn rows<const N: usize>(
    py: Python<'_>,
    rows: impl Iterator<Item = [i64; N]>,
) -> Bound<'_, PyArray2<i64>> {
    shaped(N, rows.flatten().collect()).into_pyarray(py)
}

fn shaped<T>(columns: usize, flat: Vec<T>) -> Array2<T> {
    Array2::from_shape_vec((flat.len() / columns, columns), flat).expect("rows x columns values")
}
