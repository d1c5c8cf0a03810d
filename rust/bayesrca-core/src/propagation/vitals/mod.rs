//! The components' own telemetry beside latency and errors (load, cpu, memory, disk, network, the host under them,
//! discrete states, anything else): who is disturbed, and whose resource is at fault (eq. 11 to 13).
//!
//! A component is disturbed or not; a disturbed one shows in each of its families with probability [`ECHO`]. Time spent
//! waiting for callees (egress) is no family of its own trouble: it shows where a fault that spreads in latency lies
//! below (eq. 14).

mod backward;
mod cells;
mod classes;
mod rates;
mod reach;

use cells::{Cells, Ratios};
use rates::{Reach, Timed};
use reach::{Directions, N_CLASSES, Onsets, Reached};

use fearless_simd::Level;

use super::alarm::ALARM_TRUE;
use crate::evidence::VitalEvidence;
use crate::params::{EGRESS, LOAD_VITAL, N_VITALS, Natural};
use crate::simd;

/// Probability that a disturbed component shows it in a family it reports; load is mostly its callers' affair.
const ECHO: [f64; N_VITALS] = [0.2, 0.4, 0.4, 0.4, 0.4, 0.4, 0.2, 0.8, 0.0];
/// Prior weight of a fault in a family that its component does not report, against one whose family is seen.
const UNREPORTED: f64 = 0.35;
/// Probability that a latency, errors or crash fault disturbs its component: one in code or on the way to it need not.
const AT_ROOT: f64 = 0.8;
/// The same of a fault in code that spans or logs would show.
const CODE_AT_ROOT: f64 = 0.3;
/// Prior of the family at fault of a resource fault. A family that no component reports is none.
const AT_FAULT: [f64; N_VITALS] = [0.0, 0.25, 0.2, 0.17, 0.17, 0.15, 0.03, 0.2, 0.0];

/// The prepared vitals of an incident.
#[derive(Debug, Clone)]
pub(crate) struct Vitals {
    n: usize,
    s: usize,
    cells: Cells,
    /// Cells of component i are `first[i]..first[i + 1]`, its egress, if it has any, last.
    first: Vec<usize>,
    directions: Directions,
    onsets: Onsets,
    /// Components in reach of each source: every component, then the sets; of those that report.
    reach: Vec<Vec<Reached>>,
    /// Classes in which some component is reached, as a bit mask.
    classes: u16,
    /// `AT_FAULT` over the families that any component reports.
    at_fault: [f64; N_VITALS],
    /// Its mass of the families each component does not report.
    unreported: Vec<f64>,
    /// Whether any component reports load.
    load_known: bool,
    /// The target, when its alarm is in its vitals, and whether each source has it among its roots or in reach.
    alarm: Option<usize>,
    alarm_met: Vec<bool>,
    load_alarm_met: Vec<bool>,
    level: Level,
}

/// Scratch of one theta: logarithms `[source * s + footprint]` over the background, and their adjoints.
#[derive(Debug, Default)]
pub(crate) struct VitalScratch {
    ratios: Ratios,
    /// Probability ratio of all families of a disturbed component over quiet, `[component * s + footprint]`.
    disturbed: Vec<f64>,
    /// `sum_v pi_v r_v / c_v` of eq. 13, with what is not reported; the same of load alone.
    fault: Vec<f64>,
    load_fault: Vec<f64>,
    /// Log factor of each component in a class, `[(class * n + component) * s + footprint]`; steps for classes of load
    /// and of waiting.
    in_class: Vec<f64>,
    in_load_class: Vec<f64>,
    waits: Vec<f64>,
    /// Log background of each component's own families, `[component * s + footprint]`.
    log_background: Vec<f64>,
    pub log: Logs,
    /// Adjoints of `log`, filled by the caller.
    pub adjoint: Logs,
}

