//! How much better one family's telemetry is explained by a fault that spreads from a root than by none:
//! `G_f(R, footprint)` of eq. 8.

use self::estimate::Bank;
use self::slot::Slot;
use self::sums::{KEPT, Sums};
use fearless_simd::Level;

use super::affected::Rates;
use super::alarm::alarm_mix;
use super::cells::{Cells, Ratios};
use super::density::effect_beyond_large;
use super::doses::{CellFactors, PairAdjoint};
use super::plan::MAX_BLOCK;
use super::plan::Plan;
use super::range::{bring_together, keep_in_range};
use super::source::{Ground, Origin, Source};
use super::untraced::Untraced;
use crate::error::Result;
use crate::evidence::FamilyEvidence;
use crate::params::Natural;
use crate::simd;

mod adjoints;
mod estimate;
mod path;

pub use path::PathProbabilities;

mod slot;

mod sums;
#[cfg(test)]
mod tests;

/// The base rate of a root's own dependencies, relative to everybody's.
const DEPENDENCY_SHARE: f64 = 0.1;
/// The base rate of a target that a source does not reach, relative to everybody's: it is quiet but for its alarm, a
/// dependency of the root, or anybody.
const UNREACHED: [f64; 3] = [0.0, DEPENDENCY_SHARE, 1.0];

/// One family, prepared. Its sources are numbered: every component, then every link if there are any, then every set.
#[derive(Debug, Clone)]
pub(crate) struct Spread {
    f: usize,
    n: usize,
    s: usize,
    pub cells: Cells,
    ground: Ground,
    plans: Vec<Plan>,
    sources: Vec<Source>,
    /// Whether there are links among the sources.
    links: bool,
    /// Where each plan's tables lie, and how many numbers all of them need.
    slots: Vec<Slot>,
    arena: usize,
    largest_slot: usize,
    /// Per plan: the states of its clamped components, if any.
    banks: Vec<Option<Bank>>,
    /// Most live edges into one block of any plan.
    most_live: usize,
    /// The machine's instruction set: looking it up costs more than a small sum.
    level: Level,
}

/// Scratch of one family.
#[derive(Debug, Default)]
pub(crate) struct SpreadScratch {
    pub ratios: Ratios,
    pub adjoint: Ratios,
    factors: CellFactors,
    /// Per cell: a root's own factor over its background.
    own: Vec<f64>,
    /// Per cell: the factor of a root's dependency over its background.
    dependency: Vec<f64>,
    /// Per cell: an untraced component's factor over its background, of a dose with density 0, and per density.
    untraced: Vec<f64>,
    untraced_slope: Vec<f64>,
    /// Factor of an alarm that a source does not reach, `[index in UNREACHED * s + footprint]`.
    unreached: Vec<f64>,
    /// Per cell: the adjoint of the logarithm of one over its background.
    given_up: Vec<f64>,
    rates: Rates,
    sums: Sums,
    log: Vec<f64>,
}

impl SpreadScratch {
    /// Say whether no gradient will follow the next values.
    pub fn value_only(&mut self, yes: bool) {
        self.sums.value_only = yes;
    }
}

impl Spread {
    pub fn new(
        e: &FamilyEvidence,
        f: usize,
        (n, s): (usize, usize),
        alarm: Option<usize>,
        target: Option<usize>,
        max_width: usize,
    ) -> Result<Self> {
        let ground = Ground::new(e, (n, s), alarm, target, max_width);
        Self::on(ground, e, f, (n, s))
    }

    /// The same, with sums past the width limit estimated from draws of `seed` instead of refused. Only components that
    /// call each other in a cycle of more than `MAX_BLOCK` are still refused.
    pub fn estimating(
        e: &FamilyEvidence,
        f: usize,
        (n, s): (usize, usize),
        alarm: Option<usize>,
        target: Option<usize>,
        (max_width, seed): (usize, u64),
    ) -> Result<Self> {
        let mut ground = Ground::new(e, (n, s), alarm, target, max_width);
        ground.seed = Some(seed);
        Self::on(ground, e, f, (n, s))
    }

