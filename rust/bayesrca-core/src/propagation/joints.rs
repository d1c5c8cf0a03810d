//! Joint probability of every hypothesis with the data, footprint by footprint, forwards and backwards (eq. 2).

use super::hypotheses::{ByMode, kind_prior, kind_prior_backward};
use super::likelihood::{Likelihood, NEGLIGIBLE, Workspace};
use super::range::split_scale;
use crate::params::{CRASH, LINK, LOAD, N_FAMILIES, N_KINDS, Natural, RESOURCE};

impl Workspace {
    /// Factor of each family when a fault does not show there and when it does, `[family][shows]`, each family over
    /// `exp` of the positive part of its source's `common`.
    fn shown(&self, sources: [usize; N_FAMILIES], s: usize, k: usize) -> [[f64; 2]; N_FAMILIES] {
        [0, 1].map(|f| {
            let (rest, shared) = split_scale(self.common[f][sources[f]]);
            [
                self.alarm[f][k] * rest,
                self.gain[f][sources[f] * s + k] * shared,
            ]
        })
    }

    /// Log factor of the vitals for a fault of a kind.
    fn vital(&self, kind: usize, at: usize) -> f64 {
        let log = &self.vitals.log;
        match kind {
            RESOURCE => log.resource[at] + log.path[at],
            LOAD => log.load[at] + log.load_path[at],
            LINK => log.link[at] + log.path[at],
            _ => log.disturbed[at] + log.path[at],
        }
    }

    fn vital_adjoint(&mut self, kind: usize, at: usize, g: f64) {
        let d = &mut self.vitals.adjoint;
        match kind {
            RESOURCE => d.resource[at] += g,
            LOAD => {
                d.load[at] += g;
                d.load_path[at] += g;
                return;
            }
            LINK => d.link[at] += g,
            _ => d.disturbed[at] += g,
        }
        d.path[at] += g;
    }
}

impl Likelihood {
    pub(super) fn fill_joints(&self, theta: &Natural, w: &mut Workspace) {
        let s = self.s;
        w.joint.clear();
        w.log_scale.clear();
        w.by_footprint.clear();
        let background = &mut w.background;
        let highest = background.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        for b in background {
            *b = (*b - highest).exp();
        }
        let log_some = (1.0 - self.none_prior).ln();
        let single = log_some + (self.sets.size_prior(1) / self.singles_total(theta)).ln();
        for h in 0..N_KINDS * self.n {
            let log_scale = single + highest + self.single_terms(theta, h, w);
            self.close(h, log_scale, w);
        }
        self.fill_sets(theta, log_some + highest, w);
        let none = w.joint.len();
        let alone = &w.vitals.log.alone;
        let most = alone.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        for k in 0..s {
            let vital = (alone[k] - most).exp();
            w.by_footprint
                .push(w.alarm[0][k] * w.alarm[1][k] * vital * w.background[k]);
        }
        self.close(none, self.none_prior.ln() + highest + most, w);
    }

    /// Sum a hypothesis over its footprints.
    pub(super) fn close(&self, h: usize, log_scale: f64, w: &mut Workspace) {
        let sum: f64 = w.by_footprint[h * self.s..].iter().sum();
        w.log_scale.push(log_scale);
        w.joint.push(sum.ln() + log_scale);
    }

    /// Sources of the two families for a single cause.
    pub(super) fn single_sources(&self, root: usize, kind: usize) -> [usize; N_FAMILIES] {
        [
            if kind == LINK {
                self.link_source(root)
            } else {
                root
            },
            root,
        ]
    }

    /// Factor on a component being the root in a footprint, from its presence.
    pub(super) fn presence(&self, kind: usize, at: usize) -> f64 {
        if kind == CRASH {
            self.crash_factor[at]
        } else {
            self.root_factor[at]
        }
    }