/// Log factors over the background.
#[derive(Debug, Default)]
pub(crate) struct Logs {
    /// "The fault disturbs its component", by root.
    pub disturbed: Vec<f64>,
    /// The same of a fault in its code, by root.
    pub code: Vec<f64>,
    /// "A resource of the component is at fault", by root.
    pub resource: Vec<f64>,
    /// "The component's load is at fault", by root.
    pub load: Vec<f64>,
    /// The way to the component is at fault, not the component: an alarm there stays unexplained, by root.
    pub link: Vec<f64>,
    /// Everybody the fault may disturb, by source.
    pub path: Vec<f64>,
    /// Everybody a load fault passes its load to, by root.
    pub load_path: Vec<f64>,
    /// Everybody who waits for a slow callee, by source.
    pub egress: Vec<f64>,
    /// An alarm that no fault explains, by footprint; part of `path` and `load_path` where it applies.
    pub alone: Vec<f64>,
}

impl Logs {
    fn reset(&mut self, footprints: usize, roots: usize, sources: usize) {
        self.alone.clear();
        self.alone.resize(footprints, 0.0);
        let by_root = [
            &mut self.disturbed,
            &mut self.code,
            &mut self.resource,
            &mut self.load,
            &mut self.load_path,
            &mut self.link,
        ];
        for v in by_root {
            v.clear();
            v.resize(roots, 0.0);
        }
        for v in [&mut self.path, &mut self.egress] {
            v.clear();
            v.resize(sources, 0.0);
        }
    }
}

impl Vitals {
    /// `edges`: those along which latency or errors travel; `alarm`: the target, when its alarm is in its vitals.
    pub fn new(
        e: &VitalEvidence,
        (n, s): (usize, usize),
        edges: &[(usize, usize)],
        alarm: Option<usize>,
    ) -> Self {
        let cells = Cells::new(e, s);
        let first: Vec<usize> = (0..=n)
            .map(|i| cells.list.partition_point(|c| c.component < i))
            .collect();
        let mut at_fault = AT_FAULT;
        for (v, prior) in at_fault.iter_mut().enumerate() {
            if !e.family.contains(&v) {
                *prior = 0.0;
            }
        }
        let total: f64 = at_fault.iter().sum();
        if total > 0.0 {
            for p in &mut at_fault {
                *p /= total;
            }
        }
        let unreported = (0..n)
            .map(|i| {
                let seen: f64 = cells.list[first[i]..first[i + 1]]
                    .iter()
                    .map(|c| at_fault[c.family])
                    .sum();
                1.0 - seen
            })
            .collect();
        let mut out = Self {
            n,
            s,
            load_known: e.family.contains(&LOAD_VITAL),
            cells,
            first,
            directions: Directions::new(n, edges, &e.demand),
            onsets: Onsets::new(e),
            reach: Vec::new(),
            classes: 0,
            at_fault,
            unreported,
            alarm,
            alarm_met: Vec::new(),
            load_alarm_met: Vec::new(),
            level: simd::level(),
        };
        for root in 0..n {
            out.add_source(&[root]);
        }
        out
    }

    /// Prepare a further source: a set of roots.
    pub fn add_source(&mut self, roots: &[usize]) {
        let reached = if self.cells.list.is_empty() {
            Vec::new()
        } else {
            let mut all = self.directions.reached(roots, &self.onsets);
            all.retain(|r| self.first[r.component] < self.first[r.component + 1]);
            all
        };
        for r in &reached {
            self.classes |= 1 << r.class;
        }
        let met = |t| roots.contains(&t) || reached.iter().any(|r| r.component == t);
        let by_load = |t| {
            let passed = |r: &Reached| r.component == t && !r.class.is_multiple_of(3);
            roots.contains(&t) || reached.iter().any(passed)
        };
        self.alarm_met.push(self.alarm.is_none_or(met));
        self.load_alarm_met.push(self.alarm.is_none_or(by_load));
        self.reach.push(reached);
    }