    fn on(ground: Ground, e: &FamilyEvidence, f: usize, (n, s): (usize, usize)) -> Result<Self> {
        let mut out = Self {
            f,
            n,
            s,
            cells: Cells::new(e, n, s),
            plans: Vec::with_capacity(n),
            sources: Vec::with_capacity(n),
            links: false,
            slots: Vec::new(),
            arena: 0,
            largest_slot: 0,
            banks: Vec::new(),
            most_live: 0,
            level: simd::level(),
            ground,
        };
        for root in 0..n {
            out.add_roots(&[root])?;
        }
        out.arrange(KEPT);
        out.draw_banks();
        Ok(out)
    }

    /// Add one source per component: a fault on the way to it. Call before `add_sets`.
    pub fn add_links(&mut self) {
        let link = |root| self.ground.link(&self.plans[root], root);
        let links: Vec<Source> = (0..self.n).map(link).collect();
        self.sources.extend(links);
        self.links = true;
        self.arrange(KEPT);
    }

    /// Add one source per set of components (ascending): a fault at all of them.
    ///
    /// # Errors
    /// `GraphTooWide` as for single components.
    pub fn add_sets(&mut self, sets: &[Vec<usize>]) -> Result<()> {
        sets.iter().try_for_each(|set| self.add_roots(set))?;
        self.arrange(KEPT);
        self.draw_banks();
        Ok(())
    }

    fn add_roots(&mut self, roots: &[usize]) -> Result<()> {
        let plan = self.ground.plan(roots)?;
        self.most_live = self.most_live.max(plan.most_live());
        self.sources
            .push(self.ground.roots(&plan, self.plans.len()));
        self.plans.push(plan);
        Ok(())
    }

    /// Forget all sets.
    pub fn drop_sets(&mut self) {
        self.sources
            .truncate(if self.links { 2 * self.n } else { self.n });
        self.plans.truncate(self.n);
        self.banks.truncate(self.n);
    }

    /// Number of sources: every component, the links, the sets.
    pub fn n_sources(&self) -> usize {
        self.sources.len()
    }

    /// Whether a fault at a component can spread to any other.
    pub fn reaches_anybody(&self, root: usize) -> bool {
        !self.plans[root].nodes.is_empty()
    }

    pub fn width(&self) -> usize {
        self.plans.iter().map(|p| p.width).max().unwrap_or(0)
    }

    /// Whether a fault of `source` can explain the alarm through this family.
    pub fn explains_alarm(&self, source: usize) -> bool {
        self.sources[source].explains_alarm
    }

    /// Evaluate every cell; add each footprint's log density ratio of "no cause, everybody at the base rate" to
    /// `background`; return the composite log quiet density.
    pub fn start(&self, theta: &Natural, x: &mut SpreadScratch, background: &mut [f64]) -> f64 {
        let log_quiet = self.set(theta, x);
        for k in 0..self.s {
            let (mut product, mut total) = (1.0, 0.0);
            for i in 0..self.n {
                product *= x.factors.inv[i * self.s + k];
                if !(1e-200..1e200).contains(&product) {
                    total += f64::ln(product);
                    product = 1.0;
                }
            }
            background[k] -= total + product.ln();
        }
        x.adjoint.reset(self.n * self.s, 0.0);
        x.given_up.clear();
        x.given_up.resize(self.n * self.s, 0.0);
        self.sum(theta, x);
        log_quiet
    }

    /// Evaluate every cell and tabulate the rates; return the composite log quiet density.
    pub fn set(&self, theta: &Natural, x: &mut SpreadScratch) -> f64 {
        let log_quiet = self.cells.forward(theta, self.f, &mut x.ratios);
        let (rate, base) = (theta.transmission[self.f], theta.base_rate[self.f]);
        x.rates.set(rate, base, self.most_live, MAX_BLOCK);
        self.cell_factors(theta, x);
        log_quiet
    }

