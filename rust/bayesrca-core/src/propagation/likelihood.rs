//! The likelihood of theta with the root cause summed out, its gradient, and the root posterior given theta.

use rayon::prelude::*;

use super::hypotheses::{
    Modes, ResourceModes, kind_prior, kind_prior_backward, modes, modes_backward,
};
use super::range::{log_sum_exp, split_scale};
use super::spread::{Spread, SpreadScratch};
use super::vitals::{VitalScratch, Vitals};
use crate::error::{Error, Result};
use crate::evidence::Evidence;
use crate::params::{N_FAMILIES, N_KINDS, N_PARAMETERS, Natural, RESOURCE};

/// Joint weights below this share of the total are left out of the gradient (never of the value).
///
/// Hamiltonian dynamics with a slightly truncated gradient stay reversible and volume-preserving, and the acceptance
/// uses the value: the sampler's target is not changed.
const NEGLIGIBLE: f64 = 1e-10;

/// The likelihood of one incident, prepared once and evaluated at many theta.
///
/// Hypotheses are numbered `3 * component + kind` (kind 0 latency, 1 errors, 2 resource); the last one is "none of
/// these".
#[derive(Debug, Clone)]
pub struct Likelihood {
    n: usize,
    s: usize,
    footprint_log_prior: Vec<f64>,
    root_factor: Vec<f64>,
    alarm: Option<usize>,
    none_prior: f64,
    families: [Spread; N_FAMILIES],
    vitals: Vitals,
}

/// Scratch memory of one thread; grows to the largest incident it has seen.
#[derive(Debug, Default)]
pub struct Workspace {
    families: [SpreadScratch; N_FAMILIES],
    vitals: VitalScratch,
    /// `G_f(root, footprint)` over `exp(common)`, `[root * s + footprint]`.
    gain: [Vec<f64>; N_FAMILIES],
    common: [Vec<f64>; N_FAMILIES],
    /// Adjoint of `ln G`.
    gain_adjoint: [Vec<f64>; N_FAMILIES],
    /// Log background plus footprint prior; after `fill_joints` its exponential, relative to the largest.
    background: Vec<f64>,
    /// Alarm factor of a family no modelled fault spreads in, `[family][footprint]`.
    alarm: [Vec<f64>; N_FAMILIES],
    /// Log joint of each hypothesis (prior included, normaliser of the prior not).
    joint: Vec<f64>,
    /// Joint of each (hypothesis, footprint) over `exp(log_scale[hypothesis])`.
    by_footprint: Vec<f64>,
    log_scale: Vec<f64>,
    /// Posterior weight of each footprint, and of each family's alarm factor standing alone.
    footprint_weight: Vec<f64>,
    alarm_alone: [Vec<f64>; N_FAMILIES],
}

impl Workspace {
    /// Factor of each family when a fault at `root` does not show there and when it does, `[family][shows]`, each
    /// family over `exp` of the positive part of its `common`.
    fn shown(&self, at: usize, root: usize, k: usize) -> [[f64; 2]; N_FAMILIES] {
        [0, 1].map(|f| {
            let (rest, shared) = split_scale(self.common[f][root]);
            [self.alarm[f][k] * rest, self.gain[f][at] * shared]
        })
    }
}

impl Likelihood {
    /// Prepare an incident.
    ///
    /// `none_prior` is the prior probability of "none of these"; `max_width` bounds the components open at once in
    /// the exact sum over affected sets.
    ///
    /// # Errors
    /// `InvalidEvidence` for inconsistent arrays or a prior outside (0, 1); `GraphTooWide` past the width limit.
    pub fn new(evidence: &Evidence, none_prior: f64, max_width: usize) -> Result<Self> {
        evidence.validate()?;
        if !(none_prior > 0.0 && none_prior < 1.0) {
            return Err(Error::evidence("none_prior", "must be in (0, 1)"));
        }
        let (n, s) = (evidence.n_components, evidence.n_footprints());
        let family = |f: usize| {
            let alarm = evidence.target.filter(|_| evidence.alarm_family == Some(f));
            Spread::new(
                &evidence.families[f],
                f,
                (n, s),
                alarm,
                evidence.target,
                max_width,
            )
        };
        let edges: Vec<_> = evidence
            .families
            .iter()
            .flat_map(|f| f.edges.iter().copied())
            .collect();
        Ok(Self {
            n,
            s,
            footprint_log_prior: evidence.footprint_log_prior.clone(),
            root_factor: evidence.root_log_factor.iter().map(|l| l.exp()).collect(),
            alarm: evidence.alarm_family,
            none_prior,
            families: [family(0)?, family(1)?],
            vitals: Vitals::new(&evidence.vitals, n, s, &edges),
        })
    }

