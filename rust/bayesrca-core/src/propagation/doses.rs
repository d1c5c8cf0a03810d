//! Weights of the components a set of roots can reach, from their doses given the roots' (eq. 7).

use super::cells::Ratios;
use super::density::{
    partial_dose, partial_dose_interval, t4, t4_interval, t4_interval_value, t4_value,
};
use super::plan::Plan;
use super::range::log_sum_exp;
use crate::evidence::FamilyEvidence;
use crate::graph::Graph;
use crate::params::Natural;

/// The doses of one family, `[component * s + footprint]`; NaN where there is none.
#[derive(Debug, Clone)]
pub(crate) struct DoseTable {
    pub s: usize,
    pub log: Vec<f64>,
    noise: Vec<f64>,
    /// Edges of an observed count, or the dose at z = 2 of a continuous cell.
    pub low: Vec<f64>,
    high: Vec<f64>,
    counted: Vec<bool>,
}

/// A dose, or the sum of several, on the log scale, with its squared noise on the dose's own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arriving {
    pub log: f64,
    noise_sq: f64,
}

impl DoseTable {
    pub fn new(e: &FamilyEvidence, s: usize) -> Self {
        Self {
            s,
            log: e.dose.clone(),
            noise: e.dose_noise.clone(),
            low: e.dose_low.clone(),
            high: e.dose_high.clone(),
            counted: e.log_quiet.iter().map(|q| !q.is_nan()).collect(),
        }
    }

    /// The sum of the roots' doses in one footprint; None where one is missing.
    pub fn sum(&self, roots: &[usize], footprint: usize) -> Option<Arriving> {
        let cells = roots.iter().map(|r| r * self.s + footprint);
        let logs: Vec<f64> = cells.clone().map(|at| self.log[at]).collect();
        if logs.is_empty() || logs.iter().any(|y| y.is_nan()) {
            return None;
        }
        Some(Arriving {
            log: log_sum_exp(&logs),
            noise_sq: cells.map(|at| self.noise[at].powi(2)).sum(),
        })
    }

    /// Squared noise of a cell's and the arriving dose, relative to the size the latter predicts.
    pub fn noise_sq(&self, at: usize, from: Arriving) -> f64 {
        let noise = (self.noise[at].powi(2) + from.noise_sq) / (2.0 * from.log).exp();
        noise.min(1e12)
    }
}

/// Whose doses add up at a component that several roots reach: not that of a root whose own dose arrives with that of
/// another one on the way.
struct Arrivals<'a> {
    roots: &'a [usize],
    reach: Vec<Vec<usize>>,
}

impl<'a> Arrivals<'a> {
    fn new(graph: &Graph, roots: &'a [usize]) -> Self {
        Self {
            roots,
            reach: roots.iter().map(|&r| graph.reachable(r)).collect(),
        }
    }

    fn reaches(&self, r: usize, i: usize) -> bool {
        self.reach[r].binary_search(&i).is_ok()
    }

    /// The roots whose doses are compared with that of component `i`.
    fn at(&self, i: usize) -> Vec<usize> {
        let on_the_way = |r: usize, other: usize| {
            self.reaches(r, self.roots[other])
                && self.reaches(other, i)
                && !self.reaches(other, self.roots[r])
        };
        (0..self.roots.len())
            .filter(|&r| self.reaches(r, i))
            .filter(|&r| !(0..self.roots.len()).any(|other| on_the_way(r, other)))
            .map(|r| self.roots[r])
            .collect()
    }
}

/// Dose constants of one plan's components, `[node * s + footprint]`; `ratio` is NaN where there is no pair.
#[derive(Debug, Clone)]
pub(crate) struct PairDoses {
    /// Log ratio of the component's dose to the roots' (continuous cells).
    ratio: Vec<f64>,
    /// Log ratios of the edges of the observed count (count cells; else empty interval marked by NaN).
    low: Vec<f64>,
    high: Vec<f64>,
    /// Squared noise of the log ratio.
    noise_sq: Vec<f64>,
    /// Density (or probability) of a partial dose.
    partial: Vec<f64>,
    /// Per node: whether it is the target.
    is_target: Vec<bool>,
    shape: Vec<Shape>,
}

/// What the footprints of one node have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// No dose at either end in any footprint.
    Unpaired,
    /// Continuous doses at both ends in every footprint.
    Continuous,
    /// Anything else: decided footprint by footprint.
    Mixed,
}

/// Adjoints that `PairDoses::backward` adds to.
pub(crate) struct PairAdjoint<'a> {
    pub ratios: &'a mut Ratios,
    pub gradient: &'a mut Natural,
}

