//! Excess work along a call graph: whose own excess arrives at the target.

use super::dag::{check_edges, check_finite, check_nodes};
use super::fixed_point::FixedPoint;
use crate::error::{Error, Result};
use crate::game::{Game, Walk};
use crate::graph::Graph;
use crate::rng::{Purpose, Stream};
use crate::shapley::interval::Moments;

/// The physical linear structural model of excess work: a component's dose (its excess time or failures) is its own
/// excess plus what its callees hand on, `dose_i = own_i + sum over callees c of w_ic dose_c`. The players are the own
/// excesses and `v(S)` is the part of the target's dose that those of S explain.
///
/// The target absorbs: what it hands to its own callers is theirs and never comes back. So one unit of own excess at i
/// adds `h_i` to the target's dose, the minimal non-negative solution of `h_c = sum over callers i of w_ic h_i` with
/// `h_target = 1` (where each callee's weights sum to 1, the probability that a walk from callee to caller hits the
/// target), on cycles too. The game is additive: the Shapley value of i is `h_i own_i` exactly, and
/// `sum over i of h_i (dose_i - sum over callees c but the target of w_ic dose_c)` telescopes to the target's dose.
///
/// A component whose dose is NaN does not report: its own excess is taken as 0, its dose as what its callees hand to
/// it, and its value is exactly 0.
#[derive(Debug, Clone)]
pub struct ExcessFlowGame {
    /// For each caller, its callees but the target, ascending, with the part of their dose that they hand to it.
    callees: Vec<Vec<(usize, f64)>>,
    flow: Vec<f64>,
    /// Doses of those that do not report, from those of the others.
    unobserved: FixedPoint,
    dose: Vec<f64>,
    dose_sd: Vec<f64>,
    min_signal: f64,
    values: Vec<f64>,
}

/// Shares of the target's excess with the error that the doses' noise puts on them.
#[derive(Debug, Clone, PartialEq)]
pub struct FlowShares {
    /// Shapley values that stand out of their noise, over their sum; all 0 when none does. Were noise not left out, the
    /// positive half of everybody's would take from those who have a part.
    pub shares: Vec<f64>,
    /// Root mean square difference between the shares of resampled doses and these: it holds what noise takes from a
    /// share on average, which a standard deviation would leave out.
    pub share_std_err: Vec<f64>,
    /// Standard deviation of each Shapley value over resampled doses.
    pub value_std_err: Vec<f64>,
}

/// Handed-on share of a callee's dose for each call edge `(caller, callee)`: the caller's part of the requests of all
/// the callee's callers. Where one of these is unknown (NaN), or nobody has requests, all call edges of the callee get
/// equal parts; so each callee hands on its whole dose, neither more nor less.
///
/// # Errors
/// `InvalidEvidence` for an unknown component or requests that are negative or infinite.
pub fn flow_weights(
    requests: &[f64],
    calls: &[(usize, usize)],
) -> Result<Vec<(usize, usize, f64)>> {
    let n = requests.len();
    if let Some(i) = requests.iter().position(|r| *r < 0.0 || r.is_infinite()) {
        return Err(Error::evidence(
            "requests",
            format!("entry {i} is negative or infinite"),
        ));
    }
    let (mut arriving, mut edges) = (vec![0.0; n], vec![0.0; n]);
    for &(caller, callee) in calls {
        if caller >= n || callee >= n {
            return Err(Error::evidence(
                "calls",
                format!("({caller}, {callee}) is not among {n} components"),
            ));
        }
        arriving[callee] += requests[caller];
        edges[callee] += 1.0;
    }
    if let Some(i) = arriving.iter().position(|all| all.is_infinite()) {
        return Err(Error::evidence(
            "requests",
            format!("those of the callers of {i} are too many to be summed"),
        ));
    }
    let weight = |caller: usize, callee: usize| {
        if arriving[callee] > 0.0 {
            requests[caller] / arriving[callee]
        } else {
            1.0 / edges[callee]
        }
    };
    Ok(calls.iter().map(|&(i, c)| (i, c, weight(i, c))).collect())
}

