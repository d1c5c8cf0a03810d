//! Density ratios of every (component, family) cell, forwards and backwards.
//!
//! One cell is one factor: with several series the *mean* of their ratios ("one of them responds, unknown
//! which"), and the mean of their log quiet densities (eq. 5).
//!
//! A series has one contrast per footprint, and they overlap. Its quiet density enters once, as the mean of
//! its logarithm over the footprints, `Q(theta)`. The quiet density against which an effect in footprint s is
//! held is then `q*_s exp(Q(theta) - Q*)`, where `*` marks the reference theta: footprints are told apart by
//! the reference law only, so that no theta can gain by making the quiet law bad and then choosing the
//! footprint in which that hurts least. With one footprint it is the quiet density itself (eq. 3).

use super::density::{effect, quiet};
use super::range::LogMean;
use crate::evidence::FamilyEvidence;
use crate::params::Natural;

/// What a cell holds.
#[derive(Debug, Clone)]
enum Cell {
    Missing,
    /// Rows `start..end` of `Cells::z`.
    Series(usize, usize),
    /// Index of the row in the count tables.
    Count(usize),
}

/// The theta by whose quiet law footprints are told apart: unit noise scale, a tail as at the prior's centre.
const REFERENCE_TAIL: f64 = 0.02;

/// The prepared cells of one family.
#[derive(Debug, Clone)]
pub(crate) struct Cells {
    s: usize,
    kinds: Vec<Cell>,
    z: Vec<f64>,
    /// Reference quiet density of each series over its geometric mean, laid out as `z`.
    reference: Vec<f64>,
    /// Count probabilities over `exp(shift)`: quiet, wide, affected; missing entries hold 1.
    quiet: Vec<f64>,
    wide: Vec<f64>,
    affected: Vec<f64>,
    /// Reference quiet probability of each count over its geometric mean, laid out as `quiet`.
    count_reference: Vec<f64>,
    /// Whether a footprint of a count row is observed.
    counted: Vec<bool>,
    /// Sum over count cells of the mean log shift.
    mean_shift: f64,
    /// d(log dose)/d(data) where the cell carries a dose, else NaN: the jacobian, or `exp(-shift)` for counts.
    jacobian: Vec<f64>,
}

/// Ratios of one family at one theta, `[component * s + footprint]`.
#[derive(Debug, Default)]
pub(crate) struct Ratios {
    /// Affected over quiet.
    pub affected: Vec<f64>,
    /// Root over quiet.
    pub root: Vec<f64>,
    /// Quiet density of single-series and count cells (else 1); as an adjoint, that of its logarithm.
    pub quiet: Vec<f64>,
    /// Dose jacobian over quiet density (NaN where there is no dose); not an adjoint.
    pub jacobian: Vec<f64>,
}

impl Ratios {
    pub fn reset(&mut self, len: usize, value: f64) {
        for v in [&mut self.affected, &mut self.root, &mut self.quiet] {
            v.clear();
            v.resize(len, value);
        }
    }
}

impl Cells {
    pub fn new(evidence: &FamilyEvidence, n: usize, s: usize) -> Self {
        let mut out = Self {
            s,
            kinds: Vec::with_capacity(n),
            z: Vec::new(),
            reference: Vec::new(),
            quiet: Vec::new(),
            wide: Vec::new(),
            affected: Vec::new(),
            count_reference: Vec::new(),
            counted: Vec::new(),
            mean_shift: 0.0,
            jacobian: evidence.dose_jacobian.clone(),
        };
        for i in 0..n {
            let rows: Vec<usize> = (0..evidence.series_component.len())
                .filter(|&r| evidence.series_component[r] == i)
                .collect();
            let start = out.z.len() / s;
            for r in &rows {
                let z = &evidence.z[r * s..(r + 1) * s];
                out.z.extend_from_slice(z);
                let law: Vec<f64> = z
                    .iter()
                    .map(|&z| quiet(z, 1.0, REFERENCE_TAIL).value)
                    .collect();
                out.reference.extend(over_geometric_mean(&law));
            }
            let is_count = (i * s..(i + 1) * s).any(|at| !evidence.log_quiet[at].is_nan());
            let cell = if is_count {
                out.push_count(evidence, i)
            } else if rows.is_empty() {
                Cell::Missing
            } else {
                Cell::Series(start, start + rows.len())
            };
            out.kinds.push(cell);
        }
        out
    }