    fn cell_factors(&self, theta: &Natural, x: &mut SpreadScratch) {
        let (a, own, u) = (
            theta.base_rate[self.f],
            theta.own_visible,
            theta.unrelated_dose,
        );
        let low = DEPENDENCY_SHARE * a;
        let c = &mut x.factors;
        let tables = [
            &mut c.inv,
            &mut c.generic,
            &mut c.unrelated,
            &mut c.related,
            &mut x.own,
            &mut x.dependency,
            &mut x.untraced,
            &mut x.untraced_slope,
        ];
        for v in tables {
            v.clear();
            v.resize(self.n * self.s, 0.0);
        }
        let (g, beyond) = (
            theta.untraced_dose,
            effect_beyond_large(theta.effect_size[self.f]).0,
        );
        for at in 0..self.n * self.s {
            let r = x.ratios.affected[at];
            let inv = 1.0 / (1.0 - a + a * r);
            c.inv[at] = inv;
            c.generic[at] = r * inv;
            c.unrelated[at] = u * r * inv;
            c.related[at] = (1.0 - u) * x.ratios.jacobian[at] * inv;
            x.own[at] = (1.0 - own + own * x.ratios.root[at]) * inv;
            x.dependency[at] = (1.0 - low + low * r) * inv;
            x.untraced[at] = (1.0 - a + a * (1.0 - g) * r) * inv;
            x.untraced_slope[at] = a * g * beyond * x.ratios.jacobian[at] * inv;
        }
        x.unreached.clear();
        if let Some(t) = self.ground.alarm {
            let row = &x.ratios.affected[t * self.s..(t + 1) * self.s];
            for share in UNREACHED {
                let factors = row.iter().map(|&r| alarm_mix(r, share * a).value);
                x.unreached.extend(factors);
            }
        }
    }

    /// Adjoint of the background of `start`, `adjoint[k]` per footprint.
    pub fn background_backward(&self, adjoint: &[f64], x: &mut SpreadScratch) {
        for row in x.given_up.chunks_exact_mut(self.s) {
            for (d, g) in row.iter_mut().zip(adjoint) {
                *d -= g;
            }
        }
    }

    /// Factor of the target's alarm when no modelled fault reaches it, relative to the background.
    pub fn alarm_factor(&self, theta: &Natural, r: &Ratios, k: usize) -> f64 {
        self.ground.alarm.map_or(1.0, |t| {
            alarm_mix(r.affected[t * self.s + k], theta.base_rate[self.f]).value
        })
    }

    /// Add the adjoints of `ln(alarm_factor)` times `g`.
    pub fn alarm_backward(
        &self,
        theta: &Natural,
        k: usize,
        g: f64,
        x: &mut SpreadScratch,
        gradient: &mut Natural,
    ) {
        let Some(t) = self.ground.alarm else { return };
        let at = t * self.s + k;
        let m = alarm_mix(x.ratios.affected[at], theta.base_rate[self.f]);
        x.adjoint.affected[at] += g * m.d_ratio;
        gradient.base_rate[self.f] += g * m.d_rate;
    }

    /// `G_f(source, footprint)` over `exp(common)` at the theta of `start`; returns the common logarithm (0 unless
    /// something left the range of a double).
    pub fn forward(
        &self,
        theta: &Natural,
        source: usize,
        x: &mut SpreadScratch,
        out: &mut [f64],
    ) -> f64 {
        let (s, a) = (self.s, theta.base_rate[self.f]);
        let row = source * s..(source + 1) * s;
        let (source, plan) = self.source(source);
        out.copy_from_slice(&x.sums.value[row.clone()]);
        x.log.clear();
        x.log.extend_from_slice(&x.sums.log[row]);
        let log = &mut x.log;
        let own = match source.origin {
            Origin::Roots(_) => &x.own,
            Origin::Link => &x.factors.inv,
        };
        for &root in &plan.roots {
            for k in 0..s {
                out[k] *= own[root * s + k];
                keep_in_range(&mut out[k], &mut log[k]);
            }
        }
        for &d in &plan.dependencies {
            for k in 0..s {
                out[k] *= x.dependency[d * s + k];
                keep_in_range(&mut out[k], &mut log[k]);
            }
        }
        if let Some(which) = self.unreached_alarm(source, plan) {
            for k in 0..s {
                out[k] *= x.unreached[which * s + k];
            }
        }
        for u in &source.untraced {
            let (at, k) = (u.component * s + u.footprint, u.footprint);
            out[k] *= x.untraced[at] + x.untraced_slope[at] * u.density;
            if self.ground.alarm == Some(u.component) {
                let ratio = u.ratio(theta, self.f, s, &x.ratios);
                out[k] *= alarm_mix(ratio, a).value / alarm_mix(x.ratios.affected[at], a).value;
            }
            keep_in_range(&mut out[k], &mut log[k]);
        }
        bring_together(out, log)
    }

    fn source(&self, source: usize) -> (&Source, &Plan) {
        let source = &self.sources[source];
        (source, &self.plans[source.plan])
    }

