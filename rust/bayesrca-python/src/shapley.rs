//! Shapley values and interactions of a game.

use std::sync::mpsc::channel;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bayesrca_core::game::Game;
use bayesrca_core::shapley::{
    self, Control, Estimate, Guarantee, Method, Monitor, Options, Progress, Tolerance,
};
use numpy::ndarray::Array2;
use numpy::{IntoPyArray, PyArray1, PyArray2};
use pyo3::prelude::*;

use crate::error::{game_error, game_invalid as invalid};
use crate::games::{NativeGame, with_game};
use crate::likelihood::pool;
use crate::poll::Poll;
use crate::value::{Question, answer};

/// Shapley values with their errors.
#[pyclass(frozen, module = "bayesrca._core")]
pub(crate) struct NativeEstimate {
    inner: Estimate,
}

#[pymethods]
impl NativeEstimate {
    /// Shapley values, float64 [n].
    #[getter]
    fn values<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        self.inner.values.clone().into_pyarray(py)
    }

    /// Standard errors over orders or worlds, float64 [n].
    #[getter]
    fn std_err<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        self.inner.std_err.clone().into_pyarray(py)
    }

    /// Half-widths of the intervals, float64 [n].
    #[getter]
    fn half_width<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        self.inner.half_width.clone().into_pyarray(py)
    }

    /// Standard errors that stem from the game's own samples, float64 [n]; None where it has none.
    #[getter]
    fn inner_std_err<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyArray1<f64>>> {
        self.inner.inner_std_err.clone().map(|e| e.into_pyarray(py))
    }

    /// Evaluations of the game.
    #[getter]
    fn n_evaluations(&self) -> u64 {
        self.inner.n_evaluations
    }

    /// Evaluations of the game's surrogate, its control variate.
    #[getter]
    fn n_surrogate_evaluations(&self) -> u64 {
        self.inner.n_surrogate_evaluations
    }

    /// Independent sampling units.
    #[getter]
    fn n_units(&self) -> u64 {
        self.inner.n_units
    }

    /// Whether the tolerance was met, or the budget spent where none was asked for.
    #[getter]
    fn converged(&self) -> bool {
        self.inner.converged
    }

    /// Value of the empty coalition.
    #[getter]
    fn baseline(&self) -> f64 {
        self.inner.baseline
    }

    /// Value of the coalition of all players.
    #[getter]
    fn grand(&self) -> f64 {
        self.inner.grand
    }

    /// Stable word for how the values and errors came about.
    #[getter]
    fn rule(&self) -> &'static str {
        self.inner.rule.code()
    }

    /// Whether the values are exact, up to rounding.
    #[getter]
    fn exact(&self) -> bool {
        self.inner.exact
    }
}

