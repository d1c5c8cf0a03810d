//! Games from arrays.

use bayesrca_core::Error;
use bayesrca_core::shapley::games::{
    CallTreeGame, ExcessFlowGame, GaussianTailGame, InteractionGame, LiveEdgeGame, NoisyOrGame,
    NonlinearTailGame, SampledTailGame, Span, Tail, flow_weights,
};
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;

use crate::error::{game_error, game_invalid as invalid};
use crate::games::{Kind, NativeGame};

/// The game of log tail probabilities of the target in a linear structural model, by counting samples.
///
/// Args:
///     edges: int64 [e, 2], pairs (parent, child) without a cycle.
///     weights: float64 [e], effect of the parent on the child.
///     target: the node whose outlying value is explained.
///     observed_noise: float64 [n], noise terms of the incident.
///     baseline_noise: float64 [m, n], noise terms of usual times (2 <= m <= 2^22).
///     lower: whether small values of the target are the anomaly.
///
/// Raises:
///     InvalidGameError: a cycle, a wrong shape or an entry that is not finite.
#[pyfunction]
#[pyo3(signature = (*, edges: "numpy.typing.NDArray[numpy.int64]", weights: "numpy.typing.NDArray[numpy.float64]", target: "int", observed_noise: "numpy.typing.NDArray[numpy.float64]", baseline_noise: "numpy.typing.NDArray[numpy.float64]", lower: "bool") -> "NativeGame")]
pub(crate) fn sampled_tail_game(
    edges: PyReadonlyArray2<'_, i64>,
    weights: PyReadonlyArray1<'_, f64>,
    target: i64,
    observed_noise: PyReadonlyArray1<'_, f64>,
    baseline_noise: PyReadonlyArray2<'_, f64>,
    lower: bool,
) -> PyResult<NativeGame> {
    let observed = vector(&observed_noise);
    built(
        Kind::Sampled,
        links(&edges, "weights", &weights).and_then(|e| {
            let n = observed.len();
            let baseline = matrix(&baseline_noise, "baseline_noise", n)?;
            SampledTailGame::new(n, &e, index(target), &observed, &baseline, tail(lower))
        }),
    )
}

/// The same with normal noise, whose tail probability is a formula.
///
/// Args:
///     edges: int64 [e, 2], pairs (parent, child) without a cycle.
///     weights: float64 [e], effect of the parent on the child.
///     target: the node whose outlying value is explained.
///     observed_noise: float64 [n], noise terms of the incident.
///     baseline_mean: float64 [n], means of the noise at usual times.
///     baseline_sd: float64 [n], its standard deviations (>= 0).
///     lower: whether small values of the target are the anomaly.
///
/// Raises:
///     InvalidGameError: a cycle, a wrong shape, an entry that is not finite or a negative deviation.
#[pyfunction]
#[pyo3(signature = (*, edges: "numpy.typing.NDArray[numpy.int64]", weights: "numpy.typing.NDArray[numpy.float64]", target: "int", observed_noise: "numpy.typing.NDArray[numpy.float64]", baseline_mean: "numpy.typing.NDArray[numpy.float64]", baseline_sd: "numpy.typing.NDArray[numpy.float64]", lower: "bool") -> "NativeGame")]
pub(crate) fn gaussian_tail_game(
    edges: PyReadonlyArray2<'_, i64>,
    weights: PyReadonlyArray1<'_, f64>,
    target: i64,
    observed_noise: PyReadonlyArray1<'_, f64>,
    baseline_mean: PyReadonlyArray1<'_, f64>,
    baseline_sd: PyReadonlyArray1<'_, f64>,
    lower: bool,
) -> PyResult<NativeGame> {
    let observed = vector(&observed_noise);
    let (mean, sd) = (vector(&baseline_mean), vector(&baseline_sd));
    built(
        Kind::Gaussian,
        links(&edges, "weights", &weights).and_then(|e| {
            let (n, target) = (observed.len(), index(target));
            GaussianTailGame::new(n, &e, target, &observed, &mean, &sd, tail(lower))
        }),
    )
}