    /// Number of hypotheses: three kinds per component, and "none of these" last.
    #[must_use]
    pub fn n_hypotheses(&self) -> usize {
        N_KINDS * self.n + 1
    }

    /// Number of footprints.
    #[must_use]
    pub fn n_footprints(&self) -> usize {
        self.s
    }

    /// Most components open at once in the exact sum over affected sets.
    #[must_use]
    pub fn width(&self) -> usize {
        self.families.iter().map(Spread::width).max().unwrap_or(0)
    }

    /// Log likelihood of an unconstrained theta, hypotheses summed out.
    pub fn logp(&self, theta: &[f64; N_PARAMETERS], w: &mut Workspace) -> f64 {
        let natural = Natural::from_unconstrained(theta);
        let quiet = self.forward(&natural, w);
        quiet + log_sum_exp(&w.joint)
    }

    /// Log likelihood and its gradient with respect to the unconstrained theta.
    pub fn logp_grad(
        &self,
        theta: &[f64; N_PARAMETERS],
        w: &mut Workspace,
    ) -> (f64, [f64; N_PARAMETERS]) {
        let natural = Natural::from_unconstrained(theta);
        let quiet = self.forward(&natural, w);
        let total = log_sum_exp(&w.joint);
        let gradient = self.backward(&natural, total, w);
        (quiet + total, gradient.chain(&natural))
    }

    /// Log posterior probability of every hypothesis given theta, and the log likelihood of theta.
    pub fn root_log_posterior(
        &self,
        theta: &[f64; N_PARAMETERS],
        w: &mut Workspace,
        out: &mut [f64],
    ) -> f64 {
        let quiet = self.forward(&Natural::from_unconstrained(theta), w);
        let total = log_sum_exp(&w.joint);
        for (o, j) in out.iter_mut().zip(&w.joint) {
            *o = j - total;
        }
        quiet + total
    }

