//! The likelihood by handle.

use bayesrca_core::{Evidence, Likelihood, N_FAMILIES, N_KINDS, N_PARAMETERS, N_VITALS, Transform};
use numpy::ndarray::{Array2, Array3};
use numpy::{IntoPyArray, PyArray1, PyArray2, PyArray3, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;

use crate::capi::with_workspace;
use crate::error::{KernelError, invalid, to_python};
use crate::evidence::{FamilyEvidence, TraceEvidence, VitalEvidence};
use crate::handles;

/// Prepare an incident's likelihood and return its handle.
///
/// Args:
///     n_components: number of components n (>= 1).
///     footprint_log_prior: float64 [s], log prior of each footprint.
///     target: index of the component that raised the alarm, or None.
///     alarm_family: family of the alarm (0 latency, 1 errors); given exactly when the target is.
///     alarm_in_vitals: whether the alarm was raised on the target's vitals.
///     root_log_factor: float64 [n, s], log factor (<= 0) on a component being the root in a footprint.
///     families: evidence of latency and errors, in this order.
///     vitals: evidence of the components' own resource telemetry.
///     traces: what spans and logs say, or None where nothing was traced.
///     alert_log_ratio: float64 [n], log Bayes factor of the alerts for each component against "none of these".
///     root_log_prior: float64 [n], log prior weight of each component as a root.
///     crash_log_ratio: float64 [n, s], log ratio of "crashed" to "as usual" of the component's presence.
///     none_prior: prior probability of "none of these", in (0, 1).
///     max_width: components that may be open at once in the exact sum over affected sets.
///     estimate_seed: seed from which sums past `max_width` are estimated; None refuses them.
///     max_causes: largest set of causes that is weighed (1 to 3).
///     set_candidates: components among which sets are formed.
///     centre: float64 [p], theta at which sets are chosen.
///
/// Raises:
///     InvalidEvidenceError: shapes, ranges or values are wrong.
///     GraphTooWideError: the exact sum would exceed `max_width` and may not be estimated.
///     KernelError: too many incidents are prepared at once.
#[pyfunction]
#[pyo3(signature = (*, n_components, footprint_log_prior, target, alarm_family, alarm_in_vitals, root_log_factor, root_log_prior, crash_log_ratio, families, vitals, traces, alert_log_ratio, none_prior, max_width, estimate_seed, max_causes, set_candidates, centre))]
#[allow(clippy::too_many_arguments, reason = "one named argument per quantity")]
pub(crate) fn prepare(
    py: Python<'_>,
    n_components: usize,
    footprint_log_prior: PyReadonlyArray1<'_, f64>,
    target: Option<usize>,
    alarm_family: Option<usize>,
    alarm_in_vitals: bool,
    root_log_factor: PyReadonlyArray2<'_, f64>,
    root_log_prior: PyReadonlyArray1<'_, f64>,
    crash_log_ratio: PyReadonlyArray2<'_, f64>,
    families: Vec<Py<FamilyEvidence>>,
    vitals: Py<VitalEvidence>,
    traces: Option<Py<TraceEvidence>>,
    alert_log_ratio: PyReadonlyArray1<'_, f64>,
    none_prior: f64,
    max_width: usize,
    estimate_seed: Option<u64>,
    max_causes: usize,
    set_candidates: usize,
    centre: PyReadonlyArray1<'_, f64>,
) -> PyResult<i64> {
    let centre = parameters(centre.as_array().as_slice())?;
    let inner: Vec<bayesrca_core::FamilyEvidence> =
        families.iter().map(|f| f.get().inner.clone()).collect();
    let families: [bayesrca_core::FamilyEvidence; N_FAMILIES] = inner
        .try_into()
        .map_err(|_| invalid(format!("families must hold {N_FAMILIES} entries")))?;
    let evidence = Evidence {
        n_components,
        footprint_log_prior: footprint_log_prior.as_array().to_vec(),
        target,
        alarm_family,
        alarm_in_vitals,
        root_log_factor: root_log_factor.as_array().iter().copied().collect(),
        root_log_prior: root_log_prior.as_array().to_vec(),
        crash_log_ratio: crash_log_ratio.as_array().iter().copied().collect(),
        families,
        vitals: vitals.get().inner.clone(),
        traces: traces.map(|t| t.get().inner.clone()),
        alert_log_ratio: alert_log_ratio.as_array().to_vec(),
    };
    let likelihood = py
        .detach(|| {
            let mut likelihood = match estimate_seed {
                None => Likelihood::new(&evidence, none_prior, max_width)?,
                Some(seed) => Likelihood::estimating(&evidence, none_prior, max_width, seed)?,
            };
            likelihood.consider_sets(&centre, max_causes, set_candidates)?;
            Ok(likelihood)
        })
        .map_err(to_python)?;
    // Another thread may hold the table while it waits for a call that needs the GIL.
    py.detach(|| handles::insert(likelihood)).ok_or_else(|| {
        KernelError::new_err("too many incidents are prepared at once; release some")
    })
}

/// Free a prepared likelihood; waits for calls in progress.
///
/// Raises:
///     KernelError: the handle is unknown or already released.
#[pyfunction]
pub(crate) fn release(py: Python<'_>, handle: i64) -> PyResult<()> {
    if py.detach(|| handles::release(handle)) {
        Ok(())
    } else {
        Err(unknown(handle))
    }
}

/// Names of the fault kinds, in the order of the hypotheses.
#[pyfunction]
pub(crate) fn fault_kinds() -> Vec<&'static str> {
    bayesrca_core::KINDS.to_vec()
}

