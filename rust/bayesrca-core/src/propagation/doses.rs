//! Weights of the components a root can reach, from their doses given the root's (eq. 7).

use super::cells::{Cells, Ratios};
use super::density::{partial_dose, partial_dose_interval, t4, t4_interval};
use super::plan::Plan;
use crate::evidence::FamilyEvidence;
use crate::params::Natural;

/// Dose constants of one root's components, `[node * s + footprint]`; `ratio` is NaN where there is no pair.
#[derive(Debug, Clone)]
pub(crate) struct PairDoses {
    /// Log ratio of the component's dose to the root's (continuous cells).
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
}

/// Adjoints that `PairDoses::backward` adds to.
pub(crate) struct PairAdjoint<'a> {
    pub ratios: &'a mut Ratios,
    pub gradient: &'a mut Natural,
}

impl PairDoses {
    pub fn new(
        e: &FamilyEvidence,
        plan: &Plan,
        root: usize,
        s: usize,
        target: Option<usize>,
    ) -> Self {
        let len = plan.nodes.len() * s;
        let nan = vec![f64::NAN; len];
        let mut out = Self {
            ratio: nan.clone(),
            low: nan.clone(),
            high: nan.clone(),
            noise_sq: nan,
            partial: vec![0.0; len],
            is_target: plan.nodes.iter().map(|&i| target == Some(i)).collect(),
        };
        for (p, &i) in plan.nodes.iter().enumerate() {
            for k in 0..s {
                out.fill(e, p * s + k, i * s + k, root * s + k);
            }
        }
        out
    }

    fn fill(&mut self, e: &FamilyEvidence, at: usize, node: usize, root: usize) {
        let (dose, root_dose) = (e.dose[node], e.dose[root]);
        if dose.is_nan() || root_dose.is_nan() {
            return;
        }
        // Noise of both doses, relative to the size the root's dose predicts.
        let noise =
            (e.dose_noise[node].powi(2) + e.dose_noise[root].powi(2)) / (2.0 * root_dose).exp();
        let noise_sq = noise.min(1e12);
        self.noise_sq[at] = noise_sq;
        self.ratio[at] = dose - root_dose;
        if e.log_quiet[node].is_nan() {
            self.partial[at] = partial_dose(dose - root_dose, noise_sq);
        } else {
            self.low[at] = e.dose_low[node] - root_dose;
            self.high[at] = e.dose_high[node] - root_dose;
            self.partial[at] = partial_dose_interval(self.low[at], self.high[at], noise_sq);
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

    /// Fill `out[node * s + footprint]` with the affected-over-quiet ratio given the root's dose.
    #[allow(clippy::too_many_arguments)] // One call site; the arrays are the whole context.
    pub fn forward(
        &self,
        plan: &Plan,
        s: usize,
        theta: &Natural,
        f: usize,
        cells: &Cells,
        r: &Ratios,
        out: &mut Vec<f64>,
    ) {
        out.clear();
        let unrelated = theta.unrelated_dose;
        for (p, &i) in plan.nodes.iter().enumerate() {
            let share = self.full_share(p, theta);
            for k in 0..s {
                let (at, cell) = (p * s + k, i * s + k);
                if self.ratio[at].is_nan() {
                    out.push(r.affected[cell]);
                    continue;
                }
                let related = share * self.full(at, theta.dose_spread[f]).0
                    + (1.0 - share) * self.partial[at];
                let density = (1.0 - unrelated) * related * cells.jacobian[cell];
                out.push(density / r.quiet[cell] + unrelated * r.affected[cell]);
            }
        }
    }

    /// Add the adjoints behind `adjoint[node * s + footprint]` of the weights.
    #[allow(clippy::too_many_arguments)] // One call site; the arrays are the whole context.
    pub fn backward(
        &self,
        plan: &Plan,
        s: usize,
        theta: &Natural,
        f: usize,
        cells: &Cells,
        r: &Ratios,
        adjoint: &[f64],
        into: &mut PairAdjoint<'_>,
    ) {
        let unrelated = theta.unrelated_dose;
        for (p, &i) in plan.nodes.iter().enumerate() {
            let share = self.full_share(p, theta);
            for k in 0..s {
                let (at, cell) = (p * s + k, i * s + k);
                let g = adjoint[at];
                if self.ratio[at].is_nan() {
                    into.ratios.affected[cell] += g;
                    continue;
                }
                let spread = theta.dose_spread[f];
                let (full, d_full) = self.full(at, spread);
                let related = share * full + (1.0 - share) * self.partial[at];
                let j = cells.jacobian[cell] / r.quiet[cell];
                into.ratios.affected[cell] += g * unrelated;
                into.ratios.quiet[cell] -= g * (1.0 - unrelated) * related * j / r.quiet[cell];
                into.gradient.unrelated_dose += g * (r.affected[cell] - related * j);
                let scaled = g * (1.0 - unrelated) * j;
                into.gradient.dose_spread[f] += scaled * share * d_full * 2.0 * spread;
                let d_share = scaled * (full - self.partial[at]);
                if self.is_target[p] {
                    into.gradient.full_dose_target += d_share;
                } else {
                    into.gradient.full_dose_path += d_share;
                }
            }
        }
    }
}
