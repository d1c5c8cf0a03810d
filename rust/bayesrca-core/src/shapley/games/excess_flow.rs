//! Excess work along a call graph: whose own excess arrives at the target.

use super::dag::{Dag, check_finite, check_nodes};
use crate::error::{Error, Result};
use crate::game::{Game, Walk};
use crate::rng::{Purpose, Stream};

/// The physical linear structural model of excess work: a component's dose (its excess time per request) is its own
/// excess plus what its callees hand on, `dose_i = own_i + sum over callees c of w_ic dose_c`. The players are the own
/// excesses and `v(S)` is the part of the target's dose that those of S explain, so each player's Shapley value is its
/// own excess times its flow to the target along all paths, exactly, and the values sum to the target's dose.
#[derive(Debug, Clone)]
pub struct ExcessFlowGame {
    dag: Dag,
    flow: Vec<f64>,
    dose: Vec<f64>,
    dose_sd: Vec<f64>,
    min_signal: f64,
    values: Vec<f64>,
}

/// Shares of the target's excess with the error that the doses' noise puts on them.
#[derive(Debug, Clone, PartialEq)]
pub struct FlowShares {
    /// Positive parts of the Shapley values over their sum; all 0 when none is positive.
    pub shares: Vec<f64>,
    /// Standard deviation of each share over resampled doses.
    pub share_std_err: Vec<f64>,
    /// Standard deviation of each Shapley value over resampled doses.
    pub value_std_err: Vec<f64>,
}

/// Handed-on share of a callee's dose for each call edge `(caller, callee)`: the caller's part of the requests of all
/// the callee's callers, `min(1, requests_i / sum over callers k of c of requests_k)`; 1 where nobody has requests.
///
/// # Errors
/// `InvalidEvidence` for an unknown component or requests that are negative or not finite.
pub fn flow_weights(
    requests: &[f64],
    calls: &[(usize, usize)],
) -> Result<Vec<(usize, usize, f64)>> {
    let n = requests.len();
    check_finite("requests", requests, n)?;
    if let Some(i) = requests.iter().position(|r| *r < 0.0) {
        return Err(Error::evidence(
            "requests",
            format!("entry {i} is negative"),
        ));
    }
    let mut arriving = vec![0.0; n];
    for &(caller, callee) in calls {
        if caller >= n || callee >= n {
            return Err(Error::evidence(
                "calls",
                format!("({caller}, {callee}) is not among {n} components"),
            ));
        }
        arriving[callee] += requests[caller];
    }
    let weight = |caller: usize, callee: usize| {
        let all: f64 = arriving[callee];
        if all > 0.0 {
            (requests[caller] / all).min(1.0)
        } else {
            1.0
        }
    };
    Ok(calls.iter().map(|&(i, c)| (i, c, weight(i, c))).collect())
}

impl ExcessFlowGame {
    /// `calls` are `(caller, callee, weight)`; a dose below `min_signal` of its standard deviations counts as 0.
    ///
    /// # Errors
    /// `InvalidEvidence` for no components, calls in a cycle, a wrong shape, or negative or not finite weights,
    /// deviations or `min_signal`.
    pub fn new(
        calls: &[(usize, usize, f64)],
        target: usize,
        dose: &[f64],
        dose_sd: &[f64],
        min_signal: f64,
    ) -> Result<Self> {
        let n = dose.len();
        check_nodes(n, target)?;
        check_finite("dose", dose, n)?;
        check_finite("dose_sd", dose_sd, n)?;
        check_finite("min_signal", &[min_signal], 1)?;
        if min_signal < 0.0 || dose_sd.iter().any(|s| *s < 0.0) {
            return Err(Error::evidence(
                "dose_sd",
                "deviations and min_signal must not be negative",
            ));
        }
        if calls.iter().any(|c| c.2 < 0.0) {
            return Err(Error::evidence("calls", "weights must not be negative"));
        }
        // Excess travels from callee to caller.
        let edges: Vec<_> = calls.iter().map(|&(i, c, w)| (c, i, w)).collect();
        let dag = Dag::new(n, &edges, target)?;
        let mut game = Self {
            flow: dag.total_effects(),
            dag,
            dose: dose.to_vec(),
            dose_sd: dose_sd.to_vec(),
            min_signal,
            values: Vec::new(),
        };
        game.values = game.values_of(dose);
        check_finite("calls", &game.values, n)?;
        Ok(game)
    }

    fn values_of(&self, dose: &[f64]) -> Vec<f64> {
        let kept: Vec<f64> = dose
            .iter()
            .zip(&self.dose_sd)
            .map(|(&d, &sd)| if d < self.min_signal * sd { 0.0 } else { d })
            .collect();
        (0..self.dag.n)
            .map(|i| {
                let handed_on: f64 = self.dag.parents[i].iter().map(|&(c, w)| w * kept[c]).sum();
                self.flow[i] * (kept[i] - handed_on)
            })
            .collect()
    }

    /// Shares of the target's excess: positive parts of the Shapley values, normalised.
    #[must_use]
    pub fn compute_shares(&self) -> Vec<f64> {
        shares(&self.values)
    }

    /// The shares with the standard errors that independent normal noise on the doses puts on them, by a parametric
    /// bootstrap: the whole computation, the threshold included, is repeated on resampled doses.
    ///
    /// # Errors
    /// `InvalidEvidence` for fewer than 2 resamples.
    pub fn estimate_shares(&self, resamples: usize, seed: u64) -> Result<FlowShares> {
        if resamples < 2 {
            return Err(Error::evidence("resamples", "needs at least 2"));
        }
        let n = self.dag.n;
        let mut values = crate::shapley::interval::Moments::new(n);
        let mut normalised = values.clone();
        for unit in 0..resamples as u64 {
            let mut stream = Stream::new(seed, Purpose::Doses, unit);
            let drawn: Vec<f64> = (0..n)
                .map(|i| self.dose[i] + self.dose_sd[i] * stream.normal())
                .collect();
            let row = self.values_of(&drawn);
            normalised.push(&shares(&row));
            values.push(&row);
        }
        Ok(FlowShares {
            shares: self.compute_shares(),
            share_std_err: (0..n).map(|i| normalised.deviation(i)).collect(),
            value_std_err: (0..n).map(|i| values.deviation(i)).collect(),
        })
    }
}

fn shares(values: &[f64]) -> Vec<f64> {
    let total: f64 = values.iter().map(|v| v.max(0.0)).sum();
    let scale = if total > 0.0 { 1.0 / total } else { 0.0 };
    values.iter().map(|v| v.max(0.0) * scale).collect()
}

impl Game for ExcessFlowGame {
    type Walk<'a> = ExcessFlowWalk<'a>;

    fn n_players(&self) -> usize {
        self.dag.n
    }

    fn walk(&self) -> ExcessFlowWalk<'_> {
        ExcessFlowWalk {
            values: &self.values,
            sum: 0.0,
        }
    }

    fn active_players(&self) -> Vec<u32> {
        (0..self.dag.n as u32)
            .filter(|&i| self.values[i as usize] != 0.0)
            .collect()
    }

    fn closed_form(&self) -> Option<Vec<f64>> {
        Some(self.values.clone())
    }

    fn closed_form_interactions(&self) -> Option<Vec<f64>> {
        Some(vec![0.0; self.dag.n * self.dag.n])
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