    fn push_count(&mut self, e: &FamilyEvidence, i: usize) -> Cell {
        let row = self.quiet.len() / self.s;
        let cells = i * self.s..(i + 1) * self.s;
        let observed = |at: &usize| !e.log_quiet[*at].is_nan();
        let n = cells.clone().filter(observed).count() as f64;
        for at in cells {
            self.counted.push(observed(&at));
            if !observed(&at) {
                for v in [&mut self.quiet, &mut self.wide, &mut self.affected] {
                    v.push(1.0);
                }
                continue;
            }
            let logs = [e.log_quiet[at], e.log_wide[at], e.log_affected[at]];
            let shift = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            // The floor keeps ratios finite where one law all but excludes the count.
            let scaled = logs.map(|l| (l - shift).max(-600.0).exp());
            self.quiet.push(scaled[0]);
            self.wide.push(scaled[1]);
            self.affected.push(scaled[2]);
            self.mean_shift += shift / n;
            self.jacobian[at] = (-shift).exp();
        }
        // The shifts cancel: ratios of one footprint are over the same one.
        let at = row * self.s..(row + 1) * self.s;
        let laws: Vec<f64> = at.map(|r| self.count_law(r, REFERENCE_TAIL).0).collect();
        self.count_reference.extend(over_geometric_mean(&laws));
        Cell::Count(row)
    }

    /// Quiet probability of a count (over its shift) and its derivative in the tail weight; NaN where unobserved.
    fn count_law(&self, r: usize, tail: f64) -> (f64, f64) {
        if !self.counted[r] {
            return (f64::NAN, 0.0);
        }
        let (q, w) = (self.quiet[r], self.wide[r]);
        ((1.0 - tail) * q + tail * w, w - q)
    }

    /// Whether a component reports this family in any footprint.
    pub fn reports(&self, component: usize) -> bool {
        !matches!(self.kinds[component], Cell::Missing)
    }

    /// Fill `out`; return the composite log quiet density of the family.
    pub fn forward(&self, theta: &Natural, f: usize, out: &mut Ratios) -> f64 {
        let s = self.s;
        out.reset(self.kinds.len() * s, 1.0);
        let mut log_quiet = self.mean_shift;
        for (i, cell) in self.kinds.iter().enumerate() {
            let at = i * s;
            match *cell {
                Cell::Missing => {}
                Cell::Count(row) => {
                    let mean = self.count_log_mean(row, theta.tail_weight[f]);
                    let level = mean.exp();
                    log_quiet += mean;
                    for k in (0..s).filter(|k| self.counted[row * s + k]) {
                        let q = self.count_reference[row * s + k] * level;
                        let ratio = self.affected[row * s + k] / q;
                        out.quiet[at + k] = q;
                        out.affected[at + k] = ratio;
                        out.root[at + k] = ratio;
                    }
                }
                Cell::Series(start, end) => {
                    out.affected[at..at + s].fill(0.0);
                    out.root[at..at + s].fill(0.0);
                    let share = 1.0 / (end - start) as f64;
                    for row in start..end {
                        let mean = self.series_log_mean(row, theta, f);
                        log_quiet += share * mean;
                        self.add_series(row, at, share, mean.exp(), theta, f, out);
                    }
                }
            }
        }
        out.jacobian.clear();
        let pairs = self.jacobian.iter().zip(&out.quiet);
        out.jacobian.extend(pairs.map(|(j, q)| j / q));
        log_quiet
    }

    /// Mean over observed footprints of the log quiet density of a series.
    fn series_log_mean(&self, row: usize, theta: &Natural, f: usize) -> f64 {
        let mut mean = LogMean::default();
        for &z in &self.z[row * self.s..(row + 1) * self.s] {
            if !z.is_nan() {
                mean.push(quiet(z, theta.noise_scale[f], theta.tail_weight[f]).value);
            }
        }
        mean.value()
    }

    fn count_log_mean(&self, row: usize, tail: f64) -> f64 {
        let mut mean = LogMean::default();
        for r in row * self.s..(row + 1) * self.s {
            if self.counted[r] {
                mean.push(self.count_law(r, tail).0);
            }
        }
        mean.value()
    }

