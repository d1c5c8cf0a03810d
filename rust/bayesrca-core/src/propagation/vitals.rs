//! The components' own resource telemetry (load, cpu, memory, disk, network, anything else): who is disturbed, and
//! whose resource is at fault (eq. 11 to 13).
//!
//! A cell (component, family) with several series is one factor, the mean of its series' density ratios, and its quiet
//! density enters once, as for latency and errors (see `cells`). A component is disturbed or not; a disturbed one shows
//! in each of its families with probability [`ECHO`].

use super::range::LogMean;
use crate::evidence::VitalEvidence;
use crate::graph::Graph;
use crate::params::{N_VITALS, Natural};

/// Probability that a disturbed component shows it in a family it reports; load is mostly its callers' affair.
const ECHO: [f64; N_VITALS] = [0.2, 0.4, 0.4, 0.4, 0.4, 0.4];
/// Prior weight of a fault in a family that its component does not report, against one whose family is seen.
const UNREPORTED: f64 = 0.35;
/// Probability that a latency or errors fault disturbs its component: one in code or on the way to it need not.
const AT_ROOT: f64 = 0.5;
/// Probability that a component on the root's path is disturbed by the fault.
const ON_PATH: f64 = 0.3;
/// Median effect on the vital at fault, in units of the vital scale.
const ROOT_EFFECT: f64 = 12.0;
/// Prior of the family at fault: load, cpu, memory, disk, network, generic.
const AT_FAULT: [f64; N_VITALS] = [0.10, 0.23, 0.19, 0.16, 0.17, 0.15];
/// Probability that the vital at fault moves up, by family.
const ROOT_UP: [f64; N_VITALS] = [0.4, 0.85, 0.85, 0.7, 0.5, 0.5];
/// Probability that a disturbed component's vital moves up, by family.
const EFFECT_UP: [f64; N_VITALS] = [0.3, 0.5, 0.5, 0.5, 0.4, 0.5];
/// Largest density ratio of one series: products over families stay in range at a sampler's wildest theta.
const LARGEST_RATIO: f64 = 1e40;
/// The theta by whose quiet law series and footprints are told apart: scale and index.
const REFERENCE: (f64, f64) = (0.9, 2.5);
/// The reference's median effect on a disturbed vital, in units of the vital scale.
const EFFECT_SIZE: f64 = 4.0;

/// One (component, family) cell: the rows `start..end` of the series.
#[derive(Debug, Clone)]
struct Cell {
    component: usize,
    family: usize,
    start: usize,
    end: usize,
}

/// The prepared vitals of an incident.
#[derive(Debug, Clone)]
pub(crate) struct Vitals {
    n: usize,
    s: usize,
    cells: Vec<Cell>,
    /// Cells of component i are `first[i]..first[i + 1]`.
    first: Vec<usize>,
    z: Vec<f64>,
    /// Reference quiet density of each series over its geometric mean in the cell, laid out as `z`.
    reference: Vec<f64>,
    /// Components a fault at each root can reach in any family, of those that report vitals.
    path: Vec<Vec<usize>>,
    /// `AT_FAULT` mass of the families each component does not report.
    unreported: Vec<f64>,
}

/// Scratch of one theta; arrays `[cell * s + k]`, `[component * s + k]` or, for logarithms by root, `[root * s + k]`.
#[derive(Debug, Default)]
pub(crate) struct VitalScratch {
    /// Mean ratio "disturbed" and "at fault" over quiet of each cell.
    affected: Vec<f64>,
    root: Vec<f64>,
    /// Probability ratio of all families of a disturbed component, over quiet.
    disturbed: Vec<f64>,
    /// `sum_v pi_v r_v / c_v` of eq. 13, with what is not reported.
    fault: Vec<f64>,
    /// Log factor of "the fault disturbs its component" and of "its resource is at fault", over the background.
    pub log_disturbed: Vec<f64>,
    pub log_resource: Vec<f64>,
    /// Their adjoints, filled by the caller.
    pub d_disturbed: Vec<f64>,
    pub d_resource: Vec<f64>,
}

