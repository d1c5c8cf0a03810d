//! Spans and logs in the likelihood: how a fault shows in the roots' own paths and times, in those of whoever calls
//! them or is called, and on the edges between them (eq. 21 to 24).
//!
//! Every cell is a log Bayes factor with a quiet law of its own, and every factor a mixture of ratios of mean one under
//! it, so that nothing is gained by having more cells.

mod groups;
mod laws;
mod profiles;

use groups::{Calls, Groups, Member, Numbering};
use laws::{PATTERNS, Quiet, TIMES, halfway, shown};
use profiles::{MIX, N_GROUPS, N_PROFILES, PROFILES, SHARE, TERMINAL_OUT, set_group};

use crate::evidence::TraceEvidence;
use crate::params::{N_KINDS, Natural};

/// Prior weight of a fault in the code of a component of whose own spans and logs nothing can be told, against others.
const UNSEEN: f64 = 0.35;

/// Probability that a component that behaves otherwise no longer calls one of those it used to call, unknown which.
const NOT_CALLED: f64 = 0.4;

/// The prepared spans and logs of an incident.
#[derive(Debug, Clone)]
pub(crate) struct Traces {
    at: Numbering,
    /// Log Bayes factor of each cell, NaN where there is nothing to tell.
    cells: Vec<f64>,
    /// Density ratio of a small change to none.
    little: Vec<f64>,
    known: Vec<bool>,
    seen: Vec<bool>,
    calls: Calls,
    /// Groups around each source: every component, then the sets.
    groups: Vec<Groups>,
}

/// Scratch of one theta: logarithms over the background, and their adjoints.
#[derive(Debug, Default)]
pub(crate) struct TraceScratch {
    /// Log ratio of "shows the fault" to quiet of every cell; 0 where there is nothing to tell.
    log_ratio: Vec<f64>,
    /// Derivatives of the log quiet law, weak and strong.
    slope: Vec<[f64; 2]>,
    /// Log ratio of every group if it shows the fault, `[source * N_GROUPS + group]`.
    group: Vec<f64>,
    /// Log factor of each profile, `[root * N_PROFILES + profile]`: of the root's own cells, of everything.
    own: Vec<f64>,
    all: Vec<f64>,
    pub log: TraceLogs,
    /// Adjoints of `log`, filled by the caller.
    pub adjoint: TraceLogs,
}

/// Log factors over the background.
#[derive(Debug, Default)]
pub(crate) struct TraceLogs {
    /// Of a single cause, `[root * N_KINDS + kind]`.
    pub single: Vec<f64>,
    /// Of the own cells of a root among several, laid out likewise.
    pub member: Vec<f64>,
    /// Of everything around a set of causes.
    pub set: Vec<f64>,
}

impl TraceLogs {
    fn reset(&mut self, singles: usize, sets: usize) {
        let parts = [
            (&mut self.single, singles),
            (&mut self.member, singles),
            (&mut self.set, sets),
        ];
        for (v, length) in parts {
            v.clear();
            v.resize(length, 0.0);
        }
    }
}

impl Traces {
    /// Prepare what was traced of `n` components.
    pub fn new(e: Option<&TraceEvidence>, n: usize) -> Self {
        let nothing = TraceEvidence {
            own_pattern: vec![f64::NAN; n],
            own_self_time: vec![f64::NAN; n],
            ..TraceEvidence::default()
        };
        let e = e.unwrap_or(&nothing);
        let cells = [
            &e.own_pattern[..],
            &e.own_self_time,
            &e.gap,
            &e.terminal,
            &e.order,
        ]
        .concat();
        let known: Vec<bool> = cells.iter().map(|l| !l.is_nan()).collect();
        let mut out = Self {
            at: Numbering {
                n,
                e: e.edges.len(),
            },
            seen: (0..n).map(|i| known[i] || known[n + i]).collect(),
            little: cells.iter().map(|&l| halfway(l)).collect(),
            cells,
            known,
            calls: Calls::new(e),
            groups: Vec::new(),
        };
        for root in 0..n {
            out.add_source(&[root]);
        }
        out
    }

    /// Prepare a further source: a set of roots.
    pub fn add_source(&mut self, roots: &[usize]) {
        let groups = self.calls.groups(roots, &self.known, self.at);
        self.groups.push(groups);
    }

    /// Forget the sources added since.
    pub fn drop_sets(&mut self) {
        self.groups.truncate(self.at.n);
    }

    /// Prior weight of a fault in the code of a component: none where nothing at all can be told.
    pub fn code_weight(&self, i: usize) -> f64 {
        if !self.known.contains(&true) {
            0.0
        } else if self.seen[i] {
            1.0
        } else {
            UNSEEN
        }
    }

    /// Whether calls to a component are known and none can be said to be cut short or not: it is hardly called.
    pub fn untold(&self, i: usize) -> bool {
        let into = self.calls.calls_to(i);
        !into.is_empty() && into.iter().all(|&edge| !self.known[self.at.terminal(edge)])
    }

