//! Density ratios of every (component, family) cell of the vitals, forwards and backwards (eq. 11).
//!
//! A cell with several series is one factor, the mean of its series' density ratios, and its quiet density enters once,
//! as for latency and errors (see `super::super::cells`). Discrete states come with ratios that no theta changes.

use fearless_simd::Level;

use super::super::range::LogMean;
use crate::elementary::{exp_all, ln_all};
use crate::evidence::VitalEvidence;
use crate::params::{N_VITALS, Natural};
use crate::simd;

/// Median effect on the vital at fault, in units of the vital scale.
const ROOT_EFFECT: f64 = 12.0;
/// Probability that the vital at fault moves up, by family.
const ROOT_UP: [f64; N_VITALS] = [0.4, 0.85, 0.85, 0.7, 0.5, 0.5, 0.7, 0.5, 0.9];
/// Probability that a disturbed component's vital moves up, by family.
const EFFECT_UP: [f64; N_VITALS] = [0.3, 0.5, 0.5, 0.5, 0.4, 0.5, 0.5, 0.5, 0.9];
/// Largest density ratio of one series: products over families stay in range at a sampler's wildest theta.
const LARGEST_RATIO: f64 = 1e30;
/// The theta by whose quiet law series and footprints are told apart: scale and index.
const REFERENCE: (f64, f64) = (0.9, 2.5);
/// Scale of the reference's effect on a disturbed vital, in units of the vital scale.
const EFFECT_SIZE: f64 = 4.0;
/// Tail index of the effect on a disturbed vital: large moves are rarer than on the vital at fault (index 1).
const EFFECT_INDEX: f64 = 1.6;

/// One (component, family) cell: the rows `start..end` of the series.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    pub component: usize,
    pub family: usize,
    start: usize,
    end: usize,
}

/// The series of an incident's vitals, by cell.
#[derive(Debug, Clone)]
pub(super) struct Cells {
    s: usize,
    pub list: Vec<Cell>,
    z: Vec<f64>,
    /// Reference quiet density of each series over its geometric mean in the cell, laid out as `z`.
    reference: Vec<f64>,
    /// Ratios that no theta changes, laid out as `z`; NaN for contrasts.
    fixed_fault: Vec<f64>,
    fixed_disturbed: Vec<f64>,
    level: Level,
}

/// Ratios at one theta, `[cell * s + footprint]`.
#[derive(Debug, Default)]
pub(super) struct Ratios {
    /// Mean ratio "disturbed" and "at fault" over quiet of each cell.
    pub affected: Vec<f64>,
    pub root: Vec<f64>,
    /// Log quiet density of each cell.
    laws: Vec<QuietMean>,
    /// `(1 + |z| / e)^-(EFFECT_INDEX + 1)`, e the scale of the effect on a disturbed vital, laid out as `z`.
    powers: Vec<f64>,
}

impl Cells {
    pub fn new(e: &VitalEvidence, s: usize) -> Self {
        let mut list: Vec<Cell> = Vec::new();
        for (row, (&component, &family)) in e.component.iter().zip(&e.family).enumerate() {
            match list.last_mut() {
                Some(last) if (last.component, last.family) == (component, family) => {
                    last.end = row + 1;
                }
                _ => list.push(Cell {
                    component,
                    family,
                    start: row,
                    end: row + 1,
                }),
            }
        }
        let reference = list
            .iter()
            .flat_map(|c| reference_ratios(c, &e.z, s))
            .collect();
        let exp = |x: &[f64]| x.iter().map(|l| l.exp()).collect();
        Self {
            s,
            list,
            z: e.z.clone(),
            reference,
            fixed_fault: exp(&e.log_fault),
            fixed_disturbed: exp(&e.log_disturbed),
            level: simd::level(),
        }
    }

    /// Fill the ratios; return the composite log quiet density.
    pub fn forward(&self, theta: &Natural, x: &mut Ratios) -> f64 {
        let s = self.s;
        for v in [&mut x.affected, &mut x.root] {
            v.clear();
            v.resize(self.list.len() * s, 0.0);
        }
        x.laws.clear();
        self.fill_powers(theta, &mut x.powers);
        let mut log_quiet = 0.0;
        for (c, cell) in self.list.iter().enumerate() {
            let law = self.cell_mean(cell, theta);
            log_quiet += law.value;
            x.laws.push(law);
            let level = law.value.exp();
            let share = 1.0 / (cell.end - cell.start) as f64;
            for row in cell.start..cell.end {
                for k in 0..s {
                    let (affected, root) = self.ratio(cell, row * s + k, theta, level, &x.powers);
                    x.affected[c * s + k] += share * affected;
                    x.root[c * s + k] += share * root;
                }
            }
        }
        log_quiet
    }