impl Vitals {
    pub fn new(e: &VitalEvidence, n: usize, s: usize, edges: &[(usize, usize)]) -> Self {
        let mut cells: Vec<Cell> = Vec::new();
        for (row, (&component, &family)) in e.component.iter().zip(&e.family).enumerate() {
            match cells.last_mut() {
                Some(last) if (last.component, last.family) == (component, family) => {
                    last.end = row + 1;
                }
                _ => cells.push(Cell {
                    component,
                    family,
                    start: row,
                    end: row + 1,
                }),
            }
        }
        let first: Vec<usize> = (0..=n)
            .map(|i| cells.partition_point(|c| c.component < i))
            .collect();
        let reports = |i: &usize| first[*i] < first[*i + 1];
        let graph = Graph::new(n, edges);
        let path = (0..n)
            .map(|root| {
                let reach = if cells.is_empty() {
                    Vec::new()
                } else {
                    graph.reachable(root)
                };
                reach
                    .into_iter()
                    .filter(|i| *i != root && reports(i))
                    .collect()
            })
            .collect();
        let unreported = (0..n)
            .map(|i| {
                let seen: f64 = cells[first[i]..first[i + 1]]
                    .iter()
                    .map(|c| AT_FAULT[c.family])
                    .sum();
                1.0 - seen
            })
            .collect();
        let reference = cells
            .iter()
            .flat_map(|c| reference_ratios(c, &e.z, s))
            .collect();
        Self {
            n,
            s,
            cells,
            first,
            z: e.z.clone(),
            reference,
            path,
            unreported,
        }
    }

    /// Evaluate everything; add the background's log ratio per footprint; return the composite log quiet density.
    pub fn forward(&self, theta: &Natural, x: &mut VitalScratch, background: &mut [f64]) -> f64 {
        let (n, s) = (self.n, self.s);
        let log_quiet = self.fill_ratios(theta, x);
        for v in [&mut x.disturbed, &mut x.fault] {
            v.clear();
            v.resize(n * s, 1.0);
        }
        for v in [&mut x.log_disturbed, &mut x.log_resource] {
            v.clear();
            v.resize(n * s, 0.0);
        }
        let a = theta.vital_rate;
        let mut on_path = vec![0.0; if self.cells.is_empty() { 0 } else { n * s }];
        for i in 0..n {
            for k in 0..s {
                let at = i * s + k;
                let (p, q) = self.component(theta, x, i, k);
                x.disturbed[at] = p;
                x.fault[at] = q;
                let h = 1.0 - a + a * p;
                x.log_resource[at] = (p * q / h).ln();
                if self.first[i] < self.first[i + 1] {
                    background[k] += h.ln();
                    x.log_disturbed[at] = ((1.0 - AT_ROOT) + AT_ROOT * p / h).ln();
                    on_path[at] = ((1.0 - ON_PATH) + ON_PATH * p / h).ln();
                }
            }
        }
        for (root, path) in self.path.iter().enumerate() {
            for &i in path {
                for k in 0..s {
                    x.log_disturbed[root * s + k] += on_path[i * s + k];
                    x.log_resource[root * s + k] += on_path[i * s + k];
                }
            }
        }
        log_quiet
    }

    /// `prod_v c_v` and `sum_v pi_v r_v / c_v` of a component.
    fn component(&self, theta: &Natural, x: &VitalScratch, i: usize, k: usize) -> (f64, f64) {
        let (mut p, mut q) = (1.0, UNREPORTED * self.unreported[i]);
        for c in self.first[i]..self.first[i + 1] {
            let (shows, fault) = self.shown(theta, x, c, k);
            p *= shows;
            q += AT_FAULT[self.cells[c].family] * fault / shows;
        }
        (p, q)
    }

    /// `c_v` and `r_v` of a cell: of a disturbed component's family, and of the one at fault.
    fn shown(&self, theta: &Natural, x: &VitalScratch, c: usize, k: usize) -> (f64, f64) {
        let (at, visible) = (c * self.s + k, theta.own_visible);
        let echo = ECHO[self.cells[c].family];
        (
            1.0 - echo + echo * x.affected[at],
            1.0 - visible + visible * x.root[at],
        )
    }