    /// Forget the sources added since.
    pub fn drop_sets(&mut self) {
        self.reach.truncate(self.n);
        self.alarm_met.truncate(self.n);
        self.load_alarm_met.truncate(self.n);
    }

    /// Evaluate everything; add the background's log ratio per footprint; return the composite log quiet density.
    pub fn forward(&self, theta: &Natural, x: &mut VitalScratch, background: &mut [f64]) -> f64 {
        let (n, s) = (self.n, self.s);
        let log_quiet = self.cells.forward(theta, &mut x.ratios);
        for v in [&mut x.disturbed, &mut x.fault, &mut x.load_fault] {
            v.clear();
            v.resize(n * s, 1.0);
        }
        x.log.reset(s, n * s, self.reach.len() * s);
        let known = if self.cells.list.is_empty() { 0 } else { n * s };
        for (v, width) in [
            (&mut x.in_class, N_CLASSES),
            (&mut x.in_load_class, 3),
            (&mut x.waits, 3),
            (&mut x.log_background, 1),
        ] {
            v.clear();
            v.resize(known * width, 1.0);
        }
        for i in 0..n {
            for k in 0..s {
                self.component(theta, x, i, k);
            }
        }
        self.fill_own(theta, x, background);
        self.fill_classes(theta, x);
        self.add_up(theta, x);
        log_quiet
    }

    /// Sum the log factors of everybody in reach of each source.
    fn add_up(&self, theta: &Natural, x: &mut VitalScratch) {
        let s = self.s;
        if let Some(t) = self.alarm {
            x.log.link[t * s..(t + 1) * s].copy_from_slice(&x.log.alone);
        }
        for (source, reached) in self.reach.iter().enumerate() {
            if !self.alarm_met[source] {
                for k in 0..s {
                    x.log.path[source * s + k] += x.log.alone[k];
                }
            }
            if source < self.n && !self.load_alarm_met[source] {
                for k in 0..s {
                    x.log.load_path[source * s + k] += x.log.alone[k];
                }
            }
            for r in reached {
                let (up, down) = (r.class / 3, r.class % 3);
                let (own, from) = (r.component * s, source * s);
                let of = |class: usize| (class * self.n + r.component) * s;
                let path = &mut x.log.path[from..from + s];
                if r.timely.is_nan() {
                    add(path, &x.in_class[of(r.class)..]);
                } else {
                    for (k, path) in path.iter_mut().enumerate() {
                        let ratio = self.timed(theta, r, x.disturbed[own + k]).1.value;
                        *path += ratio.ln() - x.log_background[own + k];
                    }
                }
                if up > 0 {
                    add(&mut x.log.egress[from..from + s], &x.waits[of(up)..]);
                }
                if down > 0 && source < self.n {
                    let load = &mut x.log.load_path[from..from + s];
                    add(load, &x.in_load_class[of(down)..]);
                }
            }
        }
    }

    /// Probability ratio of a component that is disturbed at rate `r`, over quiet; of the alarm's target given that it
    /// is disturbed with probability `ALARM_TRUE` (eq. 9), and its derivative with respect to p and r.
    fn mixed(&self, i: usize, r: f64, p: f64) -> (f64, f64, f64) {
        let truth = if self.alarm == Some(i) {
            ALARM_TRUE
        } else {
            0.0
        };
        let plain = 1.0 - r + r * p;
        (
            truth * p + (1.0 - truth) * plain,
            truth + (1.0 - truth) * r,
            (1.0 - truth) * (p - 1.0),
        )
    }

    /// The ratio of a component whose onset is known, before its background is taken out.
    fn timed(&self, theta: &Natural, r: &Reached, p: f64) -> (Reach, Timed) {
        let reach = Reach::new(theta, r.class);
        let truth = if self.alarm == Some(r.component) {
            ALARM_TRUE
        } else {
            0.0
        };
        let timed = Timed::new(theta, &reach, p, r.timely, truth);
        (reach, timed)
    }

