//! Weights of the components a set of roots can reach, from their doses given the roots' (eq. 7).

use fearless_simd::{Level, dispatch};

use super::cells::Ratios;
use super::density::{EDGE, partial_dose, partial_dose_interval, t4, t4_interval};
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

/// What the cells of one family contribute to a weight over its background, `[component * s + footprint]`.
#[derive(Debug, Default)]
pub(crate) struct CellFactors {
    /// One over the background factor `1 - a + a r`.
    pub inv: Vec<f64>,
    /// An affected component of unknown dose.
    pub generic: Vec<f64>,
    /// An unrelated dose, and the scale of a related one's density.
    pub unrelated: Vec<f64>,
    pub related: Vec<f64>,
}

/// Dose constants of one plan's components, `[node * s + footprint]`; `ratio` is NaN where there is no pair.
#[derive(Debug, Clone)]
pub(crate) struct PairDoses {
    s: usize,
    law: Law,
    /// Log ratio of the component's dose to the roots'.
    ratio: Vec<f64>,
    /// Log ratios of the edges of the observed count; NaN for continuous cells, empty where all are.
    low: Vec<f64>,
    high: Vec<f64>,
    /// Squared noise of the log ratio.
    noise_sq: Vec<f64>,
    /// Density (or probability) of a partial dose.
    partial: Vec<f64>,
    /// Position of the target among the nodes.
    target: Option<usize>,
}

/// What the pairs of one plan have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Law {
    /// There are none.
    Unpaired,
    /// All doses are of continuous cells, of counts.
    Continuous,
    Counts,
    /// Both occur.
    Mixed,
}

/// Adjoints that `PairDoses::backward` adds to; that of the quiet density is of its logarithm.
pub(crate) struct PairAdjoint<'a> {
    pub ratios: &'a mut Ratios,
    pub gradient: &'a mut Natural,
}

/// Adjoints of the weights of a plan's nodes in one footprint: of node p at `on[p * step]`.
pub(crate) struct DoseLanes<'a> {
    pub nodes: &'a [usize],
    pub footprint: usize,
    pub on: &'a [f64],
    pub step: usize,
}

impl DoseLanes<'_> {
    /// Node, cell and adjoint.
    fn iter(&self, s: usize) -> impl Iterator<Item = (usize, usize, f64)> {
        let adjoints = self.on.iter().step_by(self.step);
        let each = self.nodes.iter().zip(adjoints).enumerate();
        each.map(move |(p, (i, d))| (p, i * s + self.footprint, *d))
    }

    /// Add the adjoints where no dose is compared.
    pub fn generic_backward(&self, s: usize, cells: &CellFactors, into: &mut PairAdjoint<'_>) {
        for (_, cell, d) in self.iter(s) {
            into.ratios.affected[cell] += d * cells.inv[cell];
        }
    }
}