    fn fill_powers(&self, theta: &Natural, powers: &mut Vec<f64>) {
        let inv = 1.0 / (theta.vital_scale * theta.vital_effect_size);
        powers.clear();
        powers.extend(self.z.iter().map(|z| 1.0 + z.abs() * inv));
        ln_all(powers, self.level);
        for p in powers.iter_mut() {
            *p *= -(EFFECT_INDEX + 1.0);
        }
        exp_all(powers, self.level);
    }

    /// Ratio "disturbed" and "at fault" over quiet of one series in one footprint.
    fn ratio(
        &self,
        cell: &Cell,
        at: usize,
        theta: &Natural,
        level: f64,
        powers: &[f64],
    ) -> (f64, f64) {
        if !self.fixed_fault[at].is_nan() {
            return (self.fixed_disturbed[at], self.fixed_fault[at]);
        }
        let (up_a, up_r) = (EFFECT_UP[cell.family], ROOT_UP[cell.family]);
        let z = self.z[at];
        if z.is_nan() {
            return (1.0, 1.0);
        }
        if !moved(z) {
            return (
                EFFECT_INDEX * unmoved(up_a, EFFECT_SIZE),
                unmoved(up_r, ROOT_EFFECT),
            );
        }
        let quiet = self.reference[at] * level;
        let effect = theta.vital_scale * theta.vital_effect_size;
        let over_quiet = |e: f64| (e / quiet).min(LARGEST_RATIO);
        (
            over_quiet(disturbed(z, effect, up_a, powers[at]).0),
            over_quiet(sided(z, theta.vital_scale * ROOT_EFFECT, up_r).0),
        )
    }

    /// Log ratio of "at fault" to quiet density of every series, laid out as `z`; NaN where missing.
    pub fn log_ratios(&self, theta: &Natural) -> Vec<f64> {
        let (mut out, mut powers) = (vec![f64::NAN; self.z.len()], Vec::new());
        self.fill_powers(theta, &mut powers);
        for cell in &self.list {
            let level = self.cell_mean(cell, theta).value.exp();
            for at in cell.start * self.s..cell.end * self.s {
                if !(self.z[at].is_nan() && self.fixed_fault[at].is_nan()) {
                    out[at] = self.ratio(cell, at, theta, level, &powers).1.ln();
                }
            }
        }
        out
    }

    /// Mean of `quiet_mean` over the series of a cell that moved.
    fn cell_mean(&self, cell: &Cell, theta: &Natural) -> QuietMean {
        let mut mean = QuietMean::default();
        let mut n = 0.0;
        for row in cell.start..cell.end {
            if let Some(one) = self.quiet_mean(row, theta) {
                mean.value += one.value;
                mean.d_scale += one.d_scale;
                mean.d_index += one.d_index;
                n += 1.0;
            }
        }
        let share = 1.0 / f64::max(n, 1.0);
        QuietMean {
            value: share * mean.value,
            d_scale: share * mean.d_scale,
            d_index: share * mean.d_index,
        }
    }

    /// Mean over a series' contrasts but zero of its log quiet density `(a / 2s) (1 + |z|/s)^-(a+1)`, with its derivatives;
    /// None when there are none.
    fn quiet_mean(&self, row: usize, theta: &Natural) -> Option<QuietMean> {
        let (scale, index) = (theta.vital_scale, theta.vital_index);
        let inv = 1.0 / scale;
        let mut reach = LogMean::default();
        let (mut slope, mut n) = (0.0, 0.0);
        for z in &self.z[row * self.s..(row + 1) * self.s] {
            if moved(*z) {
                let u = z.abs() * inv;
                reach.push(1.0 + u);
                slope += u / (1.0 + u);
                n += 1.0;
            }
        }
        if n == 0.0 {
            return None;
        }
        let mean = reach.value();
        Some(QuietMean {
            value: (0.5 * index * inv).ln() - (index + 1.0) * mean,
            d_scale: inv * ((index + 1.0) * slope / n - 1.0),
            d_index: 1.0 / index - mean,
        })
    }