/// Estimate Shapley values.
///
/// Args:
///     game: the game.
///     seed: seed of every random stream; the same seed gives the same bits for any number of threads.
///     tolerance: half-width at which to stop, or None.
///     relative: whether it is relative to the root mean square of the values.
///     budget: most evaluations, or None.
///     confidence: coverage of the half-widths, in (0, 1).
///     method: "automatic", "sampled" or "leverage".
///     guarantee: "asymptotic" or "bernstein": what the half-widths under a tolerance promise.
///     threads: threads to use (>= 1).
///     deadline: seconds after which to return what there is, or None.
///     progress: told the evaluations so far, the planned ones or None, the widest half-width and its target or None.
///     cancelled: polled while working; True stops with CancelledError.
///
/// Raises:
///     InvalidGameError: the game has no players.
///     InvalidSettingsError: the budget, tolerance or confidence is out of range.
///     KernelError: a value is not finite.
///     CancelledError: `cancelled` returned True.
#[pyfunction]
#[pyo3(signature = (game, *, seed, tolerance=None, relative=true, budget=None, confidence=0.95, method="automatic", guarantee="asymptotic", threads=1, deadline=None, progress=None, cancelled=None))]
#[allow(clippy::too_many_arguments, reason = "one named argument per quantity")]
pub(crate) fn estimate_shapley(
    py: Python<'_>,
    game: Py<NativeGame>,
    seed: u64,
    tolerance: Option<f64>,
    relative: bool,
    budget: Option<u64>,
    confidence: f64,
    method: &str,
    guarantee: &str,
    threads: usize,
    deadline: Option<f64>,
    progress: Option<Py<PyAny>>,
    cancelled: Option<Py<PyAny>>,
) -> PyResult<NativeEstimate> {
    let options = Options {
        tolerance: tolerance.map(if relative {
            Tolerance::Relative
        } else {
            Tolerance::Absolute
        }),
        budget,
        confidence,
        method: match method {
            "automatic" => Method::Automatic,
            "sampled" => Method::Sampled,
            "leverage" => Method::Leverage,
            _ => {
                let message = format!("{method:?} is none of automatic, sampled, leverage");
                return Err(game_error(invalid("method", message)));
            }
        },
        guarantee: match guarantee {
            "asymptotic" => Guarantee::Asymptotic,
            "bernstein" => Guarantee::Bernstein,
            _ => {
                let message = format!("{guarantee:?} is none of asymptotic, bernstein");
                return Err(game_error(invalid("guarantee", message)));
            }
        },
        ..Options::new(seed)
    };
    let watch = Watch::new(deadline, progress, cancelled)?;
    match perform(py, game.get(), &Task::Estimate(options), threads, watch)? {
        Outcome::Estimate(inner) => Ok(NativeEstimate { inner }),
        Outcome::Matrix(_) => unreachable!("an estimation gives an estimate"),
    }
}

/// Compute exact Shapley values: by a closed form, else by enumeration.
///
/// Args:
///     game: the game.
///     threads: threads to use (>= 1).
///     progress: as for `estimate_shapley`.
///     cancelled: polled while working; True stops with CancelledError.
///
/// Raises:
///     InvalidGameError: the game has no players, or too many for an enumeration.
///     KernelError: a value is not finite.
///     CancelledError: `cancelled` returned True.
#[pyfunction]
#[pyo3(signature = (game, *, threads=1, progress=None, cancelled=None))]
pub(crate) fn compute_shapley(
    py: Python<'_>,
    game: Py<NativeGame>,
    threads: usize,
    progress: Option<Py<PyAny>>,
    cancelled: Option<Py<PyAny>>,
) -> PyResult<NativeEstimate> {
    let watch = Watch::new(None, progress, cancelled)?;
    match perform(py, game.get(), &Task::Exact, threads, watch)? {
        Outcome::Estimate(inner) => Ok(NativeEstimate { inner }),
        Outcome::Matrix(_) => unreachable!("exact values are an estimate without error"),
    }
}

/// Compute exact pairwise Shapley interaction indices: by a closed form, else by enumeration.
///
/// Args:
///     game: the game.
///     threads: threads to use (>= 1).
///     progress: as for `estimate_shapley`.
///     cancelled: polled while working; True stops with CancelledError.
///
/// Returns:
///     float64 [n, n], symmetric, 0 on the diagonal.
///
/// Raises:
///     InvalidGameError: the game has no players, or too many for an enumeration.
///     KernelError: a value is not finite.
///     CancelledError: `cancelled` returned True.
#[pyfunction]
#[pyo3(signature = (game, *, threads: "int"=1, progress: "object"=None, cancelled: "object"=None) -> "numpy.typing.NDArray[numpy.float64]")]
pub(crate) fn compute_interactions(
    py: Python<'_>,
    game: Py<NativeGame>,
    threads: usize,
    progress: Option<Py<PyAny>>,
    cancelled: Option<Py<PyAny>>,
) -> PyResult<Bound<'_, PyArray2<f64>>> {
    let watch = Watch::new(None, progress, cancelled)?;
    let outcome = perform(py, game.get(), &Task::Interactions, threads, watch)?;
    let n = game.get().count();
    match outcome {
        Outcome::Matrix(flat) => Ok(Array2::from_shape_vec((n, n), flat)
            .expect("n x n values")
            .into_pyarray(py)),
        Outcome::Estimate(_) => unreachable!("interactions are a matrix"),
    }
}

