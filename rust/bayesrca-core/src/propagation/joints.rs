//! Joint probability of every hypothesis with the data, footprint by footprint, forwards and backwards (eq. 2).

use fearless_simd::Level;

use super::hypotheses::{ByMode, kind_prior, kind_prior_backward};
use super::likelihood::{Likelihood, NEGLIGIBLE, Workspace};
use super::range::split_scale;
use crate::elementary::{exp_all, ln_all};
use crate::params::{CODE, CRASH, ERRORS, LINK, LOAD, N_FAMILIES, N_KINDS, Natural, RESOURCE};

/// How a fault of a kind shows in the vitals of its component: it disturbs it, or lies there.
fn vital_way(kind: usize) -> usize {
    match kind {
        RESOURCE => 1,
        LOAD => 2,
        LINK => 3,
        CODE => 4,
        _ => 0,
    }
}

impl Workspace {
    /// Factor of each family when a fault does not show there and when it does, `[family][shows]`, each family over
    /// `exp` of the positive part of its source's `common`, which gives the scales.
    fn shown(
        &self,
        sources: [usize; N_FAMILIES],
        scales: &[(f64, f64); N_FAMILIES],
        (s, k): (usize, usize),
    ) -> [[f64; 2]; N_FAMILIES] {
        [0, 1].map(|f| {
            [
                self.alarm[f][k] * scales[f].0,
                self.gain[f][sources[f] * s + k] * scales[f].1,
            ]
        })
    }

    fn scales(&self, sources: [usize; N_FAMILIES]) -> [(f64, f64); N_FAMILIES] {
        [0, 1].map(|f| split_scale(self.common[f][sources[f]]))
    }

    /// Fill the vitals' factors of every root.
    fn fill_vitals(&mut self, (n, s): (usize, usize), level: Level) {
        let log = &self.vitals.log;
        self.vital.clear();
        self.most_vital.clear();
        for (own, path) in [
            (&log.disturbed, &log.path),
            (&log.resource, &log.path),
            (&log.load, &log.load_path),
            (&log.link, &log.path),
            (&log.code, &log.path),
        ] {
            for root in 0..n {
                let row = root * s..(root + 1) * s;
                let terms = own[row.clone()].iter().zip(&path[row]).map(|(a, b)| a + b);
                let most = terms.clone().fold(f64::NEG_INFINITY, f64::max);
                self.vital.extend(terms.map(|t| t - most));
                self.most_vital.push(most);
            }
        }
        exp_all(&mut self.vital, level);
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
            CODE => d.code[at] += g,
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
        let single = log_some + (self.sets.size_prior(1) / self.singles_total(theta, w)).ln();
        self.fill_singles(theta, single + highest, w);
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

    /// Factor on a component being the only root in a footprint, from its presence and that of those it calls.
    pub(super) fn presence(&self, kind: usize, at: usize) -> f64 {
        match kind {
            CRASH => self.crash_factor[at],
            ERRORS | CODE => self.root_factor[at] * self.uncalled[at],
            _ => self.root_factor[at],
        }
    }

    /// Append the joints of every single cause; `log_prior` is common to all.
    fn fill_singles(&self, theta: &Natural, log_prior: f64, w: &mut Workspace) {
        let s = self.s;
        w.fill_vitals((self.n, s), self.level);
        let log_kind: [f64; N_KINDS] = std::array::from_fn(|kind| kind_prior(theta, kind).ln());
        w.by_footprint.resize(N_KINDS * self.n * s, 0.0);
        for h in 0..N_KINDS * self.n {
            let (root, kind) = (h / N_KINDS, h % N_KINDS);
            let sources = self.single_sources(root, kind);
            let scales = w.scales(sources);
            let m = w.modes[self.ways[h]].weight;
            let row = vital_way(kind) * self.n + root;
            let mut sum = 0.0;
            for k in 0..s {
                let [latency, errors] = w.shown(sources, &scales, (s, k));
                let of = |l: usize| m[l][0] * errors[0] + m[l][1] * errors[1];
                let t = latency[0] * of(0) + latency[1] * of(1);
                let outside = self.presence(kind, root * s + k) * w.background[k];
                let term = t * w.vital[row * s + k] * outside;
                w.by_footprint[h * s + k] = term;
                sum += term;
            }
            w.joint.push(sum);
            let common = |f: usize| w.common[f][sources[f]].max(0.0);
            let prior = log_prior + log_kind[kind] + self.log_joint_weight[h];
            let told = w.traces.log.single[h] + self.alerts.of_root(root);
            w.log_scale
                .push(w.most_vital[row] + common(0) + common(1) + told + prior);
        }
        ln_all(&mut w.joint, self.level);
        for (joint, scale) in w.joint.iter_mut().zip(&w.log_scale) {
            *joint += scale;
        }
    }

    /// Sum of the unnormalised prior weights of all single causes.
    fn singles_total(&self, theta: &Natural, w: &Workspace) -> f64 {
        let weights = self.way_weight.iter().zip(&w.modes).enumerate();
        weights
            .map(|(way, (weight, m))| kind_prior(theta, way / 4) * weight * m.total())
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
        let mut shares: Vec<f64> = w.joint[..singles].iter().map(|j| j - total).collect();
        exp_all(&mut shares, self.level);
        for (h, share) in shares.into_iter().enumerate() {
            single_weight += share;
            if share > NEGLIGIBLE {
                self.single_backward(theta, h, total, w, gradient);
                kind_prior_backward(theta, h % N_KINDS, share, gradient);
            }
        }
        self.singles_prior_backward(theta, single_weight, w, gradient);
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
        let (m, scales) = (w.modes[self.ways[h]], w.scales(sources));
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
            w.traces.adjoint.single[h] += r;
            let [latency, errors] = w.shown(sources, &scales, (s, k));
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
    fn singles_prior_backward(
        &self,
        theta: &Natural,
        weight: f64,
        w: &Workspace,
        gradient: &mut Natural,
    ) {
        let g = -weight / self.singles_total(theta, w);
        for (way, m) in w.modes.iter().enumerate() {
            let p = kind_prior(theta, way / 4) * self.way_weight[way];
            m.backward(theta, way / 4, &[[g * p; 2]; 2], gradient);
            kind_prior_backward(theta, way / 4, g * p * m.total(), gradient);
        }
    }
}