    /// Whether some call to a component is timed at both ends, so that a slow way to it would show as such.
    pub fn times_calls_to(&self, i: usize) -> bool {
        self.calls
            .calls_to(i)
            .iter()
            .any(|&edge| self.known[self.at.gap(edge)])
    }

    /// Factor on the silence of those whom a component calls, `[component * s + footprint]`, when it behaves
    /// otherwise: it may no longer call them. `crash`: density ratio of "fell silent" to quiet, laid out likewise.
    pub fn uncalled(&self, crash: &[f64], s: usize) -> Vec<f64> {
        (0..self.at.n * s)
            .map(|at| {
                let ratio = |callee: usize| crash[callee * s + at % s];
                let callees = self.calls.callees(at / s);
                let count = callees.clone().count().max(1) as f64;
                let one: f64 = callees.map(|c| (ratio(c) - 1.0) / count).sum();
                1.0 + NOT_CALLED * one
            })
            .collect()
    }

    fn family(&self, cell: usize) -> usize {
        let times = self.at.own(1, 0)..self.at.terminal(0);
        if times.contains(&cell) {
            TIMES
        } else {
            PATTERNS
        }
    }

    /// Evaluate everything; return the log density of all cells if nobody were at fault, over that if nothing changed.
    pub fn forward(&self, theta: &Natural, x: &mut TraceScratch) -> f64 {
        let n = self.at.n;
        x.log.reset(N_KINDS * n, self.groups.len() - n);
        if !self.known.contains(&true) {
            return 0.0;
        }
        let log_quiet = self.fill_ratios(theta, x);
        x.group.clear();
        for groups in &self.groups {
            for (g, members) in groups.iter().enumerate() {
                x.group.push(group_log(g, members, &x.log_ratio));
            }
        }
        x.own.clear();
        x.all.clear();
        for root in 0..n {
            for profile in &PROFILES {
                let own: f64 = (0..2)
                    .map(|f| shown(profile.own[f], x.log_ratio[self.at.own(f, root)]).0)
                    .sum();
                let around: f64 = (0..N_GROUPS)
                    .map(|g| shown(profile.group[g], x.group[root * N_GROUPS + g]).0)
                    .sum();
                x.own.push(own);
                x.all.push(own + around);
            }
            let row = root * N_PROFILES..(root + 1) * N_PROFILES;
            for (kind, mix) in MIX.iter().enumerate() {
                x.log.single[root * N_KINDS + kind] = mixture(mix, &x.all[row.clone()]);
                x.log.member[root * N_KINDS + kind] = mixture(mix, &x.own[row.clone()]);
            }
        }
        for p in 0..self.groups.len() - n {
            x.log.set[p] = (0..N_GROUPS)
                .map(|g| shown(set_group(g), x.group[(n + p) * N_GROUPS + g]).0)
                .sum();
        }
        log_quiet
    }

    fn fill_ratios(&self, theta: &Natural, x: &mut TraceScratch) -> f64 {
        x.log_ratio.clear();
        x.slope.clear();
        let mut log_quiet = 0.0;
        for (cell, &l) in self.cells.iter().enumerate() {
            if !self.known[cell] {
                x.log_ratio.push(0.0);
                x.slope.push([0.0; 2]);
                continue;
            }
            let quiet = Quiet::new(theta, self.family(cell), l, self.little[cell]);
            x.log_ratio.push(l - quiet.log);
            x.slope.push([quiet.d_weak, quiet.d_strong]);
            log_quiet += quiet.log;
        }
        log_quiet
    }

    /// Set the adjoints to zero.
    pub fn reset_adjoints(&self, x: &mut TraceScratch) {
        let n = self.at.n;
        x.adjoint.reset(N_KINDS * n, self.groups.len() - n);
    }

    /// Add the gradient of the log likelihood, given the adjoints of every log factor.
    pub fn backward(&self, x: &TraceScratch, gradient: &mut Natural) {
        if !self.known.contains(&true) {
            return;
        }
        let n = self.at.n;
        // Of each cell's log ratio. The background holds the quiet law of every cell.
        let mut d_ratio = vec![0.0; self.at.len()];
        let mut d_group = vec![0.0; x.group.len()];
        for root in 0..n {
            let (mut d_own, mut d_all) = ([0.0; N_PROFILES], [0.0; N_PROFILES]);
            let row = root * N_PROFILES..(root + 1) * N_PROFILES;
            for (kind, mix) in MIX.iter().enumerate() {
                let h = root * N_KINDS + kind;
                let (single, member) = (x.adjoint.single[h], x.adjoint.member[h]);
                for p in 0..N_PROFILES {
                    let part = |log: &[f64], total: f64| mix[p] * (log[p] - total).exp();
                    if mix[p] > 0.0 {
                        d_all[p] += single * part(&x.all[row.clone()], x.log.single[h]);
                        d_own[p] += member * part(&x.own[row.clone()], x.log.member[h]);
                    }
                }
            }
            for (p, profile) in PROFILES.iter().enumerate() {
                for f in 0..2 {
                    let cell = self.at.own(f, root);
                    let slope = shown(profile.own[f], x.log_ratio[cell]).1;
                    d_ratio[cell] += (d_own[p] + d_all[p]) * slope;
                }
                for g in 0..N_GROUPS {
                    let at = root * N_GROUPS + g;
                    d_group[at] += d_all[p] * shown(profile.group[g], x.group[at]).1;
                }
            }
        }
        for (p, d) in x.adjoint.set.iter().enumerate() {
            for g in 0..N_GROUPS {
                let at = (n + p) * N_GROUPS + g;
                d_group[at] += d * shown(set_group(g), x.group[at]).1;
            }
        }
        for (source, groups) in self.groups.iter().enumerate() {
            for (g, members) in groups.iter().enumerate() {
                let d = d_group[source * N_GROUPS + g];
                if d > 0.0 {
                    group_backward(g, members, &x.log_ratio, d, &mut d_ratio);
                }
            }
        }
        for cell in (0..self.at.len()).filter(|&cell| self.known[cell]) {
            let (family, quiet) = (self.family(cell), 1.0 - d_ratio[cell]);
            gradient.trace_weak[family] += quiet * x.slope[cell][0];
            gradient.trace_strong[family] += quiet * x.slope[cell][1];
        }
    }