    /// Append the terms of a single cause by footprint, over `exp` of what is returned.
    fn single_terms(&self, theta: &Natural, h: usize, w: &mut Workspace) -> f64 {
        let (root, kind, s) = (h / N_KINDS, h % N_KINDS, self.s);
        let sources = self.single_sources(root, kind);
        let m = self.modes(theta, root, kind);
        let most = (root * s..(root + 1) * s)
            .map(|at| w.vital(kind, at))
            .fold(f64::NEG_INFINITY, f64::max);
        for k in 0..s {
            let at = root * s + k;
            let [latency, errors] = w.shown(sources, s, k);
            let mut t = 0.0;
            for l in 0..2 {
                for e in 0..2 {
                    t += m.weight[l][e] * latency[l] * errors[e];
                }
            }
            let vital = (w.vital(kind, at) - most).exp();
            w.by_footprint
                .push(t * vital * self.presence(kind, at) * w.background[k]);
        }
        let common = |f: usize| w.common[f][sources[f]].max(0.0);
        let prior = kind_prior(theta, kind) * self.joint_weight[h];
        most + common(0) + common(1) + prior.ln()
    }

    /// Sum of the unnormalised prior weights of all single causes.
    fn singles_total(&self, theta: &Natural) -> f64 {
        (0..N_KINDS * self.n)
            .map(|h| {
                let (root, kind) = (h / N_KINDS, h % N_KINDS);
                let weight = self.modes(theta, root, kind).total() * self.prior_weight[h];
                kind_prior(theta, kind) * weight
            })
            .sum()
    }

    /// Fill the adjoints of everything below the joints, of the log likelihood.
    pub(super) fn joints_backward(
        &self,
        theta: &Natural,
        total: f64,
        w: &mut Workspace,
        gradient: &mut Natural,
    ) {
        let (s, singles) = (self.s, N_KINDS * self.n);
        let mut single_weight = 0.0;
        for h in 0..singles {
            let share = (w.joint[h] - total).exp();
            single_weight += share;
            if share > NEGLIGIBLE {
                self.single_backward(theta, h, total, w, gradient);
                kind_prior_backward(theta, h % N_KINDS, share, gradient);
            }
        }
        self.singles_prior_backward(theta, single_weight, gradient);
        self.sets_backward(theta, total, w, gradient);
        let none = w.joint.len() - 1;
        for k in 0..s {
            let r = w.by_footprint[none * s + k] * (w.log_scale[none] - total).exp();
            w.footprint_weight[k] += r;
            w.alarm_alone[0][k] += r;
            w.alarm_alone[1][k] += r;
            w.vitals.adjoint.alone[k] += r;
        }
    }

    pub(super) fn single_backward(
        &self,
        theta: &Natural,
        h: usize,
        total: f64,
        w: &mut Workspace,
        gradient: &mut Natural,
    ) {
        let (root, kind, s) = (h / N_KINDS, h % N_KINDS, self.s);
        let sources = self.single_sources(root, kind);
        let m = self.modes(theta, root, kind);
        let weight = (w.log_scale[h] - total).exp();
        let mut d_weight: ByMode = [[0.0; 2]; 2];
        for k in 0..s {
            let at = root * s + k;
            let r = w.by_footprint[h * s + k] * weight;
            if r < NEGLIGIBLE {
                continue;
            }
            w.footprint_weight[k] += r;
            w.vital_adjoint(kind, at, r);
            let [latency, errors] = w.shown(sources, s, k);
            let mut parts: ByMode = [[0.0; 2]; 2];
            let mut inner = 0.0;
            for l in 0..2 {
                for e in 0..2 {
                    parts[l][e] = latency[l] * errors[e];
                    inner += m.weight[l][e] * parts[l][e];
                }
            }
            for l in 0..2 {
                for e in 0..2 {
                    let part = r * parts[l][e] / inner;
                    d_weight[l][e] += part;
                    let share = part * m.weight[l][e];
                    for (f, shows) in [l, e].into_iter().enumerate() {
                        if shows == 1 {
                            w.gain_adjoint[f][sources[f] * s + k] += share;
                        } else {
                            w.alarm_alone[f][k] += share;
                        }
                    }
                }
            }
        }
        m.backward(theta, kind, &d_weight, gradient);
    }

    /// Gradient of `-weight * ln singles_total`.
    fn singles_prior_backward(&self, theta: &Natural, weight: f64, gradient: &mut Natural) {
        let g = -weight / self.singles_total(theta);
        for h in 0..N_KINDS * self.n {
            let (root, kind) = (h / N_KINDS, h % N_KINDS);
            let p = kind_prior(theta, kind) * self.prior_weight[h];
            let m = self.modes(theta, root, kind);
            m.backward(theta, kind, &[[g * p; 2]; 2], gradient);
            kind_prior_backward(theta, kind, g * p * m.total(), gradient);
        }
    }
}
