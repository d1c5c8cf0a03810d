//! The likelihood of theta with the root causes summed out, its gradient, and the posterior of causes given theta.

use fearless_simd::Level;
use rayon::prelude::*;

use super::alerts::Alerts;
use super::hypotheses::{Modes, N_WAYS, modes_at, way};
use super::sets::{Member, Sets};
use super::spread::{PathProbabilities, Spread, SpreadScratch};
use super::traces::{TraceScratch, Traces};
use super::vitals::{VitalScratch, Vitals};
use super::weights::prior_weights;
use crate::error::{Error, Result};
use crate::evidence::Evidence;
use crate::params::{LATENCY, LINK, N_FAMILIES, N_KINDS, N_PARAMETERS, Natural};
use crate::simd;

/// Joint weights below this share of the total are left out of the gradient (never of the value).
///
/// Hamiltonian dynamics with a slightly truncated gradient stay reversible and volume-preserving, and the acceptance
/// uses the value: the sampler's target is not changed.
pub(super) const NEGLIGIBLE: f64 = 1e-10;

/// The likelihood of one incident, prepared once and evaluated at many theta.
///
/// Hypotheses are numbered `N_KINDS * component + kind` (kinds as in `params::KINDS`), then come the sets of several
/// causes in the order of `sets()`; the last one is "none of these".
#[derive(Debug, Clone)]
pub struct Likelihood {
    pub(super) n: usize,
    pub(super) s: usize,
    pub(super) footprint_log_prior: Vec<f64>,
    /// Factor on a component being the root in a footprint: of a crash, and of everything else.
    pub(super) root_factor: Vec<f64>,
    pub(super) crash_factor: Vec<f64>,
    /// Factor of an errors or code fault on the silence of those whom its component calls.
    pub(super) uncalled: Vec<f64>,
    /// Prior weight of each (component, kind), `[N_KINDS * component + kind]`.
    pub(super) prior_weight: Vec<f64>,
    /// What of it enters the joint: the rest is part of the vitals' factors.
    pub(super) joint_weight: Vec<f64>,
    pub(super) log_joint_weight: Vec<f64>,
    /// Whether each reaches the target along which families, as an index among its modes; `prior_weight` by that.
    pub(super) ways: Vec<usize>,
    pub(super) way_weight: [f64; N_WAYS],
    pub(super) alarm: Option<usize>,
    pub(super) target: Option<usize>,
    pub(super) none_prior: f64,
    pub(super) families: [Spread; N_FAMILIES],
    pub(super) vitals: Vitals,
    pub(super) traces: Traces,
    pub(super) alerts: Alerts,
    pub(super) sets: Sets,
    pub(super) level: Level,
}

/// Scratch memory of one thread; grows to the largest incident it has seen.
#[derive(Debug, Default)]
pub struct Workspace {
    pub(super) families: [SpreadScratch; N_FAMILIES],
    pub(super) vitals: VitalScratch,
    pub(super) traces: TraceScratch,
    /// `G_f(source, footprint)` over `exp(common)`, `[source * s + footprint]`.
    pub(super) gain: [Vec<f64>; N_FAMILIES],
    pub(super) common: [Vec<f64>; N_FAMILIES],
    /// Adjoint of `ln G`.
    pub(super) gain_adjoint: [Vec<f64>; N_FAMILIES],
    /// Log background plus footprint prior; after `fill_joints` its exponential, relative to the largest.
    pub(super) background: Vec<f64>,
    /// Alarm factor of a family no modelled fault spreads in, `[family][footprint]`.
    pub(super) alarm: [Vec<f64>; N_FAMILIES],
    pub(super) modes: [Modes; N_WAYS],
    /// Factor of the vitals by way of showing there, `[(way * n + root) * s + footprint]`, over `exp(most_vital)`.
    pub(super) vital: Vec<f64>,
    pub(super) most_vital: Vec<f64>,
    /// Weights of the components that are in sets, and the logarithm taken out of each; see `fill_members`.
    pub(super) members: Vec<Member>,
    pub(super) member_scale: Vec<f64>,
    /// Log joint of each hypothesis (prior included, normaliser of the prior not), and its share of the posterior.
    pub(super) joint: Vec<f64>,
    pub(super) share: Vec<f64>,
    /// Sum of each hypothesis over its footprints, over `exp(log_scale)`.
    pub(super) sum: Vec<f64>,
    /// Joint of each (hypothesis, footprint) over `exp(log_scale[hypothesis])`.
    pub(super) by_footprint: Vec<f64>,
    pub(super) log_scale: Vec<f64>,
    /// Posterior weight of each footprint, and of each family's alarm factor standing alone.
    pub(super) footprint_weight: Vec<f64>,
    pub(super) alarm_alone: [Vec<f64>; N_FAMILIES],
}

