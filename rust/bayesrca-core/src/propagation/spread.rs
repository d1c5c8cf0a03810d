//! How much better one family's telemetry is explained by a fault that spreads from a root than by none:
//! `G_f(R, footprint)` of eq. 8.

use super::affected::{Tables, Weights};
use super::cells::{Cells, Ratios};
use super::doses::{PairAdjoint, PairDoses};
use super::plan::Plan;
use super::untraced::{Untraced, moved, untraced};
use crate::error::Result;
use crate::evidence::FamilyEvidence;
use crate::graph::Graph;
use crate::params::Natural;

/// Probability that the alarm on the target is a true effect (eq. 9).
const ALARM_TRUE: f64 = 0.9;
/// The base rate of a root's own dependencies, relative to everybody's.
const DEPENDENCY_SHARE: f64 = 0.1;

/// One family, prepared.
#[derive(Debug, Clone)]
pub(crate) struct Spread {
    f: usize,
    s: usize,
    pub cells: Cells,
    plans: Vec<(Plan, PairDoses, Vec<Untraced>)>,
    /// The target, when its alarm is in this family.
    alarm: Option<usize>,
}

/// Scratch of one family.
#[derive(Debug, Default)]
pub(crate) struct SpreadScratch {
    pub ratios: Ratios,
    pub adjoint: Ratios,
    tables: Tables,
    path: Vec<f64>,
    path_adjoint: Vec<f64>,
    weights: Weights,
    weight_adjoint: Vec<f64>,
    final_adjoint: Vec<f64>,
    /// Per node and footprint: the factor taken out of both weights.
    taken: Vec<f64>,
    /// Per footprint: product of the factors taken out, and its logarithm where it left the range of a double.
    product: Vec<f64>,
    log_product: Vec<f64>,
}

impl Spread {
    pub fn new(
        e: &FamilyEvidence,
        f: usize,
        n: usize,
        s: usize,
        alarm: Option<usize>,
        target: Option<usize>,
        max_width: usize,
    ) -> Result<Self> {
        let graph = Graph::new(n, &e.edges);
        let cells = Cells::new(e, n, s);
        let moved = moved(e, s);
        let mut plans = Vec::with_capacity(n);
        for root in 0..n {
            let plan = Plan::new(&graph, root, alarm, max_width)?;
            let doses = PairDoses::new(e, &plan, root, s, target);
            let untraced = untraced(e, &cells, &plan, root, s, &moved);
            plans.push((plan, doses, untraced));
        }
        Ok(Self {
            f,
            s,
            cells,
            plans,
            alarm,
        })
    }

    pub fn width(&self) -> usize {
        self.plans
            .iter()
            .map(|(p, _, _)| p.width)
            .max()
            .unwrap_or(0)
    }

    /// Whether a fault at `root` can explain the alarm through this family.
    pub fn explains_alarm(&self, root: usize) -> bool {
        self.alarm
            .is_some_and(|t| t == root || self.plans[root].0.nodes.binary_search(&t).is_ok())
    }

    /// Add each footprint's log density ratio of "no cause, everybody at the base rate" to `out`.
    pub fn add_background(&self, theta: &Natural, r: &Ratios, out: &mut [f64]) {
        let a = theta.base_rate[self.f];
        let n = self.plans.len();
        for k in 0..self.s {
            let (mut product, mut total) = (1.0, 0.0);
            for i in 0..n {
                product *= 1.0 - a + a * r.affected[i * self.s + k];
                if !(1e-200..1e200).contains(&product) {
                    total += f64::ln(product);
                    product = 1.0;
                }
            }
            out[k] += total + product.ln();
        }
    }

    /// Adjoint of `add_background`, `adjoint[k]` per footprint.
    pub fn background_backward(
        &self,
        theta: &Natural,
        adjoint: &[f64],
        x: &mut SpreadScratch,
        gradient: &mut Natural,
    ) {
        let a = theta.base_rate[self.f];
        for i in 0..self.plans.len() {
            for k in 0..self.s {
                let be = x.ratios.affected[i * self.s + k];
                let g = adjoint[k] / (1.0 - a + a * be);
                x.adjoint.affected[i * self.s + k] += g * a;
                gradient.base_rate[self.f] += g * (be - 1.0);
            }
        }
    }

