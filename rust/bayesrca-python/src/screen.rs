//! The fast posterior by handle.

use bayesrca_core::N_PARAMETERS;
use bayesrca_core::screen::{Options, Prior};
use numpy::ndarray::Array2;
use numpy::{IntoPyArray, PyArray1, PyArray2, PyReadonlyArray1};
use pyo3::prelude::*;

use crate::error::to_python;
use crate::likelihood::{parameters, pool, with};
use crate::poll::Poll;

/// Weighted draws of theta, with the posterior over hypotheses at each.
#[pyclass(frozen, module = "bayesrca._core")]
pub(crate) struct Screen {
    inner: bayesrca_core::screen::Screen,
    mode: [f64; N_PARAMETERS],
}

#[pymethods]
impl Screen {
    /// Unconstrained draws, float64 [d, p], scramble by scramble.
    #[getter]
    fn thetas<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray2<f64>> {
        let flat = self.inner.thetas.iter().flatten().copied().collect();
        shaped(self.inner.thetas.len(), flat).into_pyarray(py)
    }

    /// Log importance weights, float64 [d].
    #[getter]
    fn log_weights<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        self.inner.log_weights.clone().into_pyarray(py)
    }

    /// Log posterior of every hypothesis at each draw, float64 [d, k].
    #[getter]
    fn log_root<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray2<f64>> {
        shaped(self.inner.thetas.len(), self.inner.log_root.clone()).into_pyarray(py)
    }

    /// Log likelihood of each draw, float64 [d].
    #[getter]
    fn log_likelihood<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        self.inner.log_likelihood.clone().into_pyarray(py)
    }

    /// Unconstrained posterior mode, float64 [p].
    #[getter]
    fn mode<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        self.mode.to_vec().into_pyarray(py)
    }

    /// Pareto shape of the importance weights.
    #[getter]
    fn pareto_k(&self) -> f64 {
        self.inner.pareto_k
    }
}

/// Explore theta's posterior by importance sampling around its mode.
///
/// Args:
///     handle: a prepared likelihood.
///     prior_mean: float64 [p], means of the unconstrained theta's independent normal priors.
///     prior_sd: float64 [p], their standard deviations (> 0).
///     scrambles: independent Sobol scrambles (>= 2).
///     points: points per scramble (2 to 65536).
///     seed: seed of the scrambles; the same seed gives the same bits for any number of threads.
///     threads: threads to use (>= 1).
///     cancelled: polled while working; True stops with CancelledError.
///
/// Raises:
///     InvalidEvidenceError: a size or the prior is out of range.
///     CancelledError: `cancelled` returned True.
///     KernelError: unknown handle, or a posterior that is nowhere finite.
#[pyfunction]
#[pyo3(signature = (handle, *, prior_mean, prior_sd, scrambles, points, seed, threads, cancelled=None))]
#[allow(clippy::too_many_arguments, reason = "one named argument per quantity")]
pub(crate) fn screen(
    py: Python<'_>,
    handle: i64,
    prior_mean: PyReadonlyArray1<'_, f64>,
    prior_sd: PyReadonlyArray1<'_, f64>,
    scrambles: usize,
    points: usize,
    seed: u64,
    threads: usize,
    cancelled: Option<Py<PyAny>>,
) -> PyResult<Screen> {
    let prior = Prior {
        mean: parameters(prior_mean.as_array().as_slice())?,
        sd: parameters(prior_sd.as_array().as_slice())?,
    };
    let options = Options {
        scrambles,
        points,
        seed,
    };
    let poll = Poll::new(cancelled);
    let outcome = py.detach(|| {
        poll.while_running(|stopped| {
            with(handle, |l| {
                pool(threads)?.install(|| {
                    bayesrca_core::screen::screen(l, &prior, options, stopped).map_err(to_python)
                })
            })?
        })
    });
    let inner = poll.into_result(outcome)?;
    let mode = prior.theta(&inner.mode.whitened);
    Ok(Screen { inner, mode })
}

/// Pareto shape k-hat of importance weights given by their logarithms, float64 [d].
#[pyfunction]
pub(crate) fn pareto_k(log_weights: PyReadonlyArray1<'_, f64>) -> f64 {
    bayesrca_core::screen::pareto_k(&log_weights.as_array().to_vec())
}

fn shaped(rows: usize, flat: Vec<f64>) -> Array2<f64> {
    let columns = flat.len() / rows.max(1);
    Array2::from_shape_vec((rows, columns), flat).expect("rows x columns values")
}