/// The same by counting samples where each node is a leaky rectifier of its parents: `max(h, slope h) + noise`.
///
/// Args:
///     edges: int64 [e, 2], pairs (parent, child) without a cycle.
///     weights: float64 [e], effect of the parent on h of the child.
///     target: the node whose outlying value is explained.
///     slope: float64 [n], 0 to 1 (1 is the linear model).
///     observed_noise: float64 [n], noise terms of the incident.
///     baseline_noise: float64 [m, n], noise terms of usual times.
///     lower: whether small values of the target are the anomaly.
///
/// Raises:
///     InvalidGameError: a cycle, a wrong shape, a slope outside 0 to 1 or an entry that is not finite.
#[pyfunction]
#[pyo3(signature = (*, edges: "numpy.typing.NDArray[numpy.int64]", weights: "numpy.typing.NDArray[numpy.float64]", target: "int", slope: "numpy.typing.NDArray[numpy.float64]", observed_noise: "numpy.typing.NDArray[numpy.float64]", baseline_noise: "numpy.typing.NDArray[numpy.float64]", lower: "bool") -> "NativeGame")]
pub(crate) fn nonlinear_tail_game(
    edges: PyReadonlyArray2<'_, i64>,
    weights: PyReadonlyArray1<'_, f64>,
    target: i64,
    slope: PyReadonlyArray1<'_, f64>,
    observed_noise: PyReadonlyArray1<'_, f64>,
    baseline_noise: PyReadonlyArray2<'_, f64>,
    lower: bool,
) -> PyResult<NativeGame> {
    let observed = vector(&observed_noise);
    let slope = vector(&slope);
    built(
        Kind::Nonlinear,
        links(&edges, "weights", &weights).and_then(|e| {
            let target = index(target);
            let baseline = matrix(&baseline_noise, "baseline_noise", observed.len())?;
            NonlinearTailGame::new(&e, target, &slope, &observed, &baseline, tail(lower))
        }),
    )
}

/// The game of the target's failure probability when parents fail independently of each other (noisy-OR).
///
/// Args:
///     edges: int64 [e, 2], pairs (parent, child) without a cycle.
///     transmission: float64 [e], probability that the parent's failure makes the child fail.
///     target: the node whose failure is explained.
///     leak: float64 [n], probability of failing for no reason.
///     activation: float64 [n], probability that a member of the coalition fails.
///
/// Raises:
///     InvalidGameError: a cycle, a wrong shape or an entry that is not a probability.
#[pyfunction]
#[pyo3(signature = (*, edges: "numpy.typing.NDArray[numpy.int64]", transmission: "numpy.typing.NDArray[numpy.float64]", target: "int", leak: "numpy.typing.NDArray[numpy.float64]", activation: "numpy.typing.NDArray[numpy.float64]") -> "NativeGame")]
pub(crate) fn noisy_or_game(
    edges: PyReadonlyArray2<'_, i64>,
    transmission: PyReadonlyArray1<'_, f64>,
    target: i64,
    leak: PyReadonlyArray1<'_, f64>,
    activation: PyReadonlyArray1<'_, f64>,
) -> PyResult<NativeGame> {
    let (leak, activation) = (vector(&leak), vector(&activation));
    built(
        Kind::NoisyOr,
        links(&edges, "transmission", &transmission)
            .and_then(|e| NoisyOrGame::new(leak.len(), &e, index(target), &leak, &activation)),
    )
}

/// The same in the true live-edge semantics, on any graph, cycles included.
///
/// Args:
///     edges: int64 [e, 2], pairs (from, to); parallel edges are independent.
///     transmission: float64 [e], probability that the edge is live.
///     target: the node whose failure is explained.
///     leak: float64 [n], probability of failing for no reason.
///     activation: float64 [n], probability that a member of the coalition fails.
///
/// Raises:
///     InvalidGameError: a wrong shape or an entry that is not a probability.
#[pyfunction]
#[pyo3(signature = (*, edges: "numpy.typing.NDArray[numpy.int64]", transmission: "numpy.typing.NDArray[numpy.float64]", target: "int", leak: "numpy.typing.NDArray[numpy.float64]", activation: "numpy.typing.NDArray[numpy.float64]") -> "NativeGame")]
pub(crate) fn live_edge_game(
    edges: PyReadonlyArray2<'_, i64>,
    transmission: PyReadonlyArray1<'_, f64>,
    target: i64,
    leak: PyReadonlyArray1<'_, f64>,
    activation: PyReadonlyArray1<'_, f64>,
) -> PyResult<NativeGame> {
    let (leak, activation) = (vector(&leak), vector(&activation));
    built(
        Kind::Live,
        links(&edges, "transmission", &transmission)
            .and_then(|e| LiveEdgeGame::new(leak.len(), &e, index(target), &leak, &activation)),
    )
}

