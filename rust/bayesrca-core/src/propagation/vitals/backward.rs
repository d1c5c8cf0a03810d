//! The gradient of the vitals' log factors.

use super::rates::{Reach, load_rate, wait_rate};
use super::reach::N_CLASSES;
use super::{AT_ROOT, CODE_AT_ROOT, ECHO, VitalScratch, Vitals};
use crate::params::{EGRESS, LOAD_VITAL, Natural};

impl Vitals {
    /// Make room for the adjoints the caller fills.
    pub fn reset_adjoints(&self, x: &mut VitalScratch) {
        x.adjoint
            .reset(self.s, self.n * self.s, self.reach.len() * self.s);
    }

    /// Add the gradient: `by_footprint` is the adjoint of each footprint's background; those of the logs are in `x`.
    pub fn backward(
        &self,
        theta: &Natural,
        by_footprint: &[f64],
        x: &VitalScratch,
        gradient: &mut Natural,
    ) {
        if self.cells.list.is_empty() {
            return;
        }
        let s = self.s;
        let known = self.n * s;
        let (mut in_class, mut in_load, mut waits) = (
            vec![0.0; known * N_CLASSES],
            vec![0.0; known * 3],
            vec![0.0; known * 3],
        );
        let mut alone = x.adjoint.alone.clone();
        if let Some(t) = self.alarm {
            for (d, link) in alone.iter_mut().zip(&x.adjoint.link[t * s..]) {
                *d += link;
            }
        }
        let mut timed = vec![[0.0; 2]; known];
        for (source, reached) in self.reach.iter().enumerate() {
            for (k, d) in alone.iter_mut().enumerate() {
                if !self.alarm_met[source] {
                    *d += x.adjoint.path[source * s + k];
                }
                if source < self.n && !self.load_alarm_met[source] {
                    *d += x.adjoint.load_path[source * s + k];
                }
            }
            for r in reached {
                let (up, down) = (r.class / 3, r.class % 3);
                for k in 0..s {
                    let (at, from) = (r.component * s + k, source * s + k);
                    let d_path = x.adjoint.path[from];
                    if r.timely.is_nan() {
                        in_class[at * N_CLASSES + r.class] += d_path;
                    } else if d_path != 0.0 {
                        let (reach, ratio) = self.timed(theta, r, x.disturbed[at]);
                        let g = d_path / ratio.value;
                        ratio.backward(g, &reach, gradient);
                        timed[at][0] += g * ratio.d_p;
                        timed[at][1] += d_path;
                    }
                    waits[at * 3 + up] += x.adjoint.egress[from];
                    if source < self.n {
                        in_load[at * 3 + down] += x.adjoint.load_path[from];
                    }
                }
            }
        }
        let cells = self.cells.list.len() * s;
        let mut adjoint = (vec![0.0; cells], vec![0.0; cells]);
        for i in (0..self.n).filter(|&i| self.first[i] < self.first[i + 1]) {
            for k in 0..s {
                let at = i * s + k;
                let classes = ByClass {
                    background: by_footprint[k],
                    timed: timed[at],
                    alone: if self.alarm == Some(i) { alone[k] } else { 0.0 },
                    path: &in_class[at * N_CLASSES..(at + 1) * N_CLASSES],
                    load: &in_load[at * 3..(at + 1) * 3],
                    waits: &waits[at * 3..(at + 1) * 3],
                };
                self.component_backward(theta, i, k, &classes, x, &mut adjoint, gradient);
            }
        }
        self.cells
            .backward(theta, &x.ratios, (&adjoint.0, &adjoint.1), gradient);
    }

