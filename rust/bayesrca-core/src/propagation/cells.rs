//! Density ratios of every (component, family) cell, forwards and backwards.
//!
//! One cell is one factor: with several series the *mean* of their ratios ("one of them responds, unknown
//! which"), and the mean of their log quiet densities (eq. 5).

use super::density::{effect, quiet};
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

/// The prepared cells of one family.
#[derive(Debug, Clone)]
pub(crate) struct Cells {
    s: usize,
    kinds: Vec<Cell>,
    z: Vec<f64>,
    /// Count probabilities over `exp(shift)`: quiet, wide, affected; missing entries hold 1.
    quiet: Vec<f64>,
    wide: Vec<f64>,
    affected: Vec<f64>,
    /// Mean over footprints of the log shifts, all count cells together.
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
    /// Quiet density of single-series and count cells (else 1).
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
            quiet: Vec::new(),
            wide: Vec::new(),
            affected: Vec::new(),
            mean_shift: 0.0,
            jacobian: evidence.dose_jacobian.clone(),
        };
        for i in 0..n {
            let rows: Vec<usize> = (0..evidence.series_component.len())
                .filter(|&r| evidence.series_component[r] == i)
                .collect();
            let start = out.z.len() / s;
            for r in &rows {
                out.z.extend_from_slice(&evidence.z[r * s..(r + 1) * s]);
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
        for at in i * self.s..(i + 1) * self.s {
            let logs = [e.log_quiet[at], e.log_wide[at], e.log_affected[at]];
            if logs[0].is_nan() {
                for v in [&mut self.quiet, &mut self.wide, &mut self.affected] {
                    v.push(1.0);
                }
                continue;
            }
            let shift = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            // The floor keeps ratios finite where one law all but excludes the count.
            let scaled = logs.map(|l| (l - shift).max(-600.0).exp());
            self.quiet.push(scaled[0]);
            self.wide.push(scaled[1]);
            self.affected.push(scaled[2]);
            self.mean_shift += shift / self.s as f64;
            self.jacobian[at] = (-shift).exp();
        }
        Cell::Count(row)
    }

    /// Fill `out`; return the composite log quiet density of the family.
    pub fn forward(&self, theta: &Natural, f: usize, out: &mut Ratios) -> f64 {
        let s = self.s;
        out.reset(self.kinds.len() * s, 1.0);
        let (scale, tail) = (theta.noise_scale[f], theta.tail_weight[f]);
        let mut log_quiet = LogMean::default();
        for (i, cell) in self.kinds.iter().enumerate() {
            let at = i * s;
            match *cell {
                Cell::Missing => {}
                Cell::Count(row) => {
                    for k in 0..s {
                        let r = row * s + k;
                        let q = (1.0 - tail) * self.quiet[r] + tail * self.wide[r];
                        out.quiet[at + k] = q;
                        out.affected[at + k] = self.affected[r] / q;
                        out.root[at + k] = self.affected[r] / q;
                        log_quiet.push(q, s as f64);
                    }
                }
                Cell::Series(start, end) => {
                    let m = (end - start) as f64;
                    for k in 0..s {
                        let (mut sum_a, mut sum_r) = (0.0, 0.0);
                        for row in start..end {
                            let z = self.z[row * s + k];
                            if z.is_nan() {
                                sum_a += 1.0;
                                sum_r += 1.0;
                                continue;
                            }
                            let q = quiet(z, scale, tail).value;
                            sum_a += effect(z, theta.effect_size[f]).0 / q;
                            sum_r += effect(z, theta.root_effect_size[f]).0 / q;
                            out.quiet[at + k] = q;
                            log_quiet.push(q, m * s as f64);
                        }
                        out.affected[at + k] = sum_a / m;
                        out.root[at + k] = sum_r / m;
                    }
                }
            }
        }
        out.jacobian.clear();
        let pairs = self.jacobian.iter().zip(&out.quiet);
        out.jacobian.extend(pairs.map(|(j, q)| j / q));
        log_quiet.total() + self.mean_shift
    }

    /// Turn the adjoints of the ratios into the gradient of theta, the composite quiet density included.
    pub fn backward(&self, theta: &Natural, f: usize, adjoint: &Ratios, gradient: &mut Natural) {
        let s = self.s;
        let (scale, tail) = (theta.noise_scale[f], theta.tail_weight[f]);
        for (i, cell) in self.kinds.iter().enumerate() {
            let at = i * s;
            match *cell {
                Cell::Missing => {}
                Cell::Count(row) => {
                    for k in 0..s {
                        let r = row * s + k;
                        let q = (1.0 - tail) * self.quiet[r] + tail * self.wide[r];
                        let ratio = self.affected[r] / q;
                        let d_q = adjoint.quiet[at + k]
                            - (adjoint.affected[at + k] + adjoint.root[at + k]) * ratio / q
                            + 1.0 / (q * s as f64);
                        gradient.tail_weight[f] += d_q * (self.wide[r] - self.quiet[r]);
                    }
                }
                Cell::Series(start, end) => {
                    let m = (end - start) as f64;
                    for row in start..end {
                        for k in 0..s {
                            let z = self.z[row * s + k];
                            if z.is_nan() {
                                continue;
                            }
                            let q = quiet(z, scale, tail);
                            let (a, d_a) = effect(z, theta.effect_size[f]);
                            let (r, d_r) = effect(z, theta.root_effect_size[f]);
                            let (g_a, g_r) =
                                (adjoint.affected[at + k] / m, adjoint.root[at + k] / m);
                            let d_q = adjoint.quiet[at + k]
                                - (g_a * a + g_r * r) / (q.value * q.value)
                                + 1.0 / (q.value * m * s as f64);
                            gradient.noise_scale[f] += d_q * q.d_scale;
                            gradient.tail_weight[f] += d_q * q.d_tail;
                            gradient.effect_size[f] += g_a * d_a / q.value;
                            gradient.root_effect_size[f] += g_r * d_r / q.value;
                        }
                    }
                }
            }
        }
    }
}

/// Sum of `ln(q) / share` over many q, with one logarithm per run of equal shares.
#[derive(Debug, Default)]
struct LogMean {
    product: f64,
    share: f64,
    total: f64,
}

impl LogMean {
    fn push(&mut self, q: f64, share: f64) {
        let fits = share.to_bits() == self.share.to_bits()
            && self.product > 1e-200
            && self.product < 1e200;
        if !fits {
            self.flush();
            self.share = share;
            self.product = 1.0;
        }
        self.product *= q;
    }

    fn flush(&mut self) {
        if self.share > 0.0 {
            self.total += self.product.ln() / self.share;
        }
        self.share = 0.0;
    }

    fn total(mut self) -> f64 {
        self.flush();
        self.total
    }
}
