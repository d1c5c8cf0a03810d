//! How much better one family's telemetry is explained by a fault that spreads from a root than by none:
//! `G_f(R, footprint)` of eq. 8.

use super::affected::{Rates, Tables, Weights};
use super::alarm::{ALARM_TRUE, alarm_mix, mix};
use super::cells::{Cells, Ratios};
use super::doses::PairAdjoint;
use super::plan::Plan;
use super::range::{bring_together, keep_in_range};
use super::source::{Ground, Origin, Source};
use super::untraced::Untraced;
use crate::error::Result;
use crate::evidence::FamilyEvidence;
use crate::params::Natural;

/// The base rate of a root's own dependencies, relative to everybody's.
const DEPENDENCY_SHARE: f64 = 0.1;

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
    max_parents: usize,
}

/// Scratch of one family.
#[derive(Debug, Default)]
pub(crate) struct SpreadScratch {
    pub ratios: Ratios,
    pub adjoint: Ratios,
    /// Per cell: one over the background factor `1 - a + a r`.
    inv_background: Vec<f64>,
    /// Per cell: a root's own factor over its background.
    own: Vec<f64>,
    /// Per cell: the factor of a root's dependency over its background.
    dependency: Vec<f64>,
    tables: Tables,
    rates: Rates,
    /// Footprints the current sum runs over.
    active: Vec<usize>,
    path: Vec<f64>,
    weights: Weights,
    weight_adjoint: Vec<f64>,
    final_adjoint: Vec<f64>,
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
        let mut out = Self {
            f,
            n,
            s,
            cells: Cells::new(e, n, s),
            plans: Vec::with_capacity(n),
            sources: Vec::with_capacity(n),
            max_parents: ground.max_parents(),
            ground,
        };
        for root in 0..n {
            out.add_roots(&[root])?;
        }
        Ok(out)
    }

    /// Add one source per component: a fault on the way to it. Call before `add_sets`.
    pub fn add_links(&mut self) {
        let link = |root| self.ground.link(&self.plans[root], root);
        let links: Vec<Source> = (0..self.n).map(link).collect();
        self.sources.extend(links);
    }

    /// Add one source per set of components (ascending): a fault at all of them.
    ///
    /// # Errors
    /// `GraphTooWide` as for single components.
    pub fn add_sets(&mut self, sets: &[Vec<usize>]) -> Result<()> {
        sets.iter().try_for_each(|set| self.add_roots(set))
    }

    fn add_roots(&mut self, roots: &[usize]) -> Result<()> {
        let plan = self.ground.plan(roots)?;
        self.sources
            .push(self.ground.roots(&plan, self.plans.len()));
        self.plans.push(plan);
        Ok(())
    }

    /// Forget all sets.
    pub fn drop_sets(&mut self) {
        let links = self.sources.iter().any(|s| matches!(s.origin, Origin::Link));
        self.sources.truncate(if links { 2 * self.n } else { self.n });
        self.plans.truncate(self.n);
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
        let log_quiet = self.cells.forward(theta, self.f, &mut x.ratios);
        let (a, own) = (theta.base_rate[self.f], theta.own_visible);
        x.rates.set(theta.transmission[self.f], a, self.max_parents);
        let low = DEPENDENCY_SHARE * a;
        let cells = self.n * self.s;
        for v in [&mut x.inv_background, &mut x.own, &mut x.dependency] {
            v.clear();
            v.resize(cells, 0.0);
        }
        for at in 0..cells {
            let r = x.ratios.affected[at];
            let inv = 1.0 / (1.0 - a + a * r);
            x.inv_background[at] = inv;
            x.own[at] = (1.0 - own + own * x.ratios.root[at]) * inv;
            x.dependency[at] = (1.0 - low + low * r) * inv;
        }
        for k in 0..self.s {
            let (mut product, mut total) = (1.0, 0.0);
            for i in 0..self.n {
                product *= x.inv_background[i * self.s + k];
                if !(1e-200..1e200).contains(&product) {
                    total += f64::ln(product);
                    product = 1.0;
                }
            }
            background[k] -= total + product.ln();
        }
        log_quiet
    }

    /// Adjoint of the background of `start`, `adjoint[k]` per footprint.
    pub fn background_backward(
        &self,
        theta: &Natural,
        adjoint: &[f64],
        x: &mut SpreadScratch,
        gradient: &mut Natural,
    ) {
        let a = theta.base_rate[self.f];
        for i in 0..self.n {
            for k in 0..self.s {
                let at = i * self.s + k;
                let g = adjoint[k] * x.inv_background[at];
                x.adjoint.affected[at] += g * a;
                gradient.base_rate[self.f] += g * (x.ratios.affected[at] - 1.0);
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

    /// `G_f(source, footprint)` over `exp(common)`; returns the common logarithm (0 unless a long sum was rescaled).
    pub fn forward(
        &self,
        theta: &Natural,
        source: usize,
        x: &mut SpreadScratch,
        out: &mut [f64],
    ) -> f64 {
        x.active.clear();
        x.active.extend(0..self.s);
        self.sum_sets(theta, source, x);
        let (source, plan) = self.source(source);
        let (s, a) = (self.s, theta.base_rate[self.f]);
        let lanes = lanes(plan, s);
        let mut log = std::mem::take(&mut x.tables.log_scale);
        let total = x.tables.last();
        for k in 0..s {
            out[k] = if plan.target_bit.is_some() {
                mix(total, lanes, k)
            } else {
                total[k]
            };
        }
        let own = match source.origin {
            Origin::Roots(_) => &x.own,
            Origin::Link => &x.inv_background,
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
        if let Some((t, rate_share)) = self.unreached_alarm(source, plan) {
            for k in 0..s {
                out[k] *= alarm_mix(x.ratios.affected[t * s + k], rate_share * a).value;
            }
        }
        for u in &source.untraced {
            let (at, k) = (u.component * s + u.footprint, u.footprint);
            let ratio = u.ratio(theta, self.f, s, &x.ratios);
            out[k] *= (1.0 - a + a * ratio) * x.inv_background[at];
            if self.ground.alarm == Some(u.component) {
                out[k] *= alarm_mix(ratio, a).value / alarm_mix(x.ratios.affected[at], a).value;
            }
            keep_in_range(&mut out[k], &mut log[k]);
        }
        let common = bring_together(out, &log[..s]);
        x.tables.log_scale = log;
        common
    }

    fn source(&self, source: usize) -> (&Source, &Plan) {
        let source = &self.sources[source];
        (source, &self.plans[source.plan])
    }

    /// The target whose alarm this source does not reach, and its share of the base rate.
    fn unreached_alarm(&self, source: &Source, plan: &Plan) -> Option<(usize, f64)> {
        let t = self.ground.alarm.filter(|_| !source.explains_alarm)?;
        Some((
            t,
            if plan.dependencies.contains(&t) {
                DEPENDENCY_SHARE
            } else {
                1.0
            },
        ))
    }

    /// Fill the weights of the active footprints, each over the component's background, and run the sum.
    fn sum_sets(&self, theta: &Natural, source: usize, x: &mut SpreadScratch) {
        let (source, plan) = self.source(source);
        let (s, lanes) = (self.s, lanes(plan, x.active.len()));
        x.weights.clear();
        x.weights.resize(plan.nodes.len() * 2 * lanes, 1.0);
        x.path.resize(s, 0.0);
        for (p, &i) in plan.nodes.iter().enumerate() {
            let row = i * s..(i + 1) * s;
            let inv = &x.inv_background[row.clone()];
            let (affected, jacobian) = (&x.ratios.affected[row.clone()], &x.ratios.jacobian[row]);
            match &source.origin {
                Origin::Roots(doses) => {
                    doses.forward(p, theta, self.f, affected, jacobian, &mut x.path);
                }
                Origin::Link => x.path.copy_from_slice(affected),
            }
            let (off, on) = x.weights[p * 2 * lanes..(p + 1) * 2 * lanes].split_at_mut(lanes);
            for (j, &k) in x.active.iter().enumerate() {
                off[j] = inv[k];
                on[j] = x.path[k] * inv[k];
            }
        }
        x.tables.forward(plan, &x.weights, lanes, &x.rates);
    }

    /// Add the adjoints of `sum_k g[k] ln G(source, k)`; footprints with `g[k] = 0` cost nothing.
    pub fn backward(
        &self,
        theta: &Natural,
        source: usize,
        g: &[f64],
        x: &mut SpreadScratch,
        gradient: &mut Natural,
    ) {
        x.active.clear();
        x.active.extend((0..self.s).filter(|&k| g[k] > 0.0));
        if x.active.is_empty() {
            return;
        }
        self.sum_sets(theta, source, x);
        self.factors_backward(theta, source, g, x, gradient);
        let (source, plan) = self.source(source);
        let (f, s, n_active) = (self.f, self.s, x.active.len());
        let lanes = lanes(plan, n_active);
        let total = x.tables.last();
        x.final_adjoint.clear();
        x.final_adjoint.resize(total.len(), 0.0);
        for (j, &k) in x.active.iter().enumerate() {
            if plan.target_bit.is_none() {
                x.final_adjoint[j] += g[k] / total[j];
                continue;
            }
            let (prior_off, prior_on) = (total[n_active], total[lanes + n_active]);
            let sum = prior_off + prior_on;
            let prior = prior_on / sum;
            let m = mix(total, lanes, j);
            x.final_adjoint[j] += g[k] * (1.0 - ALARM_TRUE) / m;
            x.final_adjoint[lanes + j] += g[k] * (ALARM_TRUE / prior + 1.0 - ALARM_TRUE) / m;
            let d_prior = -g[k] * ALARM_TRUE * total[lanes + j] / (prior * prior * m);
            x.final_adjoint[lanes + n_active] += d_prior * prior_off / (sum * sum);
            x.final_adjoint[n_active] -= d_prior * prior_on / (sum * sum);
        }
        x.weight_adjoint.clear();
        x.weight_adjoint.resize(x.weights.len(), 0.0);
        let (rates, tables) = (&x.rates, &mut x.tables);
        let (d_transmission, d_base) = tables.backward(
            plan,
            &x.weights,
            rates,
            &x.final_adjoint,
            &mut x.weight_adjoint,
        );
        gradient.transmission[f] += d_transmission;
        gradient.base_rate[f] += d_base;
        let mut into = PairAdjoint {
            ratios: &mut x.adjoint,
            gradient,
        };
        for (p, &i) in plan.nodes.iter().enumerate() {
            for (j, &k) in x.active.iter().enumerate() {
                let cell = i * s + k;
                let d = x.weight_adjoint[(p * 2 + 1) * lanes + j] * x.inv_background[cell];
                match &source.origin {
                    Origin::Roots(doses) => {
                        doses.backward((p, p * s + k, cell), theta, f, &x.ratios, d, &mut into);
                    }
                    Origin::Link => into.ratios.affected[cell] += d,
                }
            }
        }
    }

    /// Adjoints of every factor of G outside the sum over sets, the backgrounds inside its weights included.
    fn factors_backward(
        &self,
        theta: &Natural,
        source: usize,
        g: &[f64],
        x: &mut SpreadScratch,
        gradient: &mut Natural,
    ) {
        let (source, plan) = self.source(source);
        let (f, s, own, a) = (self.f, self.s, theta.own_visible, theta.base_rate[self.f]);
        let low = DEPENDENCY_SHARE * a;
        for j in 0..x.active.len() {
            let k = x.active[j];
            for root in &plan.roots {
                let at = root * s + k;
                let br = x.ratios.root[at];
                if matches!(source.origin, Origin::Link) {
                    break;
                }
                let seen = 1.0 - own + own * br;
                gradient.own_visible += g[k] * (br - 1.0) / seen;
                x.adjoint.root[at] += g[k] * own / seen;
            }
            // Every root and every member of the reached set gives up its background factor.
            for &i in plan.roots.iter().chain(&plan.nodes) {
                let d = -g[k] * x.inv_background[i * s + k];
                x.adjoint.affected[i * s + k] += d * a;
                gradient.base_rate[f] += d * (x.ratios.affected[i * s + k] - 1.0);
            }
            for &i in &plan.dependencies {
                let be = x.ratios.affected[i * s + k];
                let (d, d_low) = (
                    -g[k] * x.inv_background[i * s + k],
                    g[k] / (1.0 - low + low * be),
                );
                x.adjoint.affected[i * s + k] += d * a + d_low * low;
                gradient.base_rate[f] += (d + d_low * DEPENDENCY_SHARE) * (be - 1.0);
            }
            if let Some((t, rate_share)) = self.unreached_alarm(source, plan) {
                let m = alarm_mix(x.ratios.affected[t * s + k], rate_share * a);
                x.adjoint.affected[t * s + k] += g[k] * m.d_ratio;
                gradient.base_rate[f] += g[k] * m.d_rate * rate_share;
            }
        }
        for u in source.untraced.iter().filter(|u| g[u.footprint] > 0.0) {
            self.untraced_backward(theta, u, g[u.footprint], x, gradient);
        }
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
        let (h_new, inv_old) = (1.0 - a + a * ratio, x.inv_background[at]);
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

/// One lane per footprint, and one more for the prior probability that the target is affected.
fn lanes(plan: &Plan, footprints: usize) -> usize {
    footprints + usize::from(plan.target_bit.is_some())
}

#[cfg(test)]
mod tests;