    #[allow(clippy::too_many_arguments)] // One call site, split out for length.
    fn component_backward(
        &self,
        theta: &Natural,
        i: usize,
        k: usize,
        d: &ByClass<'_>,
        x: &VitalScratch,
        adjoint: &mut (Vec<f64>, Vec<f64>),
        gradient: &mut Natural,
    ) {
        let (a, at) = (theta.vital_rate, i * self.s + k);
        let (p, q, load) = (x.disturbed[at], x.fault[at], x.load_fault[at]);
        let h = 1.0 - a + a * p;
        let slope = |d: f64, rate: f64| d * rate / (1.0 - rate + rate * p / h) * p / h;
        let d_own =
            slope(x.adjoint.disturbed[at], AT_ROOT) + slope(x.adjoint.code[at], CODE_AT_ROOT);
        let whole = x.adjoint.resource[at] + x.adjoint.load[at];
        let mut d_log_h = d.background - whole - d_own;
        let mut d_p = (whole + d_own) / p;
        for class in 1..N_CLASSES {
            if d.path[class] != 0.0 {
                let reach = Reach::new(theta, class);
                let (f, by_p, by_rate) = self.mixed(i, reach.rate, p);
                d_log_h -= d.path[class];
                d_p += d.path[class] * by_p / f;
                reach.backward(d.path[class] * by_rate / f, gradient);
            }
        }
        for down in 1..3 {
            let r = load_rate(a, down);
            let (f, by_p, by_rate) = self.mixed(i, r, p);
            d_log_h -= d.load[down];
            d_p += d.load[down] * by_p / f;
            gradient.vital_rate += d.load[down] * by_rate / f * (1.0 - r) / (1.0 - a);
        }
        let (f, by_p, by_rate) = self.mixed(i, a, p);
        d_log_h -= d.alone;
        d_p += d.alone * by_p / f;
        gradient.vital_rate += d.alone * by_rate / f;
        d_p += d.timed[0];
        d_log_h -= d.timed[1];
        gradient.vital_rate += d_log_h * (p - 1.0) / h;
        d_p += d_log_h * a / h;
        let (d_q, d_load) = (x.adjoint.resource[at] / q, x.adjoint.load[at] / load);
        for c in self.first[i]..self.first[i + 1] {
            let family = self.cells.list[c].family;
            let cell = c * self.s + k;
            if family == EGRESS {
                adjoint.0[cell] = wait_backward(a, x.ratios.affected[cell], d, gradient);
                continue;
            }
            let (shows, fault) = self.shown(theta, &x.ratios, c, k);
            let weight = d_q * self.at_fault[family];
            // A load fault is one of the load that is seen: no share of it stays hidden.
            let load = if family == LOAD_VITAL { d_load } else { 0.0 };
            let root = x.ratios.root[cell];
            let d_shows = d_p * p / shows - (weight * fault + load * root) / (shows * shows);
            let d_fault = weight / shows;
            gradient.own_visible += d_fault * (root - 1.0);
            adjoint.0[cell] = d_shows * ECHO[family];
            adjoint.1[cell] = d_fault * theta.own_visible + load / shows;
        }
    }
}

/// Adjoints of a component's logarithms in one footprint.
struct ByClass<'a> {
    background: f64,
    alone: f64,
    /// Adjoint of p, and the sum of the adjoints, of the ratios of components whose onset is known.
    timed: [f64; 2],
    path: &'a [f64],
    load: &'a [f64],
    waits: &'a [f64],
}

/// Adds the gradient of a component's egress; returns the adjoint of its ratio.
fn wait_backward(a: f64, wait: f64, d: &ByClass<'_>, gradient: &mut Natural) -> f64 {
    let base = 1.0 - a + a * wait;
    let (mut d_wait, mut d_base) = (0.0, d.background);
    for up in 1..3 {
        let r = wait_rate(a, up);
        let f = 1.0 - r + r * wait;
        d_base -= d.waits[up];
        d_wait += d.waits[up] * r / f;
        gradient.vital_rate += d.waits[up] * (wait - 1.0) / f * (1.0 - r) / (1.0 - a);
    }
    gradient.vital_rate += d_base * (wait - 1.0) / base;
    d_wait + d_base * a / base
}
