//! Joint probability of every hypothesis with the data, footprint by footprint, forwards and backwards (eq. 2).

use fearless_simd::Level;

use super::hypotheses::{ByMode, N_WAYS, kind_prior, kind_prior_backward};
use super::likelihood::{Likelihood, NEGLIGIBLE, Workspace};
use super::range::split_scale;
use crate::elementary::{exp_all, ln_all};
use crate::params::{CODE, CRASH, ERRORS, LINK, LOAD, N_FAMILIES, N_KINDS, Natural, RESOURCE};

/// What the families contribute where a fault does not show in them and where it does, `[family][shows]`.
type Shown = [[f64; 2]; N_FAMILIES];

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
    ) -> Shown {
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
        w.sum.clear();
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
        w.sum.push(sum);
        w.joint.push(sum.ln() + log_scale);
    }

    /// Fill the posterior share of every hypothesis; return the logarithm of all joints together.
    pub(super) fn fill_shares(&self, w: &mut Workspace) -> f64 {
        let most = w.joint.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        w.share.clear();
        if !most.is_finite() {
            w.share.resize(w.joint.len(), 0.0);
            return most;
        }
        w.share.extend(w.joint.iter().map(|j| j - most));
        exp_all(&mut w.share, self.level);
        let sum: f64 = w.share.iter().sum();
        let per = 1.0 / sum;
        w.share.iter_mut().for_each(|share| *share *= per);
        most + sum.ln()
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
        for root in 0..self.n {
            // All kinds but the link start from the same two sources.
            let common = self.single_sources(root, CODE);
            let link = self.single_sources(root, LINK);
            let scales = [w.scales(common), w.scales(link)];
            let logs = [common, link].map(|sources| {
                (0..N_FAMILIES)
                    .map(|f| w.common[f][sources[f]].max(0.0))
                    .sum()
            });
            for kind in 0..N_KINDS {
                let (h, linked) = (root * N_KINDS + kind, usize::from(kind == LINK));
                let sources = [common, link][linked];
                let modes = &w.modes[self.ways[h]].weight;
                let row = vital_way(kind) * self.n + root;
                let mut sum = 0.0;
                for k in 0..s {
                    let [latency, errors] = w.shown(sources, &scales[linked], (s, k));
                    let of = |l: usize| modes[l][0] * errors[0] + modes[l][1] * errors[1];
                    let t = latency[0] * of(0) + latency[1] * of(1);
                    let outside = self.presence(kind, root * s + k) * w.background[k];
                    let term = t * w.vital[row * s + k] * outside;
                    w.by_footprint[h * s + k] = term;
                    sum += term;
                }
                w.sum.push(sum);
                let prior = log_prior + log_kind[kind] + self.log_joint_weight[h];
                let told = w.traces.log.single[h] + self.alerts.of_root(root);
                let common: f64 = logs[linked];
                w.log_scale.push(w.most_vital[row] + common + told + prior);
            }
        }
        w.joint.extend_from_slice(&w.sum);
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
        w: &mut Workspace,
        gradient: &mut Natural,
    ) {
        let (s, singles) = (self.s, N_KINDS * self.n);
        let mut by_kind = [0.0; N_KINDS];
        let mut d_modes = [ByMode::default(); N_WAYS];
        for h in 0..singles {
            let share = w.share[h];
            by_kind[h % N_KINDS] += share;
            if share > NEGLIGIBLE {
                self.single_backward(h, share, w, &mut d_modes[self.ways[h]]);
            }
        }
        for (kind, &share) in by_kind.iter().enumerate() {
            kind_prior_backward(theta, kind, share, gradient);
        }
        for (way, (modes, d)) in w.modes.iter().zip(&d_modes).enumerate() {
            modes.backward(theta, way / 4, d, gradient);
        }
        self.singles_prior_backward(theta, by_kind.iter().sum(), w, gradient);
        self.sets_backward(theta, w, gradient);
        let none = w.joint.len() - 1;
        let weight = w.share[none] / w.sum[none];
        for k in (0..s).filter(|_| w.share[none] > 0.0) {
            let r = w.by_footprint[none * s + k] * weight;
            w.footprint_weight[k] += r;
            w.alarm_alone[0][k] += r;
            w.alarm_alone[1][k] += r;
            w.vitals.adjoint.alone[k] += r;
        }
    }

    /// Add the adjoints behind one single cause, of which the posterior has a `share`.
    pub(super) fn single_backward(
        &self,
        h: usize,
        share: f64,
        w: &mut Workspace,
        d_weight: &mut ByMode,
    ) {
        let (root, kind, s) = (h / N_KINDS, h % N_KINDS, self.s);
        let sources = self.single_sources(root, kind);
        let scales = w.scales(sources);
        let modes = w.modes[self.ways[h]].weight;
        let weight = share / w.sum[h];
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
            let parts = latency.map(|l| errors.map(|e| l * e));
            let inner: f64 = (0..4)
                .map(|m| modes[m / 2][m % 2] * parts[m / 2][m % 2])
                .sum();
            let per = r / inner;
            let share = |l: usize, e: usize| per * parts[l][e] * modes[l][e];
            for l in 0..2 {
                for e in 0..2 {
                    d_weight[l][e] += per * parts[l][e];
                }
            }
            w.alarm_alone[0][k] += share(0, 0) + share(0, 1);
            w.alarm_alone[1][k] += share(0, 0) + share(1, 0);
            w.gain_adjoint[0][sources[0] * s + k] += share(1, 0) + share(1, 1);
            w.gain_adjoint[1][sources[1] * s + k] += share(0, 1) + share(1, 1);
        }
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