/// The game of a request's latency when spans take their observed instead of their usual time.
///
/// Args:
///     parent: int64 [n], the calling span; -1 for the root.
///     stage: int64 [n] (>= 0), which of its parent's sequential stages a span belongs to; calls of one stage run in
///         parallel.
///     baseline: float64 [n], usual time of its own (>= 0).
///     observed: float64 [n], time of its own in the incident (>= 0).
///
/// Raises:
///     InvalidGameError: none or several roots, an unknown parent, a cycle, a wrong shape or an illegal time.
#[pyfunction]
#[pyo3(signature = (*, parent: "numpy.typing.NDArray[numpy.int64]", stage: "numpy.typing.NDArray[numpy.int64]", baseline: "numpy.typing.NDArray[numpy.float64]", observed: "numpy.typing.NDArray[numpy.float64]") -> "NativeGame")]
pub(crate) fn call_tree_game(
    parent: PyReadonlyArray1<'_, i64>,
    stage: PyReadonlyArray1<'_, i64>,
    baseline: PyReadonlyArray1<'_, f64>,
    observed: PyReadonlyArray1<'_, f64>,
) -> PyResult<NativeGame> {
    let (parent, stage) = (parent.as_array(), stage.as_array());
    let (baseline, observed) = (baseline.as_array(), observed.as_array());
    let n = parent.len();
    if [stage.len(), baseline.len(), observed.len()] != [n; 3] {
        let message = format!("stage, baseline and observed need {n} entries, as parent has");
        return Err(game_error(invalid("parent", message)));
    }
    let spans: Vec<Span> = (0..n)
        .map(|i| Span {
            parent: (parent[i] != -1).then(|| index(parent[i])),
            stage: index(stage[i]),
            baseline: baseline[i],
            observed: observed[i],
        })
        .collect();
    built(Kind::CallTree, CallTreeGame::new(&spans))
}

/// The game of single, pairwise and triple effects.
///
/// Args:
///     constant: value of the empty coalition.
///     single: float64 [n], effect of each player alone.
///     pair: float64 [n, n], symmetric effects of pairs; the diagonal is ignored.
///     triples: int64 [t, 3], three different players each.
///     triple_effects: float64 [t], effects of the triples.
///
/// Raises:
///     InvalidGameError: a wrong shape, an entry that is not finite, an asymmetric `pair` or a repeated player.
#[pyfunction]
#[pyo3(signature = (*, constant: "float", single: "numpy.typing.NDArray[numpy.float64]", pair: "numpy.typing.NDArray[numpy.float64]", triples: "numpy.typing.NDArray[numpy.int64]", triple_effects: "numpy.typing.NDArray[numpy.float64]") -> "NativeGame")]
pub(crate) fn interaction_game(
    constant: f64,
    single: PyReadonlyArray1<'_, f64>,
    pair: PyReadonlyArray2<'_, f64>,
    triples: PyReadonlyArray2<'_, i64>,
    triple_effects: PyReadonlyArray1<'_, f64>,
) -> PyResult<NativeGame> {
    let (players, effects) = (triples.as_array(), triple_effects.as_array());
    if players.ncols() != 3 || players.nrows() != effects.len() {
        let message = format!(
            "needs three columns and a row for each of {} effects",
            effects.len()
        );
        return Err(game_error(invalid("triples", message)));
    }
    let triples = players
        .rows()
        .into_iter()
        .zip(effects)
        .map(|(t, &effect)| (index(t[0]), index(t[1]), index(t[2]), effect))
        .collect();
    built(
        Kind::Interaction,
        matrix(&pair, "pair", single.as_array().len())
            .and_then(|pair| InteractionGame::new(constant, vector(&single), pair, triples)),
    )
}