impl PairDoses {
    pub fn new(table: &DoseTable, graph: &Graph, plan: &Plan, target: Option<usize>) -> Self {
        let s = table.s;
        let len = plan.nodes.len() * s;
        let mut out = Self {
            s,
            law: Law::Unpaired,
            ratio: vec![f64::NAN; len],
            low: Vec::new(),
            high: Vec::new(),
            noise_sq: vec![f64::NAN; len],
            partial: vec![0.0; len],
            target: plan.nodes.iter().position(|&i| target == Some(i)),
        };
        let arrivals = Arrivals::new(graph, &plan.roots);
        for (p, &i) in plan.nodes.iter().enumerate() {
            let roots = arrivals.at(i);
            for k in 0..s {
                if let Some(from) = table.sum(&roots, k) {
                    out.fill(table, p * s + k, i * s + k, from);
                }
            }
        }
        if out.law == Law::Unpaired {
            for v in [&mut out.ratio, &mut out.noise_sq, &mut out.partial] {
                *v = Vec::new();
            }
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
        let law = if table.counted[node] {
            let (low, high) = (table.low[node] - from.log, table.high[node] - from.log);
            self.partial[at] = partial_dose_interval(low, high, noise_sq);
            for v in [&mut self.low, &mut self.high] {
                v.resize(self.ratio.len(), f64::NAN);
            }
            (self.low[at], self.high[at]) = (low.clamp(-EDGE, EDGE), high.clamp(-EDGE, EDGE));
            Law::Counts
        } else {
            self.partial[at] = partial_dose(dose - from.log, noise_sq);
            Law::Continuous
        };
        self.law = match self.law {
            Law::Unpaired => law,
            same if same == law => law,
            _ => Law::Mixed,
        };
    }

    fn full_share(&self, node: usize, theta: &Natural) -> f64 {
        if self.target == Some(node) {
            theta.full_dose_target
        } else {
            theta.full_dose_path
        }
    }

    /// Numbers that `forward` keeps for `backward`.
    pub fn kept(&self) -> usize {
        2 * self.ratio.len()
    }

    /// Append each node's weight over its background in each footprint, given the roots' doses, to `out`; `kept` takes
    /// the densities of full doses and their derivatives in the squared spread.
    #[allow(clippy::too_many_arguments)] // One call site, split out for length.
    pub fn forward(
        &self,
        nodes: &[usize],
        theta: &Natural,
        f: usize,
        cells: &CellFactors,
        kept: &mut [f64],
        out: &mut Vec<f64>,
        level: Level,
    ) {
        let s = self.s;
        let rows = nodes.iter().map(|i| i * s..(i + 1) * s);
        if self.law == Law::Unpaired {
            rows.for_each(|row| out.extend_from_slice(&cells.generic[row]));
            return;
        }
        let (full, slope) = kept.split_at_mut(self.ratio.len());
        self.fill_full(
            theta.dose_spread[f] * theta.dose_spread[f],
            full,
            slope,
            level,
        );
        if s == 1 {
            out.extend(nodes.iter().enumerate().map(|(p, &i)| {
                let share = self.full_share(p, theta);
                let dose = share * full[p] + (1.0 - share) * self.partial[p];
                if self.ratio[p].is_nan() {
                    cells.generic[i]
                } else {
                    cells.unrelated[i] + cells.related[i] * dose
                }
            }));
            return;
        }
        for (p, row) in rows.enumerate() {
            let share = self.full_share(p, theta);
            let here = p * s..(p + 1) * s;
            let (ratio, full, partial) = (
                &self.ratio[here.clone()],
                &full[here.clone()],
                &self.partial[here],
            );
            let (generic, unrelated, related) = (
                &cells.generic[row.clone()],
                &cells.unrelated[row.clone()],
                &cells.related[row],
            );
            out.extend((0..s).map(|k| {
                let dose = share * full[k] + (1.0 - share) * partial[k];
                let paired = unrelated[k] + related[k] * dose;
                if ratio[k].is_nan() {
                    generic[k]
                } else {
                    paired
                }
            }));
        }
    }

    fn fill_full(&self, spread_sq: f64, full: &mut [f64], slope: &mut [f64], level: Level) {
        let out = full.iter_mut().zip(slope);
        let (ratio, noise) = (self.ratio.iter(), self.noise_sq.iter());
        let edges = self.low.iter().zip(&self.high);
        dispatch!(level, _ => match self.law {
            Law::Unpaired => {}
            Law::Continuous => {
                for ((full, slope), (ratio, noise)) in out.zip(ratio.zip(noise)) {
                    (*full, *slope) = t4(*ratio, spread_sq + noise);
                }
            }
            Law::Counts => {
                for ((full, slope), ((low, high), noise)) in out.zip(edges.zip(noise)) {
                    (*full, *slope) = t4_interval(*low, *high, spread_sq + noise);
                }
            }
            Law::Mixed => {
                let pairs = ratio.zip(edges).zip(noise);
                for ((full, slope), ((ratio, (low, high)), noise)) in out.zip(pairs) {
                    (*full, *slope) = if high.is_nan() {
                        t4(*ratio, spread_sq + noise)
                    } else {
                        t4_interval(*low, *high, spread_sq + noise)
                    };
                }
            }
        });
    }

    /// Add the adjoints behind those of the weights in one footprint; `kept` is what `forward` left.
    #[allow(clippy::too_many_arguments)] // The mirror of `forward`.
    pub fn backward(
        &self,
        lanes: &DoseLanes<'_>,
        theta: &Natural,
        f: usize,
        r: &Ratios,
        cells: &CellFactors,
        kept: &[f64],
        into: &mut PairAdjoint<'_>,
    ) {
        if self.law == Law::Unpaired {
            lanes.generic_backward(self.s, cells, into);
            return;
        }
        let (unrelated, spread) = (theta.unrelated_dose, theta.dose_spread[f]);
        let (mut d_unrelated, mut d_spread_sq, mut d_path) = (0.0, 0.0, 0.0);
        for (p, cell, d) in lanes.iter(self.s) {
            let (at, g) = (p * self.s + lanes.footprint, d * cells.inv[cell]);
            if self.ratio[at].is_nan() {
                into.ratios.affected[cell] += g;
                continue;
            }
            let share = self.full_share(p, theta);
            let (full, d_full) = (kept[at], kept[self.ratio.len() + at]);
            let scaled = g * r.jacobian[cell];
            let related = scaled * (share * full + (1.0 - share) * self.partial[at]);
            into.ratios.affected[cell] += g * unrelated;
            into.ratios.quiet[cell] -= (1.0 - unrelated) * related;
            d_unrelated += g * r.affected[cell] - related;
            d_spread_sq += scaled * share * d_full;
            let d_share = scaled * (full - self.partial[at]);
            if self.target == Some(p) {
                into.gradient.full_dose_target += (1.0 - unrelated) * d_share;
            } else {
                d_path += d_share;
            }
        }
        into.gradient.unrelated_dose += d_unrelated;
        into.gradient.dose_spread[f] += (1.0 - unrelated) * d_spread_sq * 2.0 * spread;
        into.gradient.full_dose_path += (1.0 - unrelated) * d_path;
    }
}