    /// Factor of the target's alarm when no modelled fault reaches it, relative to the background.
    pub fn alarm_factor(&self, theta: &Natural, r: &Ratios, k: usize) -> f64 {
        self.alarm.map_or(1.0, |t| {
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
        let Some(t) = self.alarm else { return };
        let at = t * self.s + k;
        let m = alarm_mix(x.ratios.affected[at], theta.base_rate[self.f]);
        x.adjoint.affected[at] += g * m.d_ratio;
        gradient.base_rate[self.f] += g * m.d_rate;
    }

    /// `G_f(root, footprint)` over `exp(common)`; returns the common logarithm (0 unless the range of a double is left).
    pub fn forward(
        &self,
        theta: &Natural,
        root: usize,
        x: &mut SpreadScratch,
        out: &mut [f64],
    ) -> f64 {
        let common = self.sum_sets(theta, root, x);
        let (plan, _, untraced) = &self.plans[root];
        let lanes = self.lanes(plan);
        let total = x.tables.last();
        let (own, a) = (theta.own_visible, theta.base_rate[self.f]);
        for k in 0..self.s {
            let at = root * self.s + k;
            let h = 1.0 - a + a * x.ratios.affected[at];
            let mut g = (1.0 - own + own * x.ratios.root[at]) / h;
            for &d in &plan.dependencies {
                let be = x.ratios.affected[d * self.s + k];
                let low = DEPENDENCY_SHARE * a;
                g *= (1.0 - low + low * be) / (1.0 - a + a * be);
            }
            g *= match plan.target_bit {
                Some(_) => mix(total, lanes, k),
                None => total[k],
            };
            g *= x.product[k] * (x.log_product[k] - common).exp();
            if let Some((at, rate_share)) = self.unreached_alarm(root, k) {
                g *= alarm_mix(x.ratios.affected[at], rate_share * a).value;
            }
            out[k] = g;
        }
        for u in untraced {
            let be = x.ratios.affected[u.component * self.s + u.footprint];
            let ratio = u.ratio(theta, self.f, self.s, &x.ratios);
            let g = &mut out[u.footprint];
            *g *= (1.0 - a + a * ratio) / (1.0 - a + a * be);
            if self.alarm == Some(u.component) {
                *g *= alarm_mix(ratio, a).value / alarm_mix(be, a).value;
            }
        }
        common
    }

    /// Where to read the alarm of a target this root does not reach, and its share of the base rate.
    fn unreached_alarm(&self, root: usize, k: usize) -> Option<(usize, f64)> {
        let t = self.alarm.filter(|_| !self.explains_alarm(root))?;
        let is_dependency = self.plans[root].0.dependencies.contains(&t);
        Some((
            t * self.s + k,
            if is_dependency { DEPENDENCY_SHARE } else { 1.0 },
        ))
    }

    fn lanes(&self, plan: &Plan) -> usize {
        self.s + usize::from(plan.target_bit.is_some())
    }

    /// Fill the weights, run the sum; return the largest log factor taken out (0 when all fit a double).
    fn sum_sets(&self, theta: &Natural, root: usize, x: &mut SpreadScratch) -> f64 {
        let (plan, doses, _) = &self.plans[root];
        let (s, lanes) = (self.s, self.lanes(plan));
        doses.forward(plan, s, theta, self.f, &self.cells, &x.ratios, &mut x.path);
        x.weights.clear();
        x.weights.resize(plan.nodes.len() * 2 * lanes, 1.0);
        x.taken.clear();
        x.product.clear();
        x.product.resize(s, 1.0);
        x.log_product.clear();
        x.log_product.resize(s, 0.0);
        let a = theta.base_rate[self.f];
        for (p, &i) in plan.nodes.iter().enumerate() {
            for k in 0..s {
                let w = x.path[p * s + k];
                let big = w.max(1.0);
                x.weights[p * 2 * lanes + k] = 1.0 / big;
                x.weights[(p * 2 + 1) * lanes + k] = w / big;
                let taken = big / (1.0 - a + a * x.ratios.affected[i * s + k]);
                x.taken.push(big);
                x.product[k] *= taken;
                if !(1e-100..1e100).contains(&x.product[k]) {
                    x.log_product[k] += x.product[k].ln();
                    x.product[k] = 1.0;
                }
            }
        }
        x.tables
            .forward(plan, &x.weights, lanes, theta.transmission[self.f], a);
        x.log_product.iter().copied().fold(0.0, f64::max)
    }

    /// Add the adjoints of `sum_k g[k] ln G(root, k)`.
    pub fn backward(
        &self,
        theta: &Natural,
        root: usize,
        g: &[f64],
        x: &mut SpreadScratch,
        gradient: &mut Natural,
    ) {
        self.sum_sets(theta, root, x);
        let (plan, doses, _) = &self.plans[root];
        let (f, s, lanes) = (self.f, self.s, self.lanes(plan));
        self.factors_backward(theta, root, g, x, gradient);
        let total = x.tables.last();
        x.final_adjoint.clear();
        x.final_adjoint.resize(total.len(), 0.0);
        for k in (0..s).filter(|&k| g[k] > 0.0) {
            if plan.target_bit.is_some() {
                let (off, on, prior) = (total[k], total[lanes + k], total[lanes + s]);
                let m = mix(total, lanes, k);
                x.final_adjoint[k] += g[k] * (1.0 - ALARM_TRUE) / m;
                x.final_adjoint[lanes + k] += g[k] * (ALARM_TRUE / prior + 1.0 - ALARM_TRUE) / m;
                x.final_adjoint[lanes + s] -= g[k] * ALARM_TRUE * on / (prior * prior * m);
                debug_assert!(off >= 0.0);
            } else {
                x.final_adjoint[k] += g[k] / total[k];
            }
        }
        x.weight_adjoint.clear();
        x.weight_adjoint.resize(x.weights.len(), 0.0);
        let (d_transmission, d_base) =
            x.tables
                .backward(plan, &x.weights, &x.final_adjoint, &mut x.weight_adjoint);
        gradient.transmission[f] += d_transmission;
        gradient.base_rate[f] += d_base;
        x.path_adjoint.clear();
        for p in 0..plan.nodes.len() {
            for k in 0..s {
                x.path_adjoint
                    .push(x.weight_adjoint[(p * 2 + 1) * lanes + k] / x.taken[p * s + k]);
            }
        }
        let mut into = PairAdjoint {
            ratios: &mut x.adjoint,
            gradient,
        };
        doses.backward(
            plan,
            s,
            theta,
            f,
            &self.cells,
            &x.ratios,
            &x.path_adjoint,
            &mut into,
        );
    }

    /// Adjoints of every factor of G outside the sum over sets.
    fn factors_backward(
        &self,
        theta: &Natural,
        root: usize,
        g: &[f64],
        x: &mut SpreadScratch,
        gradient: &mut Natural,
    ) {
        let plan = &self.plans[root].0;
        let (f, s, own, a) = (self.f, self.s, theta.own_visible, theta.base_rate[self.f]);
        let low = DEPENDENCY_SHARE * a;
        for k in 0..s {
            let at = root * s + k;
            let br = x.ratios.root[at];
            let seen = 1.0 - own + own * br;
            gradient.own_visible += g[k] * (br - 1.0) / seen;
            x.adjoint.root[at] += g[k] * own / seen;
            // ln of the background factor h that every member of {root} and the reached set gives up.
            for i in std::iter::once(root).chain(plan.nodes.iter().copied()) {
                let be = x.ratios.affected[i * s + k];
                let d = -g[k] / (1.0 - a + a * be);
                x.adjoint.affected[i * s + k] += d * a;
                gradient.base_rate[f] += d * (be - 1.0);
            }
            for &i in &plan.dependencies {
                let be = x.ratios.affected[i * s + k];
                let (d, d_low) = (-g[k] / (1.0 - a + a * be), g[k] / (1.0 - low + low * be));
                x.adjoint.affected[i * s + k] += d * a + d_low * low;
                gradient.base_rate[f] += (d + d_low * DEPENDENCY_SHARE) * (be - 1.0);
            }
            if let Some((at, rate_share)) = self.unreached_alarm(root, k) {
                let m = alarm_mix(x.ratios.affected[at], rate_share * a);
                x.adjoint.affected[at] += g[k] * m.d_ratio;
                gradient.base_rate[f] += g[k] * m.d_rate * rate_share;
            }
        }
        for u in &self.plans[root].2 {
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
        let (h_new, h_old) = (1.0 - a + a * ratio, 1.0 - a + a * be);
        let (mut d_ratio, mut d_be) = (a / h_new, -a / h_old);
        let mut d_rate = (ratio - 1.0) / h_new - (be - 1.0) / h_old;
        if self.alarm == Some(u.component) {
            let (new, old) = (alarm_mix(ratio, a), alarm_mix(be, a));
            d_ratio += new.d_ratio;
            d_be -= old.d_ratio;
            d_rate += new.d_rate - old.d_rate;
        }
        x.adjoint.affected[at] += g * d_be;
        gradient.base_rate[f] += g * d_rate;
        u.backward(
            theta,
            f,
            s,
            g * d_ratio,
            &x.ratios,
            &mut x.adjoint,
            gradient,
        );
    }
}

/// `(ALARM_TRUE r + (1 - ALARM_TRUE) h) / h` with `h = 1 - a + a r`, and the derivatives of its logarithm.
struct AlarmMix {
    value: f64,
    d_ratio: f64,
    d_rate: f64,
}

fn alarm_mix(ratio: f64, rate: f64) -> AlarmMix {
    let h = 1.0 - rate + rate * ratio;
    let mixed = ALARM_TRUE * ratio + (1.0 - ALARM_TRUE) * h;
    let d_h = (1.0 - ALARM_TRUE) / mixed - 1.0 / h;
    AlarmMix {
        value: mixed / h,
        d_ratio: ALARM_TRUE / mixed + d_h * rate,
        d_rate: d_h * (ratio - 1.0),
    }
}

/// The sum over sets, conditioned on the target being affected with weight `ALARM_TRUE` (eq. 9).
fn mix(total: &[f64], lanes: usize, k: usize) -> f64 {
    let (off, on, prior) = (total[k], total[lanes + k], total[2 * lanes - 1]);
    ALARM_TRUE * on / prior + (1.0 - ALARM_TRUE) * (off + on)
}