/// The game of excess work that arrives at the target along a call graph.
///
/// Args:
///     calls: int64 [e, 2], pairs (caller, callee).
///     weights: float64 [e], part of the callee's excess that the caller sees (>= 0).
///     target: the component whose excess is explained.
///     dose: float64 [n], excess of each component; NaN where it does not report.
///     dose_sd: float64 [n], standard deviation of its noise (>= 0; any where the dose is NaN).
///     min_signal: doses below this many standard deviations count as 0 (>= 0).
///
/// Raises:
///     InvalidGameError: a wrong shape, a negative or infinite entry, a target without a dose, or a cycle of calls that
///         hands on all the work that goes round or more.
#[pyfunction]
#[pyo3(signature = (*, calls: "numpy.typing.NDArray[numpy.int64]", weights: "numpy.typing.NDArray[numpy.float64]", target: "int", dose: "numpy.typing.NDArray[numpy.float64]", dose_sd: "numpy.typing.NDArray[numpy.float64]", min_signal: "float") -> "NativeGame")]
pub(crate) fn excess_flow_game(
    calls: PyReadonlyArray2<'_, i64>,
    weights: PyReadonlyArray1<'_, f64>,
    target: i64,
    dose: PyReadonlyArray1<'_, f64>,
    dose_sd: PyReadonlyArray1<'_, f64>,
    min_signal: f64,
) -> PyResult<NativeGame> {
    let (dose, sd) = (vector(&dose), vector(&dose_sd));
    built(
        Kind::Flow,
        links(&calls, "weights", &weights)
            .and_then(|e| ExcessFlowGame::new(&e, index(target), &dose, &sd, min_signal)),
    )
}

/// Part of each callee's excess that each caller sees: the caller's part of the requests of all its callers. Equal
/// parts where one of these is unknown or nobody has requests.
///
/// Args:
///     requests: float64 [n], requests of each component (>= 0), NaN where unknown.
///     calls: int64 [e, 2], pairs (caller, callee).
///
/// Returns:
///     float64 [e], in [0, 1].
///
/// Raises:
///     InvalidGameError: an unknown component or an illegal number of requests.
#[pyfunction]
#[pyo3(signature = (*, requests: "numpy.typing.NDArray[numpy.float64]", calls: "numpy.typing.NDArray[numpy.int64]") -> "numpy.typing.NDArray[numpy.float64]")]
pub(crate) fn excess_flow_weights<'py>(
    py: Python<'py>,
    requests: PyReadonlyArray1<'py, f64>,
    calls: PyReadonlyArray2<'py, i64>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let calls = calls.as_array();
    if calls.ncols() != 2 {
        return Err(game_error(invalid("calls", "needs two columns".into())));
    }
    let pairs: Vec<(usize, usize)> = calls
        .rows()
        .into_iter()
        .map(|c| (index(c[0]), index(c[1])))
        .collect();
    let weighted = flow_weights(&vector(&requests), &pairs).map_err(game_error)?;
    let weights: Vec<f64> = weighted.into_iter().map(|w| w.2).collect();
    Ok(weights.into_pyarray(py))
}

/// Edges with their weights, called `name`.
fn links(
    edges: &PyReadonlyArray2<'_, i64>,
    name: &str,
    weights: &PyReadonlyArray1<'_, f64>,
) -> Result<Vec<(usize, usize, f64)>, Error> {
    let (edges, weights) = (edges.as_array(), weights.as_array());
    if edges.ncols() != 2 || edges.nrows() != weights.len() {
        let message = format!(
            "needs two columns and a row for each of {} {name}",
            weights.len()
        );
        return Err(invalid("edges", message));
    }
    if let Some(i) = weights.iter().position(|w| !w.is_finite()) {
        return Err(invalid(name, format!("entry {i} is not finite")));
    }
    Ok(edges
        .rows()
        .into_iter()
        .zip(weights)
        .map(|(edge, &w)| (index(edge[0]), index(edge[1]), w))
        .collect())
}

/// A negative index becomes one that no range check accepts.
fn index(i: i64) -> usize {
    usize::try_from(i).unwrap_or(usize::MAX)
}

fn tail(lower: bool) -> Tail {
    if lower { Tail::Lower } else { Tail::Upper }
}

fn vector(array: &PyReadonlyArray1<'_, f64>) -> Vec<f64> {
    array.as_array().to_vec()
}

/// A matrix row by row.
fn matrix(
    array: &PyReadonlyArray2<'_, f64>,
    name: &str,
    columns: usize,
) -> Result<Vec<f64>, Error> {
    let array = array.as_array();
    if array.ncols() != columns {
        let message = format!("has {} columns for {columns} players", array.ncols());
        return Err(invalid(name, message));
    }
    Ok(array.iter().copied().collect())
}

fn built<G>(kind: fn(G) -> Kind, game: Result<G, Error>) -> PyResult<NativeGame> {
    game.map(|g| NativeGame { inner: kind(g) })
        .map_err(game_error)
}