impl Likelihood {
    /// Prepare an incident for single causes; `add_sets` adds several.
    ///
    /// `none_prior` is the prior probability of "none of these"; `max_width` bounds the components open at once in
    /// the exact sum over affected sets.
    ///
    /// # Errors
    /// `InvalidEvidence` for inconsistent arrays or a prior outside (0, 1); `GraphTooWide` past the width limit.
    pub fn new(evidence: &Evidence, none_prior: f64, max_width: usize) -> Result<Self> {
        Self::prepare(evidence, none_prior, max_width, None)
    }

    /// The same, with sums past the width limit estimated from draws of `seed` instead of refused; see `sums`.
    ///
    /// # Errors
    /// As `new`; `GraphTooWide` only for components that call each other in too large a cycle.
    pub fn estimating(
        evidence: &Evidence,
        none_prior: f64,
        max_width: usize,
        seed: u64,
    ) -> Result<Self> {
        Self::prepare(evidence, none_prior, max_width, Some(seed))
    }

    fn prepare(
        evidence: &Evidence,
        none_prior: f64,
        max_width: usize,
        seed: Option<u64>,
    ) -> Result<Self> {
        evidence.validate()?;
        if !(none_prior > 0.0 && none_prior < 1.0) {
            return Err(Error::evidence("none_prior", "must be in (0, 1)"));
        }
        let (n, s) = (evidence.n_components, evidence.n_footprints());
        let family = |f: usize| {
            let alarm = evidence.target.filter(|_| evidence.alarm_family == Some(f));
            let family = &evidence.families[f];
            let (shape, target) = ((n, s), evidence.target);
            match seed {
                None => Spread::new(family, f, shape, alarm, target, max_width),
                // Families must not share their draws: their errors count as independent.
                Some(seed) => {
                    let limits = (max_width, seed.wrapping_add(f as u64));
                    Spread::estimating(family, f, shape, alarm, target, limits)
                }
            }
        };
        let mut families = [family(0)?, family(1)?];
        families[LATENCY].add_links();
        let edges: Vec<_> = evidence
            .families
            .iter()
            .flat_map(|f| f.edges.iter().copied())
            .collect();
        let exp = |x: &[f64], length: usize| -> Vec<f64> {
            (0..length)
                .map(|i| x.get(i).map_or(1.0, |l| l.exp()))
                .collect()
        };
        let vitals = {
            let alarm = evidence.target.filter(|_| evidence.alarm_in_vitals);
            Vitals::new(&evidence.vitals, (n, s), &edges, alarm)
        };
        let traces = Traces::new(evidence.traces.as_ref(), n);
        let crash_factor = exp(&evidence.crash_log_ratio, n * s);
        let others = (&vitals, &traces);
        let (prior_weight, joint_weight) = prior_weights(evidence, &families, others);
        let mut out = Self {
            n,
            s,
            footprint_log_prior: evidence.footprint_log_prior.clone(),
            root_factor: exp(&evidence.root_log_factor, n * s),
            uncalled: traces.uncalled(&crash_factor, s),
            crash_factor,
            prior_weight,
            log_joint_weight: joint_weight.iter().map(|w| w.ln()).collect(),
            joint_weight,
            ways: Vec::new(),
            way_weight: [0.0; N_WAYS],
            alarm: evidence.alarm_family,
            target: evidence.target,
            none_prior,
            families,
            vitals,
            traces,
            alerts: Alerts::new(&evidence.alert_log_ratio),
            sets: Sets::default(),
            level: simd::level(),
        };
        for h in 0..N_KINDS * n {
            let way = way(h % N_KINDS, out.reaches(h / N_KINDS, h % N_KINDS));
            out.way_weight[way] += out.prior_weight[h];
            out.ways.push(way);
        }
        Ok(out)
    }