enum Task {
    Estimate(Options),
    Exact,
    Interactions,
}

enum Outcome {
    Estimate(Estimate),
    Matrix(Vec<f64>),
}

/// Who watches the work.
struct Watch {
    deadline: Option<Instant>,
    progress: Option<Py<PyAny>>,
    cancelled: Option<Py<PyAny>>,
}

impl Watch {
    fn new(
        deadline: Option<f64>,
        progress: Option<Py<PyAny>>,
        cancelled: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let deadline = deadline
            .map(|seconds| {
                Duration::try_from_secs_f64(seconds)
                    .ok()
                    .and_then(|d| Instant::now().checked_add(d))
                    .ok_or_else(|| {
                        let message = format!("{seconds} is no number of seconds to wait");
                        game_error(invalid("deadline", message))
                    })
            })
            .transpose()?;
        Ok(Self {
            deadline,
            progress,
            cancelled,
        })
    }
}

fn perform(
    py: Python<'_>,
    game: &NativeGame,
    task: &Task,
    threads: usize,
    watch: Watch,
) -> PyResult<Outcome> {
    let Watch {
        deadline,
        progress,
        cancelled,
    } = watch;
    let poll = Poll::new(cancelled);
    let news: Mutex<Option<Progress>> = Mutex::new(None);
    let outcome = py.detach(|| {
        let pool = pool(threads)?;
        let (sender, questions) = channel();
        let asking = sender.clone();
        let answer = |question: Question| answer(&game.inner, question, &poll);
        let tell = || report(&news, progress.as_ref(), &poll);
        let outcome = poll.while_serving((sender, questions), answer, tell, || {
            let mut monitor = |now: &Progress| {
                *news.lock().unwrap_or_else(PoisonError::into_inner) = Some(*now);
                if poll.stopped() {
                    Control::Cancel
                } else if deadline.is_some_and(|d| Instant::now() >= d) {
                    Control::Finish
                } else {
                    Control::Continue
                }
            };
            pool.install(|| {
                with_game!(
                    &game.inner,
                    g => one(g, task, &mut monitor),
                    live g => worlds(g, task, &mut monitor),
                    python g => one(&g.game(asking)?, task, &mut monitor)
                )
            })
        });
        outcome.map_err(game_error)
    });
    poll.into_result(outcome)
}

fn one<G: Game>(game: &G, task: &Task, monitor: Monitor<'_>) -> bayesrca_core::Result<Outcome> {
    match task {
        Task::Estimate(options) => {
            shapley::estimate_shapley(game, options, monitor).map(Outcome::Estimate)
        }
        Task::Exact => shapley::compute_shapley(game, monitor).map(Outcome::Estimate),
        Task::Interactions => shapley::compute_interactions(game, monitor).map(Outcome::Matrix),
    }
}

fn worlds(
    game: &shapley::games::LiveEdgeGame,
    task: &Task,
    monitor: Monitor<'_>,
) -> bayesrca_core::Result<Outcome> {
    match task {
        Task::Estimate(options) => game
            .estimate_shapley(options, monitor)
            .map(Outcome::Estimate),
        Task::Exact | Task::Interactions => {
            let message = "a live-edge game is known by sampled worlds only: estimate instead";
            Err(invalid("game", message.into()))
        }
    }
}

/// Tell Python about the latest news, once each.
fn report(news: &Mutex<Option<Progress>>, callback: Option<&Py<PyAny>>, poll: &Poll) {
    let Some(latest) = news.lock().unwrap_or_else(PoisonError::into_inner).take() else {
        return;
    };
    let Some(callback) = callback else { return };
    let told = Python::attach(|py| {
        let now = (
            latest.n_evaluations,
            latest.planned,
            latest.half_width,
            latest.target,
        );
        callback.call1(py, now).map(drop)
    });
    if let Err(error) = told {
        poll.fail(error);
    }
}
