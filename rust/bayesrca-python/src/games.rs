//! The games.

use bayesrca_core::game::{Coalition, Game};
use bayesrca_core::shapley::games::{
    CallTreeGame, ExcessFlowGame, GaussianTailGame, InteractionGame, LiveEdgeGame, NoisyOrGame,
    NonlinearTailGame, SampledTailGame,
};
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray2};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::error::{game_error, game_invalid as invalid};
use crate::value::PythonGame;

/// A game whose players share a value. Built once; all computations on it read only.
#[pyclass(frozen, module = "bayesrca._core")]
pub(crate) struct NativeGame {
    pub(crate) inner: Kind,
}

/// What is played.
pub(crate) enum Kind {
    Sampled(SampledTailGame),
    Gaussian(GaussianTailGame),
    Nonlinear(NonlinearTailGame),
    NoisyOr(NoisyOrGame),
    CallTree(CallTreeGame),
    Interaction(InteractionGame),
    Flow(ExcessFlowGame),
    Live(LiveEdgeGame),
    Python(PythonGame),
}

/// Evaluate an expression with the game inside a [`Kind`]. Live-edge games, which have an estimator of their own, and
/// those that Python values take expressions of their own.
macro_rules! with_game {
    ($kind:expr, $game:ident => $body:expr, live $live:ident => $other:expr, python $python:ident => $asked:expr) => {
        match $kind {
            crate::games::Kind::Sampled($game) => $body,
            crate::games::Kind::Gaussian($game) => $body,
            crate::games::Kind::Nonlinear($game) => $body,
            crate::games::Kind::NoisyOr($game) => $body,
            crate::games::Kind::CallTree($game) => $body,
            crate::games::Kind::Interaction($game) => $body,
            crate::games::Kind::Flow($game) => $body,
            crate::games::Kind::Live($live) => $other,
            crate::games::Kind::Python($python) => $asked,
        }
    };
}
pub(crate) use with_game;

type Shares<'py> = (
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray1<f64>>,
);

impl NativeGame {
    pub(crate) fn count(&self) -> usize {
        with_game!(
            &self.inner,
            g => g.n_players(),
            live g => g.n_players(),
            python g => g.n_players()
        )
    }
}

#[pymethods]
impl NativeGame {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match &self.inner {
            Kind::Python(game) => game.traverse(&visit),
            _ => Ok(()),
        }
    }

    /// Number of players.
    #[getter]
    fn n_players(&self) -> usize {
        self.count()
    }

    /// Value of each coalition.
    ///
    /// Args:
    ///     coalitions: bool [b, n], one row per coalition.
    ///
    /// Returns:
    ///     float64 [b].
    ///
    /// Raises:
    ///     InvalidGameError: the matrix has another width, or the game is only known by sampled worlds or valued by Python.
    #[pyo3(signature = (coalitions: "numpy.typing.NDArray[numpy.bool_]") -> "numpy.typing.NDArray[numpy.float64]")]
    fn values<'py>(
        &self,
        py: Python<'py>,
        coalitions: PyReadonlyArray2<'py, bool>,
    ) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let matrix = coalitions.as_array();
        let n = self.count();
        if matrix.ncols() != n {
            let message = format!("has {} columns for {n} players", matrix.ncols());
            return Err(game_error(invalid("coalitions", message)));
        }
        let rows: Vec<Coalition> = matrix
            .rows()
            .into_iter()
            .map(|row| Coalition::of(n, (0..n).filter(|&i| row[i])))
            .collect();
        let values: Option<Vec<f64>> = py.detach(|| {
            with_game!(
                &self.inner,
                g => Some(rows.iter().map(|c| g.value(c)).collect()),
                live _g => None,
                python _g => None
            )
        });
        let Some(values) = values else {
            let message = "this game's single coalitions are not valued here".into();
            return Err(game_error(invalid("game", message)));
        };
        Ok(values.into_pyarray(py))
    }

    /// Shares of the target's excess among those whose value stands out of its noise, with the errors that the doses'
    /// noise puts on them.
    ///
    /// Args:
    ///     resamples: how often the doses are drawn anew (>= 2).
    ///     seed: seed of the draws.
    ///
    /// Returns:
    ///     float64 [n] each: the shares, their standard errors, the standard errors of the values.
    ///
    /// Raises:
    ///     InvalidGameError: this is no excess-flow game, or fewer than 2 resamples.
    #[pyo3(signature = (*, resamples, seed) -> "tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]]")]
    fn estimate_shares<'py>(
        &self,
        py: Python<'py>,
        resamples: usize,
        seed: u64,
    ) -> PyResult<Shares<'py>> {
        let Kind::Flow(game) = &self.inner else {
            let message = "only an excess-flow game has shares".into();
            return Err(game_error(invalid("game", message)));
        };
        let shares = py
            .detach(|| game.estimate_shares(resamples, seed))
            .map_err(game_error)?;
        Ok((
            shares.shares.into_pyarray(py),
            shares.share_std_err.into_pyarray(py),
            shares.value_std_err.into_pyarray(py),
        ))
    }
}