/// Names of the vital families, in the order of their indices.
#[pyfunction]
pub(crate) fn vital_families() -> Vec<&'static str> {
    bayesrca_core::VITALS.to_vec()
}

/// Prior probability of one, two and three causes, given that there is one.
#[pyfunction]
pub(crate) fn set_sizes() -> Vec<f64> {
    bayesrca_core::SIZES.to_vec()
}

/// Most components in one knot of cycles that are summed as a whole.
#[pyfunction]
pub(crate) fn max_block() -> usize {
    bayesrca_core::MAX_BLOCK
}

/// Components of each set of several causes that is weighed, in the order of the hypotheses.
#[pyfunction]
pub(crate) fn sets(handle: i64) -> PyResult<Vec<Vec<usize>>> {
    with(handle, |l| l.sets().to_vec())
}

/// Number of hypotheses: every kind of every component, the sets, then "none of these".
#[pyfunction]
pub(crate) fn n_hypotheses(handle: i64) -> PyResult<usize> {
    with(handle, Likelihood::n_hypotheses)
}

/// Most components open at once in the exact sum over affected sets.
#[pyfunction]
pub(crate) fn width(handle: i64) -> PyResult<usize> {
    with(handle, Likelihood::width)
}

/// Number of sums over affected sets past `max_width`, which are estimated.
#[pyfunction]
pub(crate) fn n_estimated(handle: i64) -> PyResult<usize> {
    with(handle, Likelihood::n_estimated)
}

/// Standard error of the log joint of every hypothesis given theta, from estimated sums: float64 [k].
#[pyfunction]
pub(crate) fn sum_errors<'py>(
    py: Python<'py>,
    handle: i64,
    theta: PyReadonlyArray1<'py, f64>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let theta = parameters(theta.as_array().as_slice())?;
    let errors = py.detach(|| with(handle, |l| with_workspace(|w| l.sum_errors(&theta, w))))?;
    Ok(errors.into_pyarray(py))
}

/// Log likelihood (hypotheses summed out) and its gradient.
///
/// Args:
///     theta: float64 [p], unconstrained parameters in the order of `parameter_layout`.
///
/// Returns:
///     The log likelihood and float64 [p].
#[pyfunction]
pub(crate) fn logp_grad<'py>(
    py: Python<'py>,
    handle: i64,
    theta: PyReadonlyArray1<'py, f64>,
) -> PyResult<(f64, Bound<'py, PyArray1<f64>>)> {
    let theta = parameters(theta.as_array().as_slice())?;
    let (logp, gradient) =
        py.detach(|| with(handle, |l| with_workspace(|w| l.logp_grad(&theta, w))))?;
    Ok((logp, gradient.to_vec().into_pyarray(py)))
}

type MatrixAndVector<'py> = (Bound<'py, PyArray2<f64>>, Bound<'py, PyArray1<f64>>);