    /// Log ratio of "shows the fault" to quiet of every cell given theta, NaN where there is nothing to tell: own
    /// patterns and own times by component, then gap, truncation and order by edge.
    pub fn log_ratios(&self, theta: &Natural) -> Vec<f64> {
        let ratio = |(cell, &l): (usize, &f64)| {
            l - Quiet::new(theta, self.family(cell), l, self.little[cell]).log
        };
        self.cells.iter().enumerate().map(ratio).collect()
    }

    /// Probability that a root shows its fault in its own patterns, given theta, all cells and the kind of a single
    /// cause, `[root * N_KINDS + kind]`; NaN where these tell nothing.
    pub fn own_patterns_shown(&self, theta: &Natural) -> Vec<f64> {
        let mut x = TraceScratch::default();
        self.forward(theta, &mut x);
        let mut out = vec![f64::NAN; self.at.n * N_KINDS];
        for root in (0..self.at.n).filter(|&root| self.known[self.at.own(0, root)]) {
            let log_ratio = x.log_ratio[self.at.own(0, root)];
            for (kind, mix) in MIX.iter().enumerate() {
                let total = x.log.single[root * N_KINDS + kind];
                let each = PROFILES.iter().enumerate().map(|(p, profile)| {
                    let given = mix[p] * (x.all[root * N_PROFILES + p] - total).exp();
                    given * shown(profile.own[0], log_ratio).1
                });
                out[root * N_KINDS + kind] = each.sum();
            }
        }
        out
    }
}

/// Log ratio of a member that shows the fault: its cell's, and the mean of what errors did on its way to the roots.
fn member_log(member: &Member, log_ratio: &[f64]) -> f64 {
    let own = member.cell.map_or(0.0, |cell| log_ratio[cell]);
    if member.orders.is_empty() {
        return own;
    }
    let sum: f64 = member.orders.iter().map(|&o| log_ratio[o].exp()).sum();
    own + (sum / member.orders.len() as f64).ln()
}

/// Log ratio of a group that shows the fault: each member does or does not, or exactly one does.
fn group_log(group: usize, members: &[Member], log_ratio: &[f64]) -> f64 {
    let logs = members.iter().map(|m| member_log(m, log_ratio));
    if group != TERMINAL_OUT {
        return logs.map(|l| shown(SHARE[group], l).0).sum();
    }
    if members.is_empty() {
        return 0.0;
    }
    let sum: f64 = logs.map(f64::exp).sum();
    (sum / members.len() as f64).ln()
}

fn group_backward(
    group: usize,
    members: &[Member],
    log_ratio: &[f64],
    d: f64,
    d_ratio: &mut [f64],
) {
    let log_total = (group == TERMINAL_OUT)
        .then(|| group_log(group, members, log_ratio) + (members.len() as f64).ln());
    for member in members {
        let log = member_log(member, log_ratio);
        let share = d * log_total.map_or_else(|| shown(SHARE[group], log).1, |t| (log - t).exp());
        if let Some(cell) = member.cell {
            d_ratio[cell] += share;
        }
        // Of the mean over orders: what the member has beyond its own cell.
        let own = member.cell.map_or(0.0, |cell| log_ratio[cell]);
        for &o in &member.orders {
            let mean = (log_ratio[o] - (log - own)).exp();
            d_ratio[o] += share * mean / member.orders.len() as f64;
        }
    }
}

/// `ln sum_p mix_p exp(log_p)`.
fn mixture(mix: &[f64; N_PROFILES], log: &[f64]) -> f64 {
    let parts = mix.iter().zip(log).filter(|(m, _)| **m > 0.0);
    let most = parts
        .clone()
        .map(|(_, l)| *l)
        .fold(f64::NEG_INFINITY, f64::max);
    most + parts.map(|(m, l)| m * (l - most).exp()).sum::<f64>().ln()
}