impl ExcessFlowGame {
    /// `calls` are `(caller, callee, weight)`; weights of repeated calls add up. A dose of NaN is unobserved; one below
    /// `min_signal` of its standard deviations counts as 0.
    ///
    /// # Errors
    /// `InvalidEvidence` for no components, a target without a dose, a wrong shape, infinite doses, negative or not
    /// finite weights, deviations (where there is a dose) or `min_signal`, and for calls in a cycle whose weights hand
    /// on all the work that goes round or more (spectral radius >= 1).
    pub fn new(
        calls: &[(usize, usize, f64)],
        target: usize,
        dose: &[f64],
        dose_sd: &[f64],
        min_signal: f64,
    ) -> Result<Self> {
        let n = dose.len();
        check_nodes(n, target)?;
        check_edges(n, calls)?;
        if calls.iter().any(|c| c.2 < 0.0) {
            return Err(Error::evidence("calls", "weights must not be negative"));
        }
        check_finite("dose", &known(dose, dose), n)?;
        if dose[target].is_nan() {
            return Err(Error::evidence("dose", "the target's is not known"));
        }
        if dose_sd.len() != n {
            return Err(Error::evidence(
                "dose_sd",
                format!("has {} entries, needs {n}", dose_sd.len()),
            ));
        }
        let dose_sd = known(dose_sd, dose);
        check_finite("dose_sd", &dose_sd, n)?;
        check_finite("min_signal", &[min_signal], 1)?;
        if min_signal < 0.0 || dose_sd.iter().any(|s| *s < 0.0) {
            return Err(Error::evidence(
                "dose_sd",
                "deviations and min_signal must not be negative",
            ));
        }
        let callees = merged(n, calls.iter().filter(|c| c.1 != target).copied());
        let (flow, reaching) = flow_to(target, &callees)?;
        let free: Vec<bool> = (0..n).map(|i| reaching[i] && dose[i].is_nan()).collect();
        let unobserved = FixedPoint::new(callees.clone(), &free).map_err(endless)?;
        let mut game = Self {
            callees,
            flow,
            unobserved,
            dose: dose.to_vec(),
            dose_sd,
            min_signal,
            values: Vec::new(),
        };
        game.values = game.values_of(dose);
        check_finite("calls", &game.values, n)?;
        Ok(game)
    }

    /// Shapley values for other doses of the components that report.
    fn values_of(&self, dose: &[f64]) -> Vec<f64> {
        let mut kept: Vec<f64> = dose
            .iter()
            .zip(&self.dose_sd)
            .map(|(&d, &sd)| {
                if d.is_nan() || d < self.min_signal * sd {
                    0.0
                } else {
                    d
                }
            })
            .collect();
        self.linear_values(&mut kept)
    }

    /// Shapley values, filling in the doses that are not observed.
    fn linear_values(&self, dose: &mut [f64]) -> Vec<f64> {
        self.unobserved.solve(dose);
        (0..dose.len())
            .map(|i| {
                if self.dose[i].is_nan() || self.flow[i] == 0.0 {
                    return 0.0;
                }
                let handed_on: f64 = self.callees[i].iter().map(|&(c, w)| w * dose[c]).sum();
                self.flow[i] * (dose[i] - handed_on)
            })
            .collect()
    }

    /// Values below which noise of the doses could have brought a component's value about: `min_signal` of the standard
    /// deviations that the doses' independent noises, its own and those of its callees, give it.
    fn noise_limits(&self) -> Vec<f64> {
        let n = self.dose.len();
        let mut variance = vec![0.0; n];
        for j in (0..n).filter(|&j| self.dose_sd[j] > 0.0) {
            let mut unit = vec![0.0; n];
            unit[j] = self.dose_sd[j];
            for (sum, moved) in variance.iter_mut().zip(self.linear_values(&mut unit)) {
                *sum += moved * moved;
            }
        }
        variance
            .iter()
            .map(|v| self.min_signal * v.sqrt())
            .collect()
    }

    /// Shares of the target's excess: the Shapley values that stand `min_signal` of their own standard deviations above
    /// 0, over their sum; the others have none.
    #[must_use]
    pub fn compute_shares(&self) -> Vec<f64> {
        shares(&self.values, &self.noise_limits())
    }