/// Log posterior of every hypothesis given each theta.
///
/// Args:
///     thetas: float64 [d, p], C-contiguous.
///     threads: threads to use (>= 1); never changes a bit of the result.
///
/// Returns:
///     float64 [d, k] with rows that sum to one after `exp`, and float64 [d] log likelihoods.
#[pyfunction]
#[pyo3(signature = (handle, thetas, *, threads))]
pub(crate) fn root_log_posterior<'py>(
    py: Python<'py>,
    handle: i64,
    thetas: PyReadonlyArray2<'py, f64>,
    threads: usize,
) -> PyResult<MatrixAndVector<'py>> {
    let rows = thetas
        .as_array()
        .rows()
        .into_iter()
        .map(|r| parameters(r.as_slice()))
        .collect::<PyResult<Vec<_>>>()?;
    let (log_root, logp, k) = py.detach(|| {
        with(handle, |l| {
            pool(threads)?.install(|| {
                let (a, b) = l.root_log_posteriors(&rows, &|| false).map_err(to_python)?;
                Ok::<_, PyErr>((a, b, l.n_hypotheses()))
            })
        })?
    })?;
    let shaped = Array2::from_shape_vec((rows.len(), k), log_root).expect("d x k values");
    Ok((shaped.into_pyarray(py), logp.into_pyarray(py)))
}

/// Log joint of every hypothesis and footprint given theta: float64 [k, s].
#[pyfunction]
pub(crate) fn footprint_log_joint<'py>(
    py: Python<'py>,
    handle: i64,
    theta: PyReadonlyArray1<'py, f64>,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let theta = parameters(theta.as_array().as_slice())?;
    let (values, k, s) = py.detach(|| {
        with(handle, |l| {
            let values = with_workspace(|w| l.footprint_log_joint(&theta, w));
            (values, l.n_hypotheses(), l.n_footprints())
        })
    })?;
    Ok(Array2::from_shape_vec((k, s), values)
        .expect("k x s values")
        .into_pyarray(py))
}

/// Log Bayes factor of "root" against "quiet" of every cell given theta: float64 [families, n, s].
#[pyfunction]
pub(crate) fn own_log_ratios<'py>(
    py: Python<'py>,
    handle: i64,
    theta: PyReadonlyArray1<'py, f64>,
) -> PyResult<Bound<'py, PyArray3<f64>>> {
    let theta = parameters(theta.as_array().as_slice())?;
    let (values, k, s) = py.detach(|| {
        with(handle, |l| {
            let values = with_workspace(|w| l.own_log_ratios(&theta, w));
            (values, l.n_components(), l.n_footprints())
        })
    })?;
    let shape = (N_FAMILIES, k, s);
    Ok(Array3::from_shape_vec(shape, values)
        .expect("f x n x s values")
        .into_pyarray(py))
}

/// Log Bayes factor of "at fault" against "quiet" of every vital series given theta: float64 [m, s].
#[pyfunction]
pub(crate) fn vital_log_ratios<'py>(
    py: Python<'py>,
    handle: i64,
    theta: PyReadonlyArray1<'py, f64>,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let theta = parameters(theta.as_array().as_slice())?;
    let (values, s) =
        py.detach(|| with(handle, |l| (l.vital_log_ratios(&theta), l.n_footprints())))?;
    let shape = (values.len() / s, s);
    Ok(Array2::from_shape_vec(shape, values)
        .expect("m x s values")
        .into_pyarray(py))
}

/// Log ratio of "shows the fault" to quiet of every trace cell given theta, NaN where there is nothing to tell: float64
/// [2 n + 3 e], own patterns and own times by component, then gap, truncation and order by edge.
#[pyfunction]
pub(crate) fn trace_log_ratios<'py>(
    py: Python<'py>,
    handle: i64,
    theta: PyReadonlyArray1<'py, f64>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let theta = parameters(theta.as_array().as_slice())?;
    let values = py.detach(|| with(handle, |l| l.trace_log_ratios(&theta)))?;
    Ok(values.into_pyarray(py))
}

/// Probability that a single cause shows its fault in its own patterns given theta and its kind: float64 [n, kinds], NaN
/// where these tell nothing.
#[pyfunction]
pub(crate) fn own_patterns_shown<'py>(
    py: Python<'py>,
    handle: i64,
    theta: PyReadonlyArray1<'py, f64>,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let theta = parameters(theta.as_array().as_slice())?;
    let values = py.detach(|| with(handle, |l| l.own_patterns_shown(&theta)))?;
    let shape = (values.len() / N_KINDS, N_KINDS);
    Ok(Array2::from_shape_vec(shape, values)
        .expect("n x kinds values")
        .into_pyarray(py))
}