    /// `prod_v c_v`, `sum_v pi_v r_v / c_v` and the latter of load alone, of a component.
    fn component(&self, theta: &Natural, x: &mut VitalScratch, i: usize, k: usize) {
        let (mut p, mut q) = (1.0, UNREPORTED * self.unreported[i]);
        let mut load = if self.load_known { UNREPORTED } else { 1.0 };
        for c in self.first[i]..self.first[i + 1] {
            let family = self.cells.list[c].family;
            let (shows, fault) = self.shown(theta, &x.ratios, c, k);
            p *= shows;
            q += self.at_fault[family] * fault / shows;
            if family == LOAD_VITAL {
                load = x.ratios.root[c * self.s + k] / shows;
            }
        }
        let at = i * self.s + k;
        (x.disturbed[at], x.fault[at], x.load_fault[at]) = (p, q, load);
    }

    /// `c_v` and `r_v` of a cell: of a disturbed component's family, and of the one at fault.
    fn shown(&self, theta: &Natural, x: &Ratios, c: usize, k: usize) -> (f64, f64) {
        let (at, visible) = (c * self.s + k, theta.own_visible);
        let echo = ECHO[self.cells.list[c].family];
        (
            1.0 - echo + echo * x.affected[at],
            1.0 - visible + visible * x.root[at],
        )
    }

    /// The component's egress ratio in a footprint, when it reports any.
    fn egress(&self, x: &Ratios, i: usize, k: usize) -> Option<f64> {
        let last = self.first[i + 1]
            .checked_sub(1)
            .filter(|&c| c >= self.first[i])?;
        (self.cells.list[last].family == EGRESS).then(|| x.affected[last * self.s + k])
    }

    /// Prior weight of a resource fault at component i against one at a component that reports every family.
    pub fn prior_weight(&self, i: usize) -> f64 {
        1.0 - (1.0 - UNREPORTED) * self.unreported[i]
    }

    /// Whether anybody sends demand to a component.
    pub fn has_callers(&self, i: usize) -> bool {
        self.directions.has_callers(i)
    }

    /// Prior weight of a load fault at component i against one at a component that reports its load.
    pub fn load_weight(&self, i: usize) -> f64 {
        let cells = &self.cells.list[self.first[i]..self.first[i + 1]];
        if !self.load_known || cells.iter().any(|c| c.family == LOAD_VITAL) {
            1.0
        } else {
            UNREPORTED
        }
    }

    /// Probability that each family is the one at fault, given a resource fault at a component,
    /// `[(component * N_VITALS + family) * s + footprint]`.
    pub fn families_at_fault(&self, theta: &Natural, x: &mut VitalScratch) -> Vec<f64> {
        self.cells.forward(theta, &mut x.ratios);
        let mut out = vec![0.0; self.n * N_VITALS * self.s];
        for i in 0..self.n {
            for k in 0..self.s {
                let mut weight = self.at_fault.map(|prior| UNREPORTED * prior);
                for c in self.first[i]..self.first[i + 1] {
                    let (shows, fault) = self.shown(theta, &x.ratios, c, k);
                    let family = self.cells.list[c].family;
                    weight[family] = self.at_fault[family] * fault / shows;
                }
                let total: f64 = weight.iter().sum();
                for (v, w) in weight.into_iter().enumerate() {
                    out[(i * N_VITALS + v) * self.s + k] =
                        if total > 0.0 { w / total } else { 0.0 };
                }
            }
        }
        out
    }

    /// Log ratio of "at fault" to quiet density of every series, laid out as the evidence's contrasts.
    pub fn log_ratios(&self, theta: &Natural) -> Vec<f64> {
        self.cells.log_ratios(theta)
    }
}

/// Add `terms` to the numbers in `sums`.
fn add(sums: &mut [f64], terms: &[f64]) {
    for (sum, term) in sums.iter_mut().zip(terms) {
        *sum += term;
    }
}