impl PairDoses {
    pub fn new(table: &DoseTable, graph: &Graph, plan: &Plan, target: Option<usize>) -> Self {
        let s = table.s;
        let len = plan.nodes.len() * s;
        let nan = vec![f64::NAN; len];
        let mut out = Self {
            ratio: nan.clone(),
            low: nan.clone(),
            high: nan.clone(),
            noise_sq: nan,
            partial: vec![0.0; len],
            is_target: plan.nodes.iter().map(|&i| target == Some(i)).collect(),
            shape: Vec::with_capacity(plan.nodes.len()),
        };
        let arrivals = Arrivals::new(graph, &plan.roots);
        for (p, &i) in plan.nodes.iter().enumerate() {
            let roots = arrivals.at(i);
            for k in 0..s {
                if let Some(from) = table.sum(&roots, k) {
                    out.fill(table, p * s + k, i * s + k, from);
                }
            }
            let row = p * s..(p + 1) * s;
            let (ratio, high) = (&out.ratio[row.clone()], &out.high[row]);
            out.shape.push(if ratio.iter().all(|r| r.is_nan()) {
                Shape::Unpaired
            } else if ratio.iter().all(|r| !r.is_nan()) && high.iter().all(|h| h.is_nan()) {
                Shape::Continuous
            } else {
                Shape::Mixed
            });
        }
        out
    }

    fn fill(&mut self, table: &DoseTable, at: usize, node: usize, from: Arriving) {
        let dose = table.log[node];
        if dose.is_nan() {
            return;
        }
        let noise_sq = table.noise_sq(node, from);
        self.noise_sq[at] = noise_sq;
        self.ratio[at] = dose - from.log;
        if table.counted[node] {
            self.low[at] = table.low[node] - from.log;
            self.high[at] = table.high[node] - from.log;
            self.partial[at] = partial_dose_interval(self.low[at], self.high[at], noise_sq);
        } else {
            self.partial[at] = partial_dose(dose - from.log, noise_sq);
        }
    }

    /// Density of a full dose and its derivative in the squared spread.
    fn full(&self, at: usize, spread: f64) -> (f64, f64) {
        let v = spread * spread + self.noise_sq[at];
        if self.high[at].is_nan() {
            t4(self.ratio[at], v)
        } else {
            t4_interval(self.low[at], self.high[at], v)
        }
    }

    fn full_share(&self, node: usize, theta: &Natural) -> f64 {
        if self.is_target[node] {
            theta.full_dose_target
        } else {
            theta.full_dose_path
        }
    }

    /// Fill `out[footprint]` with one node's affected-over-quiet ratio given the roots' doses.
    ///
    /// `affected` is its generic ratio and `jacobian` its dose jacobian over its quiet density, by footprint.
    pub fn forward(
        &self,
        node: usize,
        theta: &Natural,
        f: usize,
        affected: &[f64],
        jacobian: &[f64],
        out: &mut [f64],
    ) {
        let s = out.len();
        let (share, unrelated) = (self.full_share(node, theta), theta.unrelated_dose);
        let (full_weight, part_weight) =
            ((1.0 - unrelated) * share, (1.0 - unrelated) * (1.0 - share));
        let spread_sq = theta.dose_spread[f] * theta.dose_spread[f];
        let row = node * s..(node + 1) * s;
        let (ratio, noise, partial) = (
            &self.ratio[row.clone()],
            &self.noise_sq[row.clone()],
            &self.partial[row.clone()],
        );
        match self.shape[node] {
            Shape::Unpaired => out.copy_from_slice(affected),
            Shape::Continuous => {
                for k in 0..s {
                    let full = t4_value(ratio[k], spread_sq + noise[k]);
                    let related = full_weight * full + part_weight * partial[k];
                    out[k] = related * jacobian[k] + unrelated * affected[k];
                }
            }
            Shape::Mixed => {
                for k in 0..s {
                    let at = row.start + k;
                    if ratio[k].is_nan() {
                        out[k] = affected[k];
                        continue;
                    }
                    let v = spread_sq + noise[k];
                    let full = if self.high[at].is_nan() {
                        t4_value(ratio[k], v)
                    } else {
                        t4_interval_value(self.low[at], self.high[at], v)
                    };
                    let related = full_weight * full + part_weight * partial[k];
                    out[k] = related * jacobian[k] + unrelated * affected[k];
                }
            }
        }
    }

    /// Add the adjoints behind `g`, the adjoint of one node's ratio in one footprint.
    ///
    /// `(node, at, cell)`: position in the plan, index into these arrays, index into the cells'.
    pub fn backward(
        &self,
        (node, at, cell): (usize, usize, usize),
        theta: &Natural,
        f: usize,
        r: &Ratios,
        g: f64,
        into: &mut PairAdjoint<'_>,
    ) {
        if self.ratio[at].is_nan() {
            into.ratios.affected[cell] += g;
            return;
        }
        let (share, unrelated, spread) = (
            self.full_share(node, theta),
            theta.unrelated_dose,
            theta.dose_spread[f],
        );
        let (full, d_full) = self.full(at, spread);
        let related = share * full + (1.0 - share) * self.partial[at];
        let j = r.jacobian[cell];
        into.ratios.affected[cell] += g * unrelated;
        into.ratios.quiet[cell] -= g * (1.0 - unrelated) * related * j / r.quiet[cell];
        into.gradient.unrelated_dose += g * (r.affected[cell] - related * j);
        let scaled = g * (1.0 - unrelated) * j;
        into.gradient.dose_spread[f] += scaled * share * d_full * 2.0 * spread;
        let d_share = scaled * (full - self.partial[at]);
        if self.is_target[node] {
            into.gradient.full_dose_target += d_share;
        } else {
            into.gradient.full_dose_path += d_share;
        }
    }
}