    fn fill_ratios(&self, theta: &Natural, x: &mut VitalScratch) -> f64 {
        let s = self.s;
        let mut log_quiet = 0.0;
        for v in [&mut x.affected, &mut x.root] {
            v.clear();
            v.resize(self.cells.len() * s, 0.0);
        }
        let (scale, effect) = (
            theta.vital_scale,
            theta.vital_scale * theta.vital_effect_size,
        );
        let root = scale * ROOT_EFFECT;
        for (c, cell) in self.cells.iter().enumerate() {
            let share = 1.0 / (cell.end - cell.start) as f64;
            let (up_a, up_r) = (EFFECT_UP[cell.family], ROOT_UP[cell.family]);
            let law = self.cell_mean(cell, theta);
            log_quiet += law.value;
            let level = law.value.exp();
            for row in cell.start..cell.end {
                for k in 0..s {
                    let z = self.z[row * s + k];
                    let at = c * s + k;
                    if !moved(z) {
                        let still = |up, size| if z.is_nan() { 1.0 } else { unmoved(up, size) };
                        x.affected[at] += share * still(up_a, EFFECT_SIZE);
                        x.root[at] += share * still(up_r, ROOT_EFFECT);
                        continue;
                    }
                    let quiet = self.reference[row * s + k] * level;
                    let over_quiet = |e: f64| share * (e / quiet).min(LARGEST_RATIO);
                    x.affected[at] += over_quiet(sided(z, effect, up_a).0);
                    x.root[at] += over_quiet(sided(z, root, up_r).0);
                }
            }
        }
        log_quiet
    }

    /// Prior weight of a resource fault at component i against one at a component that reports every family.
    pub fn prior_weight(&self, i: usize) -> f64 {
        1.0 - (1.0 - UNREPORTED) * self.unreported[i]
    }

    /// Probability that each family is the one at fault, given a resource fault at a component,
    /// `[(component * N_VITALS + family) * s + footprint]`.
    pub fn families_at_fault(&self, theta: &Natural, x: &mut VitalScratch) -> Vec<f64> {
        self.fill_ratios(theta, x);
        let mut out = vec![0.0; self.n * N_VITALS * self.s];
        for i in 0..self.n {
            for k in 0..self.s {
                let mut weight = AT_FAULT.map(|prior| UNREPORTED * prior);
                for c in self.first[i]..self.first[i + 1] {
                    let (shows, fault) = self.shown(theta, x, c, k);
                    let family = self.cells[c].family;
                    weight[family] = AT_FAULT[family] * fault / shows;
                }
                let total: f64 = weight.iter().sum();
                for (v, w) in weight.into_iter().enumerate() {
                    out[(i * N_VITALS + v) * self.s + k] = w / total;
                }
            }
        }
        out
    }

    /// Log ratio of "at fault" to quiet density of every series, laid out as `z`.
    pub fn log_ratios(&self, theta: &Natural) -> Vec<f64> {
        let mut out = vec![f64::NAN; self.z.len()];
        let median = theta.vital_scale * ROOT_EFFECT;
        for cell in &self.cells {
            let level = self.cell_mean(cell, theta).value.exp();
            for row in cell.start..cell.end {
                for at in row * self.s..(row + 1) * self.s {
                    let (z, up) = (self.z[at], ROOT_UP[cell.family]);
                    let quiet = self.reference[at] * level;
                    out[at] = if z == 0.0 {
                        unmoved(up, ROOT_EFFECT).ln()
                    } else {
                        (sided(z, median, up).0 / quiet).ln()
                    };
                }
            }
        }
        out
    }

    /// Mean of `quiet_mean` over the series of a cell that moved.
    fn cell_mean(&self, cell: &Cell, theta: &Natural) -> QuietMean {
        let rows = cell.start..cell.end;
        let seen = |row: &usize| {
            self.z[row * self.s..(row + 1) * self.s]
                .iter()
                .any(|&z| moved(z))
        };
        let share = 1.0 / (rows.clone().filter(seen).count() as f64);
        let mut mean = QuietMean::default();
        for row in rows.filter(seen) {
            let one = self.quiet_mean(row, theta);
            mean.value += share * one.value;
            mean.d_scale += share * one.d_scale;
            mean.d_index += share * one.d_index;
        }
        mean
    }

    /// Mean over a series' contrasts but zero of its log quiet density `(a / 2s) (1 + |z|/s)^-(a+1)`, with its derivatives.
    fn quiet_mean(&self, row: usize, theta: &Natural) -> QuietMean {
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
        let mean = reach.value();
        QuietMean {
            value: (0.5 * index * inv).ln() - (index + 1.0) * mean,
            d_scale: inv * ((index + 1.0) * slope / n - 1.0),
            d_index: 1.0 / index - mean,
        }
    }