/// Probability that each vital family is the one at fault, given theta and a resource fault at a component: float64
/// [n, vital families, s].
#[pyfunction]
pub(crate) fn families_at_fault<'py>(
    py: Python<'py>,
    handle: i64,
    theta: PyReadonlyArray1<'py, f64>,
) -> PyResult<Bound<'py, PyArray3<f64>>> {
    let theta = parameters(theta.as_array().as_slice())?;
    let (values, s) = py.detach(|| {
        with(handle, |l| {
            let values = with_workspace(|w| l.families_at_fault(&theta, w));
            (values, l.n_footprints())
        })
    })?;
    let shape = (values.len() / (N_VITALS * s), N_VITALS, s);
    Ok(Array3::from_shape_vec(shape, values)
        .expect("n x v x s values")
        .into_pyarray(py))
}

type Path<'py> = (
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray2<i64>>,
    Bound<'py, PyArray1<f64>>,
);

/// Whom a fault at a component has affected in a family, and which edges carried it, given theta and the footprint.
///
/// Args:
///     theta: float64 [p].
///     component: index of the root.
///     family: 0 latency, 1 errors.
///     footprint: index of the footprint.
///
/// Returns:
///     int64 [m] components the root can reach, float64 [m] the probability that each is affected, int64 [e, 2] edges
///     (from, to) among them and the root, float64 [e] the probability that each carried the fault.
///
/// Raises:
///     InvalidEvidenceError: an index is out of range.
#[pyfunction]
pub(crate) fn path_probabilities<'py>(
    py: Python<'py>,
    handle: i64,
    theta: PyReadonlyArray1<'py, f64>,
    component: usize,
    family: usize,
    footprint: usize,
) -> PyResult<Path<'py>> {
    let theta = parameters(theta.as_array().as_slice())?;
    let found = py.detach(|| {
        with(handle, |l| {
            let fits =
                component < l.n_components() && family < N_FAMILIES && footprint < l.n_footprints();
            fits.then(|| {
                let place = (component, family, footprint);
                with_workspace(|w| l.path_probabilities(&theta, place, w))
            })
        })
    })?;
    let found = found.ok_or_else(|| invalid("no such component, family or footprint".into()))?;
    let signed = |i: usize| i.cast_signed() as i64;
    let nodes: Vec<i64> = found.nodes.into_iter().map(signed).collect();
    let flat: Vec<i64> = found
        .edges
        .iter()
        .flat_map(|&(a, b)| [signed(a), signed(b)])
        .collect();
    let edges = Array2::from_shape_vec((found.edges.len(), 2), flat).expect("e x 2 values");
    Ok((
        nodes.into_pyarray(py),
        found.affected.into_pyarray(py),
        edges.into_pyarray(py),
        found.carried.into_pyarray(py),
    ))
}

/// Name, length and transform (`log` or `logit`) of each parameter, in the order of theta.
#[pyfunction]
pub(crate) fn parameter_layout() -> Vec<(&'static str, usize, &'static str)> {
    bayesrca_core::LAYOUT
        .iter()
        .map(|&(name, length, transform)| {
            (
                name,
                length,
                if transform == Transform::Log {
                    "log"
                } else {
                    "logit"
                },
            )
        })
        .collect()
}

pub(crate) fn with<R>(handle: i64, f: impl FnOnce(&Likelihood) -> R) -> PyResult<R> {
    handles::with(handle, f).ok_or_else(|| unknown(handle))
}

pub(crate) fn parameters(theta: Option<&[f64]>) -> PyResult<[f64; N_PARAMETERS]> {
    let slice = theta.ok_or_else(|| invalid("theta must be C-contiguous".into()))?;
    let array: [f64; N_PARAMETERS] = slice.try_into().map_err(|_| {
        invalid(format!(
            "theta has {} entries, expected {N_PARAMETERS}",
            slice.len()
        ))
    })?;
    if array.iter().any(|u| !u.is_finite()) {
        return Err(invalid("theta must be finite".into()));
    }
    Ok(array)
}

pub(crate) fn pool(threads: usize) -> PyResult<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads.max(1))
        .build()
        .map_err(|e| KernelError::new_err(format!("cannot start {threads} threads: {e}")))
}

fn unknown(handle: i64) -> PyErr {
    KernelError::new_err(format!("likelihood handle {handle} is unknown or released"))
}