    /// The shares with the errors that independent normal noise on the doses puts on them, by a parametric bootstrap:
    /// the whole computation, the thresholds included, is repeated on resampled doses. Weights are taken as known.
    ///
    /// # Errors
    /// `InvalidEvidence` for fewer than 2 resamples.
    pub fn estimate_shares(&self, resamples: usize, seed: u64) -> Result<FlowShares> {
        if resamples < 2 {
            return Err(Error::evidence("resamples", "needs at least 2"));
        }
        let n = self.dose.len();
        let limits = self.noise_limits();
        let reported = shares(&self.values, &limits);
        let mut values = Moments::new(n);
        let mut squared_errors = values.clone();
        for unit in 0..resamples as u64 {
            let mut stream = Stream::new(seed, Purpose::Doses, unit);
            let drawn: Vec<f64> = (0..n)
                .map(|i| self.dose[i] + self.dose_sd[i] * stream.normal())
                .collect();
            let row = self.values_of(&drawn);
            let errors = shares(&row, &limits).into_iter().zip(&reported);
            let squares: Vec<f64> = errors.map(|(s, r)| (s - r).powi(2)).collect();
            squared_errors.push(&squares);
            values.push(&row);
        }
        Ok(FlowShares {
            shares: reported,
            share_std_err: squared_errors.mean.iter().map(|m| m.sqrt()).collect(),
            value_std_err: (0..n).map(|i| values.deviation(i)).collect(),
        })
    }
}

/// Flow from each component to the target, and which have one.
fn flow_to(target: usize, callees: &[Vec<(usize, f64)>]) -> Result<(Vec<f64>, Vec<bool>)> {
    let n = callees.len();
    let calls = || (0..n).flat_map(|i| callees[i].iter().map(move |&(c, w)| (i, c, w)));
    let pairs: Vec<(usize, usize)> = calls().map(|c| (c.0, c.1)).collect();
    let mut reaching = vec![false; n];
    for i in Graph::new(n, &pairs).reachable(target) {
        reaching[i] = true;
    }
    let callers = merged(n, calls().map(|(i, c, w)| (c, i, w)));
    let mut flow = vec![0.0; n];
    flow[target] = 1.0;
    FixedPoint::new(callers, &reaching)
        .map_err(endless)?
        .solve(&mut flow);
    check_finite("calls", &flow, n)?;
    Ok((flow, reaching))
}

/// Adjacency lists of edges `(at, other, weight)`, ascending; weights of repeated edges add up, those of 0 are left out.
fn merged(n: usize, edges: impl Iterator<Item = (usize, usize, f64)>) -> Vec<Vec<(usize, f64)>> {
    let mut lists: Vec<Vec<(usize, f64)>> = vec![Vec::new(); n];
    for (at, other, weight) in edges.filter(|e| e.2 > 0.0) {
        lists[at].push((other, weight));
    }
    for list in &mut lists {
        // Stable, so that repeated weights are added in their order.
        list.sort_by_key(|&(other, _)| other);
        list.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            kept.1 += if same { next.1 } else { 0.0 };
            same
        });
    }
    lists
}

/// `values` with 0 in place of those of components that do not report.
fn known(values: &[f64], dose: &[f64]) -> Vec<f64> {
    let pairs = values.iter().zip(dose);
    pairs
        .map(|(&v, d)| if d.is_nan() { 0.0 } else { v })
        .collect()
}

fn endless(i: usize) -> Error {
    Error::evidence(
        "calls",
        format!("excess that goes round the cycle through component {i} never leaves it"),
    )
}

fn shares(values: &[f64], limits: &[f64]) -> Vec<f64> {
    let pairs = values.iter().zip(limits);
    let kept: Vec<f64> = pairs
        .map(|(&v, limit)| if v > 0.0 && v >= *limit { v } else { 0.0 })
        .collect();
    let total: f64 = kept.iter().sum();
    let scale = if total > 0.0 { 1.0 / total } else { 0.0 };
    kept.iter().map(|v| v * scale).collect()
}

impl Game for ExcessFlowGame {
    type Walk<'a> = ExcessFlowWalk<'a>;

    fn n_players(&self) -> usize {
        self.values.len()
    }

    fn walk(&self) -> ExcessFlowWalk<'_> {
        ExcessFlowWalk {
            values: &self.values,
            sum: 0.0,
        }
    }

    fn active_players(&self) -> Vec<u32> {
        (0..self.values.len() as u32)
            .filter(|&i| self.values[i as usize] != 0.0)
            .collect()
    }

    fn closed_form(&self) -> Option<Vec<f64>> {
        Some(self.values.clone())
    }

    fn closed_form_interactions(&self) -> Option<Vec<f64>> {
        Some(vec![0.0; self.values.len().pow(2)])
    }
}

/// The growing coalition of an [`ExcessFlowGame`].
#[derive(Debug, Clone)]
pub struct ExcessFlowWalk<'a> {
    values: &'a [f64],
    sum: f64,
}

impl Walk for ExcessFlowWalk<'_> {
    fn start(&mut self) -> f64 {
        self.sum = 0.0;
        0.0
    }

    fn add(&mut self, player: usize) -> f64 {
        self.sum += self.values[player];
        self.sum
    }
}