    /// Add one series' ratios, `level` being the geometric mean of its quiet density.
    #[allow(clippy::too_many_arguments)] // One call site, split out for length.
    fn add_series(
        &self,
        row: usize,
        at: usize,
        share: f64,
        level: f64,
        theta: &Natural,
        f: usize,
        out: &mut Ratios,
    ) {
        for k in 0..self.s {
            let z = self.z[row * self.s + k];
            if z.is_nan() {
                out.affected[at + k] += share;
                out.root[at + k] += share;
                continue;
            }
            let q = self.reference[row * self.s + k] * level;
            out.quiet[at + k] = q;
            out.affected[at + k] += share * effect(z, theta.effect_size[f]).0 / q;
            out.root[at + k] += share * effect(z, theta.root_effect_size[f]).0 / q;
        }
    }

    /// Turn the adjoints of the ratios into the gradient of theta, the composite quiet density included.
    pub fn backward(
        &self,
        theta: &Natural,
        f: usize,
        ratios: &Ratios,
        adjoint: &Ratios,
        gradient: &mut Natural,
    ) {
        for (i, cell) in self.kinds.iter().enumerate() {
            match *cell {
                Cell::Missing => {}
                Cell::Count(row) => {
                    self.count_backward(row, i * self.s, theta, f, ratios, adjoint, gradient);
                }
                Cell::Series(start, end) => {
                    let share = 1.0 / (end - start) as f64;
                    for row in start..end {
                        self.series_backward(row, i * self.s, share, theta, f, adjoint, gradient);
                    }
                }
            }
        }
    }

    #[allow(clippy::too_many_arguments)] // One call site, split out for length.
    fn count_backward(
        &self,
        row: usize,
        at: usize,
        theta: &Natural,
        f: usize,
        ratios: &Ratios,
        adjoint: &Ratios,
        gradient: &mut Natural,
    ) {
        let s = self.s;
        // d(everything)/d(mean log quiet law): the composite itself, and every density held against it.
        let mut d_level = 1.0;
        let (mut d_mean, mut n) = (0.0, 0.0);
        for k in (0..s).filter(|k| self.counted[row * s + k]) {
            let (law, d_tail) = self.count_law(row * s + k, theta.tail_weight[f]);
            d_mean += d_tail / law;
            n += 1.0;
            let c = at + k;
            d_level +=
                adjoint.quiet[c] - (adjoint.affected[c] + adjoint.root[c]) * ratios.affected[c];
        }
        if n > 0.0 {
            gradient.tail_weight[f] += d_level * d_mean / n;
        }
    }

    #[allow(clippy::too_many_arguments)] // One call site, split out for length.
    fn series_backward(
        &self,
        row: usize,
        at: usize,
        share: f64,
        theta: &Natural,
        f: usize,
        adjoint: &Ratios,
        gradient: &mut Natural,
    ) {
        let (scale, tail) = (theta.noise_scale[f], theta.tail_weight[f]);
        let level = self.series_log_mean(row, theta, f).exp();
        let mut d_level = share;
        let (mut d_scale, mut d_tail, mut n) = (0.0, 0.0, 0.0);
        for k in 0..self.s {
            let z = self.z[row * self.s + k];
            if z.is_nan() {
                continue;
            }
            let law = quiet(z, scale, tail);
            d_scale += law.d_scale / law.value;
            d_tail += law.d_tail / law.value;
            n += 1.0;
            let q = self.reference[row * self.s + k] * level;
            let (a, d_a) = effect(z, theta.effect_size[f]);
            let (r, d_r) = effect(z, theta.root_effect_size[f]);
            let (g_a, g_r) = (
                share * adjoint.affected[at + k] / q,
                share * adjoint.root[at + k] / q,
            );
            d_level += adjoint.quiet[at + k] - g_a * a - g_r * r;
            gradient.effect_size[f] += g_a * d_a;
            gradient.root_effect_size[f] += g_r * d_r;
        }
        if n > 0.0 {
            gradient.noise_scale[f] += d_level * d_scale / n;
            gradient.tail_weight[f] += d_level * d_tail / n;
        }
    }
}

/// Densities over their geometric mean; NaN where missing.
fn over_geometric_mean(density: &[f64]) -> Vec<f64> {
    let mut mean = LogMean::default();
    for &q in density.iter().filter(|q| !q.is_nan()) {
        mean.push(q);
    }
    let level = mean.value().exp();
    density.iter().map(|q| q / level).collect()
}