    /// Add the gradient: `by_footprint` is the adjoint of each footprint's background; those of the logs by root are in
    /// `x`.
    pub fn backward(
        &self,
        theta: &Natural,
        by_footprint: &[f64],
        x: &VitalScratch,
        gradient: &mut Natural,
    ) {
        if self.cells.is_empty() {
            return;
        }
        let s = self.s;
        let mut d_path = vec![0.0; self.n * s];
        for (root, path) in self.path.iter().enumerate() {
            for &i in path {
                for k in 0..s {
                    d_path[i * s + k] += x.d_disturbed[root * s + k] + x.d_resource[root * s + k];
                }
            }
        }
        let mut adjoint = (vec![0.0; x.affected.len()], vec![0.0; x.root.len()]);
        for i in (0..self.n).filter(|&i| self.first[i] < self.first[i + 1]) {
            for k in 0..s {
                let lift = [by_footprint[k], d_path[i * s + k]];
                self.component_backward(theta, i, k, lift, x, &mut adjoint, gradient);
            }
        }
        for c in 0..self.cells.len() {
            self.cell_backward(theta, c, &adjoint, gradient);
        }
    }

    #[allow(clippy::too_many_arguments)] // One call site, split out for length.
    fn component_backward(
        &self,
        theta: &Natural,
        i: usize,
        k: usize,
        [d_background, d_path]: [f64; 2],
        x: &VitalScratch,
        adjoint: &mut (Vec<f64>, Vec<f64>),
        gradient: &mut Natural,
    ) {
        let (a, visible) = (theta.vital_rate, theta.own_visible);
        let at = i * self.s + k;
        let (p, q) = (x.disturbed[at], x.fault[at]);
        let h = 1.0 - a + a * p;
        // (1 - g) + g p / h, the factors of a component on a path and of the root.
        let path = (1.0 - ON_PATH) + ON_PATH * p / h;
        let own = (1.0 - AT_ROOT) + AT_ROOT * p / h;
        let d_ratio = d_path * ON_PATH / path + x.d_disturbed[at] * AT_ROOT / own;
        let d_log_h = d_background - x.d_resource[at] - d_ratio * p / h;
        gradient.vital_rate += d_log_h * (p - 1.0) / h;
        let d_log_p = x.d_resource[at] + d_ratio * p / h + d_log_h * a * p / h;
        let d_q = x.d_resource[at] / q;
        for c in self.first[i]..self.first[i + 1] {
            let cell = c * self.s + k;
            let (shows, fault) = self.shown(theta, x, c, k);
            let weight = AT_FAULT[self.cells[c].family] / shows;
            let d_shows = d_log_p / shows - d_q * weight * fault / shows;
            let d_fault = d_q * weight;
            gradient.own_visible += d_fault * (x.root[cell] - 1.0);
            adjoint.0[cell] = d_shows * ECHO[self.cells[c].family];
            adjoint.1[cell] = d_fault * visible;
        }
    }

    fn cell_backward(
        &self,
        theta: &Natural,
        c: usize,
        (d_affected, d_root): &(Vec<f64>, Vec<f64>),
        gradient: &mut Natural,
    ) {
        let (s, cell) = (self.s, &self.cells[c]);
        let share = 1.0 / (cell.end - cell.start) as f64;
        let (scale, size) = (theta.vital_scale, theta.vital_effect_size);
        let law = self.cell_mean(cell, theta);
        let level = law.value.exp();
        let mut d_level = 1.0;
        for at in cell.start * s..cell.end * s {
            let (z, k) = (self.z[at], at % s);
            if !moved(z) {
                continue;
            }
            let quiet = self.reference[at] * level;
            let (e, d_e) = sided(z, scale * size, EFFECT_UP[cell.family]);
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

/// Density of z under an effect of median size `median` that points up with probability `up`, and its derivative with
/// respect to the median: log-logistic with shape 1 on each side (eq. 4).
fn sided(z: f64, median: f64, up: f64) -> (f64, f64) {
    let side = if z >= 0.0 { up } else { 1.0 - up };
    let reach = median + z.abs();
    let value = side * median / (reach * reach);
    (value, value * (1.0 / median - 2.0 / reach))
}