    /// Index in `UNREACHED` of the target, where this source does not reach its alarm.
    fn unreached_alarm(&self, source: &Source, plan: &Plan) -> Option<usize> {
        let t = self.ground.alarm?;
        match source.origin {
            // What is slow is the way to it.
            Origin::Link if plan.roots.contains(&t) => Some(0),
            _ if source.explains_alarm => None,
            _ if plan.dependencies.contains(&t) => Some(1),
            _ => Some(2),
        }
    }

    /// Add the adjoints of `sum_k g[k] ln G(source, k)`, except what [`Self::finish`] adds for all sources together.
    pub fn backward(
        &self,
        theta: &Natural,
        source: usize,
        g: &[f64],
        x: &mut SpreadScratch,
        gradient: &mut Natural,
    ) {
        let (s, f, own) = (self.s, self.f, theta.own_visible);
        x.sums.adjoint[source * s..(source + 1) * s].copy_from_slice(g);
        let (source, plan) = self.source(source);
        let low = DEPENDENCY_SHARE * theta.base_rate[f];
        for k in (0..s).filter(|&k| g[k] > 0.0) {
            if matches!(source.origin, Origin::Roots(_)) {
                for root in &plan.roots {
                    let at = root * s + k;
                    let d = g[k] / (1.0 - own + own * x.ratios.root[at]);
                    gradient.own_visible += d * (x.ratios.root[at] - 1.0);
                    x.adjoint.root[at] += d * own;
                }
            }
            for &i in &plan.dependencies {
                let be = x.ratios.affected[i * s + k];
                let d_low = g[k] / (1.0 - low + low * be);
                x.adjoint.affected[i * s + k] += d_low * low;
                gradient.base_rate[f] += d_low * DEPENDENCY_SHARE * (be - 1.0);
            }
            let unreached = self.unreached_alarm(source, plan);
            if let (Some(t), Some(which)) = (self.ground.alarm, unreached) {
                let (at, rate_share) = (t * s + k, UNREACHED[which]);
                let m = alarm_mix(x.ratios.affected[at], rate_share * theta.base_rate[f]);
                x.adjoint.affected[at] += g[k] * m.d_ratio;
                gradient.base_rate[f] += g[k] * m.d_rate * rate_share;
            }
        }
        for u in source.untraced.iter().filter(|u| g[u.footprint] > 0.0) {
            self.untraced_backward(theta, u, g[u.footprint], x, gradient);
        }
    }

    /// Add the adjoints of all sums, of the backgrounds and of the cells, after all other adjoints of this theta.
    pub fn finish(&self, theta: &Natural, x: &mut SpreadScratch, gradient: &mut Natural) {
        self.sum_backward(theta, x, gradient);
        let a = theta.base_rate[self.f];
        let mut d_rate = 0.0;
        for at in 0..self.n * self.s {
            let d = -x.given_up[at] * x.factors.inv[at];
            x.adjoint.affected[at] += d * a;
            d_rate += d * (x.ratios.affected[at] - 1.0);
        }
        gradient.base_rate[self.f] += d_rate;
        self.cells
            .backward(theta, self.f, &x.ratios, &x.adjoint, gradient);
    }

    /// Adjoints of the logarithm of one untraced component's factor, times `g`.
    fn untraced_backward(
        &self,
        theta: &Natural,
        u: &Untraced,
        g: f64,
        x: &mut SpreadScratch,
        gradient: &mut Natural,
    ) {
        let (f, s, a) = (self.f, self.s, theta.base_rate[self.f]);
        let at = u.component * s + u.footprint;
        let (be, ratio) = (x.ratios.affected[at], u.ratio(theta, f, s, &x.ratios));
        let (h_new, inv_old) = (1.0 - a + a * ratio, x.factors.inv[at]);
        let (mut d_ratio, mut d_be) = (a / h_new, -a * inv_old);
        let mut d_rate = (ratio - 1.0) / h_new - (be - 1.0) * inv_old;
        if self.ground.alarm == Some(u.component) {
            let (new, old) = (alarm_mix(ratio, a), alarm_mix(be, a));
            d_ratio += new.d_ratio;
            d_be -= old.d_ratio;
            d_rate += new.d_rate - old.d_rate;
        }
        x.adjoint.affected[at] += g * d_be;
        gradient.base_rate[f] += g * d_rate;
        let mut into = PairAdjoint {
            ratios: &mut x.adjoint,
            gradient,
        };
        u.backward(theta, f, s, g * d_ratio, &x.ratios, &mut into);
    }
}