    /// Number of hypotheses: the kinds of every component, the sets, and "none of these" last.
    #[must_use]
    pub fn n_hypotheses(&self) -> usize {
        N_KINDS * self.n + self.sets.len() + 1
    }

    /// The sets of several causes that are weighed, each ascending.
    #[must_use]
    pub fn sets(&self) -> &[Vec<usize>] {
        self.sets.members()
    }

    /// Number of components.
    #[must_use]
    pub fn n_components(&self) -> usize {
        self.n
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
        quiet + self.fill_shares(w)
    }

    /// Log likelihood and its gradient with respect to the unconstrained theta.
    pub fn logp_grad(
        &self,
        theta: &[f64; N_PARAMETERS],
        w: &mut Workspace,
    ) -> (f64, [f64; N_PARAMETERS]) {
        let natural = Natural::from_unconstrained(theta);
        let quiet = self.forward_keeping(&natural, w, true);
        let total = self.fill_shares(w);
        let gradient = self.backward(&natural, w);
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
        let total = self.fill_shares(w);
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

    /// Log ratio of "shows the fault" to quiet of every trace cell given theta, NaN where there is nothing to tell: own
    /// patterns `[n]`, own times `[n]`, then gap, truncation and order `[edges]` each.
    #[must_use]
    pub fn trace_log_ratios(&self, theta: &[f64; N_PARAMETERS]) -> Vec<f64> {
        self.traces.log_ratios(&Natural::from_unconstrained(theta))
    }

    /// Probability that a single cause shows its fault in its own patterns given theta and its kind,
    /// `[component * N_KINDS + kind]`; NaN where these tell nothing.
    #[must_use]
    pub fn own_patterns_shown(&self, theta: &[f64; N_PARAMETERS]) -> Vec<f64> {
        let natural = Natural::from_unconstrained(theta);
        self.traces.own_patterns_shown(&natural)
    }

    /// Probability that each vital family is the one at fault, given theta and a resource fault at a component,
    /// `[(component * N_VITALS + family) * s + footprint]`.
    pub fn families_at_fault(&self, theta: &[f64; N_PARAMETERS], w: &mut Workspace) -> Vec<f64> {
        let theta = Natural::from_unconstrained(theta);
        self.vitals.families_at_fault(&theta, &mut w.vitals)
    }

    /// Whom a fault at `root` has affected in a family and which edges carried it, given theta and the footprint
    /// (eq. 9 included).
    pub fn path_probabilities(
        &self,
        theta: &[f64; N_PARAMETERS],
        (root, family, footprint): (usize, usize, usize),
        w: &mut Workspace,
    ) -> PathProbabilities {
        let theta = Natural::from_unconstrained(theta);
        let x = &mut w.families[family];
        self.families[family].set(&theta, x);
        self.families[family].path_probabilities(&theta, root, footprint, x)
    }

    /// Fill the joints; return the composite log quiet density. No gradient can follow.
    pub(super) fn forward(&self, theta: &Natural, w: &mut Workspace) -> f64 {
        self.forward_keeping(theta, w, false)
    }

    /// The same, keeping what a gradient needs if asked.
    fn forward_keeping(&self, theta: &Natural, w: &mut Workspace, keep: bool) -> f64 {
        let s = self.s;
        w.background.clear();
        w.background.extend_from_slice(&self.footprint_log_prior);
        let mut log_quiet = self.vitals.forward(theta, &mut w.vitals, &mut w.background);
        log_quiet += self.traces.forward(theta, &mut w.traces);
        for (f, family) in self.families.iter().enumerate() {
            let x = &mut w.families[f];
            x.value_only(!keep);
            log_quiet += family.start(theta, x, &mut w.background);
            w.alarm[f].clear();
            w.alarm[f].extend((0..s).map(|k| family.alarm_factor(theta, &x.ratios, k)));
            let sources = family.n_sources();
            w.gain[f].resize(sources * s, 0.0);
            w.common[f].resize(sources, 0.0);
            for source in 0..sources {
                let gain = &mut w.gain[f][source * s..(source + 1) * s];
                w.common[f][source] = family.forward(theta, source, x, gain);
                if f == LATENCY {
                    let waits = self.waiting(source);
                    let waits = &w.vitals.log.egress[waits * s..(waits + 1) * s];
                    w.common[f][source] += multiply_by_exp(gain, waits);
                }
            }
        }
        w.modes = modes_at(theta, self.alarm);
        self.fill_joints(theta, w);
        log_quiet
    }

    /// Source of the vitals whose egress goes with a source of latency.
    fn waiting(&self, source: usize) -> usize {
        if source < self.n {
            source
        } else {
            source - self.n
        }
    }

    /// Source of a family for the set at a position of `sets()`, or of one component.
    pub(super) fn set_source(&self, f: usize, position: usize) -> usize {
        (if f == LATENCY { 2 * self.n } else { self.n }) + position
    }

    /// Source of latency for a fault on the way to a component.
    pub(super) fn link_source(&self, root: usize) -> usize {
        self.n + root
    }

    /// Whether a fault of a kind at `root` reaches the target along each family.
    fn reaches(&self, root: usize, kind: usize) -> [bool; 2] {
        [0, 1].map(|f| {
            // A slow way to the target is not seen at the target.
            let own = kind == LINK && f == LATENCY && self.target == Some(root);
            self.families[f].explains_alarm(root) && !own
        })
    }

    /// Set the adjoints of everything below the joints to zero.
    pub(super) fn reset_adjoints(&self, w: &mut Workspace) {
        for (f, family) in self.families.iter().enumerate() {
            w.gain_adjoint[f].clear();
            w.gain_adjoint[f].resize(family.n_sources() * self.s, 0.0);
        }
        for weights in w.alarm_alone.iter_mut().chain([&mut w.footprint_weight]) {
            weights.clear();
            weights.resize(self.s, 0.0);
        }
        self.vitals.reset_adjoints(&mut w.vitals);
        self.traces.reset_adjoints(&mut w.traces);
    }

    fn backward(&self, theta: &Natural, w: &mut Workspace) -> Natural {
        let s = self.s;
        let mut gradient = Natural::default();
        self.reset_adjoints(w);
        self.joints_backward(theta, w, &mut gradient);
        for source in 0..self.families[LATENCY].n_sources() {
            let waits = self.waiting(source);
            for k in 0..s {
                w.vitals.adjoint.egress[waits * s + k] += w.gain_adjoint[LATENCY][source * s + k];
            }
        }
        self.vitals
            .backward(theta, &w.footprint_weight, &w.vitals, &mut gradient);
        self.traces.backward(&w.traces, &mut gradient);
        for (f, family) in self.families.iter().enumerate() {
            let x = &mut w.families[f];
            family.background_backward(&w.footprint_weight, x);
            for k in 0..s {
                family.alarm_backward(theta, k, w.alarm_alone[f][k], x, &mut gradient);
            }
            for source in 0..family.n_sources() {
                let g = &w.gain_adjoint[f][source * s..(source + 1) * s];
                if g.iter().any(|&g| g > 0.0) {
                    family.backward(theta, source, g, x, &mut gradient);
                }
            }
            family.finish(theta, x, &mut gradient);
        }
        gradient
    }
}

/// Multiply `gain` by `exp(log)`, over the `exp` of what is returned.
fn multiply_by_exp(gain: &mut [f64], log: &[f64]) -> f64 {
    if log.iter().all(|&l| l == 0.0) {
        return 0.0;
    }
    let most = log.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    for (g, l) in gain.iter_mut().zip(log) {
        *g *= (l - most).exp();
    }
    most
}