    /// Add the gradient of every cell, given the adjoints of its ratios, `[cell * s + footprint]`.
    pub fn backward(
        &self,
        theta: &Natural,
        x: &Ratios,
        (d_affected, d_root): (&[f64], &[f64]),
        gradient: &mut Natural,
    ) {
        let s = self.s;
        let (scale, size) = (theta.vital_scale, theta.vital_effect_size);
        for (c, cell) in self.list.iter().enumerate() {
            let share = 1.0 / (cell.end - cell.start) as f64;
            let law = x.laws[c];
            let level = law.value.exp();
            let mut d_level = 1.0;
            for at in cell.start * s..cell.end * s {
                let (z, k) = (self.z[at], at % s);
                if !moved(z) || !self.fixed_fault[at].is_nan() {
                    continue;
                }
                let quiet = self.reference[at] * level;
                let (e, d_e) = disturbed(z, scale * size, EFFECT_UP[cell.family], x.powers[at]);
                let (r, d_r) = sided(z, scale * ROOT_EFFECT, ROOT_UP[cell.family]);
                let per_quiet = |adjoint: f64, e: f64| {
                    let inside = e / quiet < LARGEST_RATIO;
                    if inside { adjoint * share / quiet } else { 0.0 }
                };
                let g_e = per_quiet(d_affected[c * s + k], e);
                let g_r = per_quiet(d_root[c * s + k], r);
                d_level -= g_e * e + g_r * r;
                gradient.vital_effect_size += g_e * d_e * scale;
                gradient.vital_scale += g_e * d_e * size + g_r * d_r * ROOT_EFFECT;
            }
            gradient.vital_scale += d_level * law.d_scale;
            gradient.vital_index += d_level * law.d_index;
        }
    }
}

/// Reference quiet density of the series of a cell over its geometric mean there, in the order of its rows.
///
/// Series and footprints are told apart by the reference law only: held against its own density at every theta, a law
/// that is bad everywhere would pay the mean of the cell's log densities and gain by the worst of them.
fn reference_ratios(cell: &Cell, z: &[f64], s: usize) -> Vec<f64> {
    let (scale, index) = REFERENCE;
    let law = |z: &f64| (-index - 1.0) * (z.abs() / scale).ln_1p();
    let rows = z[cell.start * s..cell.end * s].chunks_exact(s);
    let means: Vec<f64> = rows
        .clone()
        .filter(|row| row.iter().any(|&z| moved(z)))
        .map(|row| {
            let seen: Vec<f64> = row.iter().filter(|z| moved(**z)).map(law).collect();
            seen.iter().sum::<f64>() / seen.len() as f64
        })
        .collect();
    let mean = means.iter().sum::<f64>() / (means.len() as f64).max(1.0);
    rows.flatten().map(|z| (law(z) - mean).exp()).collect()
}

/// Whether a contrast is there and not exactly zero.
///
/// Series that stand still give zero again and again; a law learned from them would have no width left.
fn moved(z: f64) -> bool {
    !z.is_nan() && z != 0.0
}

/// Ratio of an effect to quiet where a series did not move: of the densities at zero, at the reference theta.
fn unmoved(up: f64, size: f64) -> f64 {
    let (scale, index) = REFERENCE;
    sided(0.0, scale * size, up).0 * 2.0 * scale / index
}

/// Mean log quiet density of a series and its derivatives.
#[derive(Debug, Clone, Copy, Default)]
struct QuietMean {
    value: f64,
    d_scale: f64,
    d_index: f64,
}

/// Density of z under a disturbance of scale `scale` that points up with probability `up`, and its derivative with
/// respect to the scale: Lomax with index `EFFECT_INDEX` on each side (eq. 11); `power` as in `Ratios::powers`.
fn disturbed(z: f64, scale: f64, up: f64, power: f64) -> (f64, f64) {
    let side = if z >= 0.0 { up } else { 1.0 - up };
    let (u, index) = (z.abs(), EFFECT_INDEX);
    let value = side * index / scale * power;
    let slope = ((index + 1.0) * u / (scale + u) - 1.0) / scale;
    (value, value * slope)
}

/// Density of z under an effect of median size `median` that points up with probability `up`, and its derivative with
/// respect to the median: log-logistic with shape 1 on each side (eq. 4).
fn sided(z: f64, median: f64, up: f64) -> (f64, f64) {
    let side = if z >= 0.0 { up } else { 1.0 - up };
    let reach = median + z.abs();
    let value = side * median / (reach * reach);
    (value, value * (1.0 / median - 2.0 / reach))
}