    /// `root_log_posterior` of many theta on the current thread pool; row-major `[draw][hypothesis]`.
    ///
    /// Polls `cancelled` between draws.
    ///
    /// # Errors
    /// `Cancelled` when `cancelled` returned true.
    pub fn root_log_posteriors(
        &self,
        thetas: &[[f64; N_PARAMETERS]],
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<(Vec<f64>, Vec<f64>)> {
        let k = self.n_hypotheses();
        let mut rows = vec![0.0; thetas.len() * k];
        let logp = rows
            .par_chunks_mut(k)
            .zip(thetas)
            .map_init(Workspace::default, |w, (row, theta)| {
                if cancelled() {
                    Err(Error::Cancelled)
                } else {
                    Ok(self.root_log_posterior(theta, w, row))
                }
            })
            .collect::<Result<Vec<f64>>>()?;
        Ok((rows, logp))
    }

    /// Log joint of every (hypothesis, footprint) given theta, row-major; rows sum (in the log) to the hypothesis.
    pub fn footprint_log_joint(&self, theta: &[f64; N_PARAMETERS], w: &mut Workspace) -> Vec<f64> {
        self.forward(&Natural::from_unconstrained(theta), w);
        let joints = w.by_footprint.chunks_exact(self.s).zip(&w.log_scale);
        joints
            .flat_map(|(row, scale)| row.iter().map(move |t| t.ln() + scale))
            .collect()
    }

    /// Log ratio of root to quiet density of every cell given theta, `[family][component * s + footprint]`.
    pub fn own_log_ratios(&self, theta: &[f64; N_PARAMETERS], w: &mut Workspace) -> Vec<f64> {
        let natural = Natural::from_unconstrained(theta);
        let mut out = Vec::with_capacity(N_FAMILIES * self.n * self.s);
        for (f, family) in self.families.iter().enumerate() {
            family.cells.forward(&natural, f, &mut w.families[f].ratios);
            out.extend(w.families[f].ratios.root.iter().map(|r| r.ln()));
        }
        out
    }

    /// Log ratio of "at fault" to quiet density of every vital series given theta, `[series * s + footprint]`; NaN
    /// where missing.
    #[must_use]
    pub fn vital_log_ratios(&self, theta: &[f64; N_PARAMETERS]) -> Vec<f64> {
        self.vitals.log_ratios(&Natural::from_unconstrained(theta))
    }

    /// Probability that each vital family is the one at fault, given theta and a resource fault at a component,
    /// `[(component * N_VITALS + family) * s + footprint]`.
    pub fn families_at_fault(&self, theta: &[f64; N_PARAMETERS], w: &mut Workspace) -> Vec<f64> {
        let theta = Natural::from_unconstrained(theta);
        self.vitals.families_at_fault(&theta, &mut w.vitals)
    }

    /// Fill the joints; return the composite log quiet density.
    fn forward(&self, theta: &Natural, w: &mut Workspace) -> f64 {
        let (n, s) = (self.n, self.s);
        w.background.clear();
        w.background.extend_from_slice(&self.footprint_log_prior);
        let mut log_quiet = 0.0;
        for (f, family) in self.families.iter().enumerate() {
            let x = &mut w.families[f];
            log_quiet += family.start(theta, x, &mut w.background);
            w.alarm[f].clear();
            w.alarm[f].extend((0..s).map(|k| family.alarm_factor(theta, &x.ratios, k)));
            w.gain[f].resize(n * s, 0.0);
            w.common[f].resize(n, 0.0);
            for root in 0..n {
                w.common[f][root] =
                    family.forward(theta, root, x, &mut w.gain[f][root * s..(root + 1) * s]);
            }
        }
        log_quiet += self.vitals.forward(theta, &mut w.vitals, &mut w.background);
        self.fill_joints(theta, w);
        log_quiet
    }

    fn fill_joints(&self, theta: &Natural, w: &mut Workspace) {
        let s = self.s;
        w.joint.clear();
        w.log_scale.clear();
        w.by_footprint.clear();
        let highest = w
            .background
            .iter()
            .copied()
            .fold(f64::NEG_INFINITY, f64::max);
        for b in &mut w.background {
            *b = (*b - highest).exp();
        }
        let log_root_prior = ((1.0 - self.none_prior) / self.prior_total(theta)).ln();
        for h in 0..N_KINDS * self.n {
            let (root, kind) = (h / N_KINDS, h % N_KINDS);
            let lift = if kind == RESOURCE {
                self.resource_terms(theta, root, w)
            } else {
                self.family_terms(theta, root, kind, w)
            };
            let row = root * s..(root + 1) * s;
            let vital = if kind == RESOURCE {
                &w.vitals.log_resource[row.clone()]
            } else {
                &w.vitals.log_disturbed[row.clone()]
            };
            let most = vital.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let factor = &self.root_factor[row];
            let mut sum = 0.0;
            for (k, t) in w.by_footprint[h * s..].iter_mut().enumerate() {
                *t *= (vital[k] - most).exp() * factor[k] * w.background[k];
                sum += *t;
            }
            let log_scale = log_root_prior + kind_prior(theta, kind).ln() + lift + most + highest;
            w.log_scale.push(log_scale);
            w.joint.push(sum.ln() + log_scale);
        }
        let mut sum = 0.0;
        for k in 0..s {
            let t = w.alarm[0][k] * w.alarm[1][k] * w.background[k];
            w.by_footprint.push(t);
            sum += t;
        }
        let log_scale = self.none_prior.ln() + highest;
        w.log_scale.push(log_scale);
        w.joint.push(sum.ln() + log_scale);
    }

    /// Append the terms of a latency or errors fault by footprint, over `exp` of what is returned.
    fn family_terms(&self, theta: &Natural, root: usize, kind: usize, w: &mut Workspace) -> f64 {
        let other = 1 - kind;
        let m = self.modes(theta, root, kind);
        let (rest, shared) = split_scale(w.common[other][root]);
        for k in 0..self.s {
            let at = root * self.s + k;
            let inner = m.alone * rest * w.alarm[other][k] + m.both * shared * w.gain[other][at];
            w.by_footprint.push(w.gain[kind][at] * inner);
        }
        w.common[kind][root] + w.common[other][root].max(0.0)
    }

    /// The same for a resource fault, which shows in each family or not.
    fn resource_terms(&self, theta: &Natural, root: usize, w: &mut Workspace) -> f64 {
        let m = self.resource_modes(theta, root);
        for k in 0..self.s {
            let [latency, errors] = w.shown(root * self.s + k, root, k);
            let t = (0..4).map(|x| m.weight[x / 2][x % 2] * latency[x / 2] * errors[x % 2]);
            w.by_footprint.push(t.sum());
        }
        w.common[0][root].max(0.0) + w.common[1][root].max(0.0)
    }

    fn modes(&self, theta: &Natural, root: usize, kind: usize) -> Modes {
        modes(theta, kind, self.alarm, self.explains(root))
    }

    fn resource_modes(&self, theta: &Natural, root: usize) -> ResourceModes {
        ResourceModes::new(theta, self.alarm, self.explains(root))
    }

    fn explains(&self, root: usize) -> [bool; 2] {
        [0, 1].map(|f| self.families[f].explains_alarm(root))
    }

    /// Sum of the unnormalised prior weights of all (root, kind).
    fn prior_total(&self, theta: &Natural) -> f64 {
        (0..N_KINDS * self.n)
            .map(|h| {
                let (root, kind) = (h / N_KINDS, h % N_KINDS);
                let weight = if kind == RESOURCE {
                    self.resource_modes(theta, root).total() * self.vitals.prior_weight(root)
                } else {
                    let m = self.modes(theta, root, kind);
                    m.alone + m.both
                };
                kind_prior(theta, kind) * weight
            })
            .sum()
    }

    fn backward(&self, theta: &Natural, total: f64, w: &mut Workspace) -> Natural {
        let (n, s) = (self.n, self.s);
        let mut gradient = Natural::default();
        for f in 0..N_FAMILIES {
            w.gain_adjoint[f].clear();
            w.gain_adjoint[f].resize(n * s, 0.0);
        }
        for weights in w.alarm_alone.iter_mut().chain([&mut w.footprint_weight]) {
            weights.clear();
            weights.resize(s, 0.0);
        }
        for v in [&mut w.vitals.d_disturbed, &mut w.vitals.d_resource] {
            v.clear();
            v.resize(n * s, 0.0);
        }
        let none = N_KINDS * n;
        for h in 0..none {
            if w.joint[h] - total < NEGLIGIBLE.ln() {
                continue;
            }
            if h % N_KINDS == RESOURCE {
                self.resource_backward(theta, h, total, w, &mut gradient);
            } else {
                self.hypothesis_backward(theta, h, total, w, &mut gradient);
            }
        }
        let root_weight = 1.0 - (w.joint[none] - total).exp();
        self.prior_backward(theta, root_weight, &mut gradient);
        for k in 0..s {
            let r = w.by_footprint[none * s + k] * (w.log_scale[none] - total).exp();
            w.footprint_weight[k] += r;
            w.alarm_alone[0][k] += r;
            w.alarm_alone[1][k] += r;
        }
        self.vitals
            .backward(theta, &w.footprint_weight, &w.vitals, &mut gradient);
        for (f, family) in self.families.iter().enumerate() {
            let x = &mut w.families[f];
            family.background_backward(&w.footprint_weight, x);
            for k in 0..s {
                family.alarm_backward(theta, k, w.alarm_alone[f][k], x, &mut gradient);
            }
            for root in 0..n {
                let g = &w.gain_adjoint[f][root * s..(root + 1) * s];
                if g.iter().any(|&g| g > 0.0) {
                    family.backward(theta, root, g, x, &mut gradient);
                }
            }
            family.finish(theta, x, &mut gradient);
        }
        gradient
    }

    fn hypothesis_backward(
        &self,
        theta: &Natural,
        h: usize,
        total: f64,
        w: &mut Workspace,
        gradient: &mut Natural,
    ) {
        let s = self.s;
        let (root, kind) = (h / N_KINDS, h % N_KINDS);
        let other = 1 - kind;
        let m = self.modes(theta, root, kind);
        let (rest, shared) = split_scale(w.common[other][root]);
        let weight = (w.log_scale[h] - total).exp();
        let (mut d_alone, mut d_both) = (0.0, 0.0);
        for k in 0..s {
            let at = root * s + k;
            let r = w.by_footprint[h * s + k] * weight;
            if r < NEGLIGIBLE {
                continue;
            }
            let (alone, both) = (w.alarm[other][k] * rest, w.gain[other][at] * shared);
            let inner = m.alone * alone + m.both * both;
            w.footprint_weight[k] += r;
            w.vitals.d_disturbed[at] += r;
            w.gain_adjoint[kind][at] += r;
            w.gain_adjoint[other][at] += r * m.both * both / inner;
            w.alarm_alone[other][k] += r * m.alone * alone / inner;
            d_alone += r * alone / inner;
            d_both += r * both / inner;
        }
        modes_backward(theta, kind, &m, d_alone, d_both, gradient);
        kind_prior_backward(theta, kind, (w.joint[h] - total).exp(), gradient);
    }

    fn resource_backward(
        &self,
        theta: &Natural,
        h: usize,
        total: f64,
        w: &mut Workspace,
        gradient: &mut Natural,
    ) {
        let s = self.s;
        let root = h / N_KINDS;
        let m = self.resource_modes(theta, root);
        let weight = (w.log_scale[h] - total).exp();
        let mut d_weight = [[0.0; 2]; 2];
        for k in 0..s {
            let at = root * s + k;
            let r = w.by_footprint[h * s + k] * weight;
            if r < NEGLIGIBLE {
                continue;
            }
            w.footprint_weight[k] += r;
            w.vitals.d_resource[at] += r;
            let shown = w.shown(at, root, k);
            let mut parts = [[0.0; 2]; 2];
            for x in 0..4 {
                parts[x / 2][x % 2] = shown[0][x / 2] * shown[1][x % 2];
            }
            let inner: f64 = (0..4)
                .map(|x| m.weight[x / 2][x % 2] * parts[x / 2][x % 2])
                .sum();
            for x in 0..4 {
                let part = r * parts[x / 2][x % 2] / inner;
                d_weight[x / 2][x % 2] += part;
                let share = part * m.weight[x / 2][x % 2];
                for (f, shows) in [x / 2, x % 2].into_iter().enumerate() {
                    if shows == 1 {
                        w.gain_adjoint[f][at] += share;
                    } else {
                        w.alarm_alone[f][k] += share;
                    }
                }
            }
        }
        m.backward(theta, d_weight, gradient);
    }

    /// Gradient of `-root_weight * ln prior_total`.
    fn prior_backward(&self, theta: &Natural, root_weight: f64, gradient: &mut Natural) {
        let g = -root_weight / self.prior_total(theta);
        for h in 0..N_KINDS * self.n {
            let (root, kind) = (h / N_KINDS, h % N_KINDS);
            let p = kind_prior(theta, kind);
            if kind == RESOURCE {
                let m = self.resource_modes(theta, root);
                let d = g * p * self.vitals.prior_weight(root);
                m.backward(theta, [[d; 2]; 2], gradient);
                continue;
            }
            let m = self.modes(theta, root, kind);
            modes_backward(theta, kind, &m, g * p, g * p, gradient);
            kind_prior_backward(theta, kind, g * p * (m.alone + m.both), gradient);
        }
    }
}
