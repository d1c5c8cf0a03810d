//! The evidence of one family, handed over as arrays.

use numpy::{PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;

use crate::error::invalid;

/// Evidence of one signal family over n components and s footprints.
///
/// All arrays are C-contiguous float64 unless said; NaN marks a missing entry.
///
/// Args:
///     edges: int64 [e, 2], pairs (from, to) along which a fault visible in this family travels.
///     series_component: int64 [m], the component of each continuous series.
///     z: [m, s], standardised contrasts.
///     log_quiet: [n, s], log probability of the observed count under the usual quiet law.
///     log_wide: [n, s], the same under the wide quiet law.
///     log_affected: [n, s], the same for an affected component.
///     dose: [n, s], log dose.
///     dose_noise: [n, s], standard deviation of the dose in its own unit.
///     dose_jacobian: [n, s], d(log dose)/d(z) of continuous cells.
///     dose_low: [n, s], log dose at the lower edge of the observed count; of a continuous cell, at z = 2.
///     dose_high: [n, s], log dose at its upper edge.
///
/// Raises:
///     InvalidEvidenceError: an array is not contiguous.
#[pyclass(frozen, module = "bayesrca._core")]
pub(crate) struct FamilyEvidence {
    pub(crate) inner: bayesrca_core::FamilyEvidence,
}

#[pymethods]
impl FamilyEvidence {
    #[new]
    #[pyo3(signature = (*, edges, series_component, z, log_quiet, log_wide, log_affected, dose, dose_noise, dose_jacobian, dose_low, dose_high))]
    #[allow(clippy::too_many_arguments, reason = "one named array per quantity")]
    fn new(
        edges: PyReadonlyArray2<'_, i64>,
        series_component: PyReadonlyArray1<'_, i64>,
        z: PyReadonlyArray2<'_, f64>,
        log_quiet: PyReadonlyArray2<'_, f64>,
        log_wide: PyReadonlyArray2<'_, f64>,
        log_affected: PyReadonlyArray2<'_, f64>,
        dose: PyReadonlyArray2<'_, f64>,
        dose_noise: PyReadonlyArray2<'_, f64>,
        dose_jacobian: PyReadonlyArray2<'_, f64>,
        dose_low: PyReadonlyArray2<'_, f64>,
        dose_high: PyReadonlyArray2<'_, f64>,
    ) -> PyResult<Self> {
        let components = series_component
            .as_slice()
            .map_err(|_| invalid("series_component must be C-contiguous".into()))?;
        Ok(Self {
            inner: bayesrca_core::FamilyEvidence {
                edges: pairs(&edges, "edges")?,
                series_component: components.iter().map(|&c| index(c)).collect(),
                z: flat(&z, "z")?,
                log_quiet: flat(&log_quiet, "log_quiet")?,
                log_wide: flat(&log_wide, "log_wide")?,
                log_affected: flat(&log_affected, "log_affected")?,
                dose: flat(&dose, "dose")?,
                dose_noise: flat(&dose_noise, "dose_noise")?,
                dose_jacobian: flat(&dose_jacobian, "dose_jacobian")?,
                dose_low: flat(&dose_low, "dose_low")?,
                dose_high: flat(&dose_high, "dose_high")?,
            },
        })
    }
}

/// A negative index becomes one that no range check accepts.
fn index(i: i64) -> usize {
    usize::try_from(i).unwrap_or(usize::MAX)
}

fn pairs(array: &PyReadonlyArray2<'_, i64>, name: &str) -> PyResult<Vec<(usize, usize)>> {
    let view = array.as_array();
    if view.ncols() != 2 {
        return Err(invalid(format!("{name} needs two columns")));
    }
    let values = view
        .as_slice()
        .ok_or_else(|| invalid(format!("{name} must be C-contiguous")))?;
    Ok(values
        .chunks_exact(2)
        .map(|e| (index(e[0]), index(e[1])))
        .collect())
}

fn flat(array: &PyReadonlyArray2<'_, f64>, name: &str) -> PyResult<Vec<f64>> {
    // `PyReadonlyArray2::as_slice` would give a Fortran-ordered array, transposed.
    let view = array.as_array();
    let values = view
        .as_slice()
        .ok_or_else(|| invalid(format!("{name} must be C-contiguous")))?;
    Ok(values.to_vec())
}

/// Evidence of the components' own resource telemetry: m series over s footprints.
///
/// Args:
///     component: int64 [m], the component of each series, ascending.
///     family: int64 [m], its family (0 load, 1 cpu, 2 memory, 3 disk, 4 network, 5 generic, 6 host, 7 state, 8 egress),
///         ascending within a component.
///     z: float64 [m, s], standardised signed contrasts, NaN where missing and for states.
///     log_fault: float64 [m, s], log density ratio "at fault" to quiet of states, NaN elsewhere.
///     log_disturbed: float64 [m, s], the same for "disturbed".
///     demand: int64 [e, 2], pairs (from, to) along which demand travels.
///     onset: float64 [n], when each component began to change, in seconds, NaN where that is not known.
///     onset_error: float64 [n], width in seconds of the interval in which each onset lies.
///     window: length of the incident window in seconds.
///
/// Raises:
///     InvalidEvidenceError: z is not contiguous or has another number of rows than there are series.
#[pyclass(frozen, module = "bayesrca._core")]
pub(crate) struct VitalEvidence {
    pub(crate) inner: bayesrca_core::VitalEvidence,
}

#[pymethods]
impl VitalEvidence {
    #[new]
    #[allow(clippy::too_many_arguments, reason = "one named array per quantity")]
    #[pyo3(signature = (*, component, family, z, log_fault, log_disturbed, demand, onset, onset_error, window))]
    fn new(
        component: PyReadonlyArray1<'_, i64>,
        family: PyReadonlyArray1<'_, i64>,
        z: PyReadonlyArray2<'_, f64>,
        log_fault: PyReadonlyArray2<'_, f64>,
        log_disturbed: PyReadonlyArray2<'_, f64>,
        demand: PyReadonlyArray2<'_, i64>,
        onset: PyReadonlyArray1<'_, f64>,
        onset_error: PyReadonlyArray1<'_, f64>,
        window: f64,
    ) -> PyResult<Self> {
        if z.as_array().nrows() != component.as_array().len() {
            return Err(invalid("vitals.z needs one row per series".into()));
        }
        Ok(Self {
            inner: bayesrca_core::VitalEvidence {
                component: component.as_array().iter().map(|&i| index(i)).collect(),
                family: family.as_array().iter().map(|&v| index(v)).collect(),
                z: flat(&z, "z")?,
                log_fault: flat(&log_fault, "log_fault")?,
                log_disturbed: flat(&log_disturbed, "log_disturbed")?,
                demand: pairs(&demand, "demand")?,
                onset: onset.as_array().to_vec(),
                onset_error: onset_error.as_array().to_vec(),
                window,
            },
        })
    }
}

/// What spans and logs say: log Bayes factors of n components and e call edges, NaN where there is nothing to tell.
///
/// Args:
///     own_pattern: float64 [n], of child calls and log lines within a component's own span paths.
///     own_self_time: float64 [n], of the time that a component's operations spend in themselves.
///     edges: int64 [e, 2], pairs (caller, callee), each once.
///     gap: float64 [e], of client time less server time.
///     terminal: float64 [e], of the call being the last thing that its caller does.
///     order: float64 [e], of the caller's changes following a failed call to this callee.
///
/// Raises:
///     InvalidEvidenceError: the edges are not contiguous.
#[pyclass(frozen, module = "bayesrca._core")]
pub(crate) struct TraceEvidence {
    pub(crate) inner: bayesrca_core::TraceEvidence,
}

#[pymethods]
impl TraceEvidence {
    #[new]
    #[allow(clippy::too_many_arguments, reason = "one named array per quantity")]
    #[pyo3(signature = (*, own_pattern, own_self_time, edges, gap, terminal, order))]
    fn new(
        own_pattern: PyReadonlyArray1<'_, f64>,
        own_self_time: PyReadonlyArray1<'_, f64>,
        edges: PyReadonlyArray2<'_, i64>,
        gap: PyReadonlyArray1<'_, f64>,
        terminal: PyReadonlyArray1<'_, f64>,
        order: PyReadonlyArray1<'_, f64>,
    ) -> PyResult<Self> {
        Ok(Self {
            inner: bayesrca_core::TraceEvidence {
                own_pattern: own_pattern.as_array().to_vec(),
                own_self_time: own_self_time.as_array().to_vec(),
                edges: pairs(&edges, "traces.edges")?,
                gap: gap.as_array().to_vec(),
                terminal: terminal.as_array().to_vec(),
                order: order.as_array().to_vec(),
            },
        })
    }
}
