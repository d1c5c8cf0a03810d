//! The sums over affected sets of all sources of a family, and the tables that their gradient needs.
//!
//! Sources with one plan are summed together: one lane per source and footprint, and one with unit weights where the
//! prior probability of the target being affected is wanted. The tables of a value are kept for its gradient, as many
//! as fit [`KEPT`]; the others are computed again.

use fearless_simd::dispatch;

use super::{Spread, SpreadScratch};
use crate::params::Natural;
use crate::propagation::affected::{self, Rates, Sweep};
use crate::propagation::alarm::{ALARM_TRUE, mix};
use crate::propagation::doses::{DoseLanes, PairAdjoint};
use crate::propagation::knot::KnotScratch;
use crate::propagation::plan::Plan;
use crate::propagation::source::Origin;
use crate::simd;

/// Numbers of all kept tables together, at most (16 MiB).
pub(super) const KEPT: usize = 1 << 21;

/// Where the tables of one plan lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    at: usize,
    kept: bool,
    lanes: usize,
    /// Lanes that are summed at once: 1, 2, 4 or 8, and the logarithm of that to base 2.
    width: usize,
    shift: u32,
    /// Numbers of one panel: weights, then states, then factors.
    weights: usize,
    states: usize,
    factors: usize,
    /// Numbers kept of the doses, after the panels.
    doses: usize,
}

/// The tables of all plans, by turns.
#[derive(Debug, Default)]
pub(super) struct Sums {
    arena: Vec<f64>,
    /// Sum of each source by footprint, over `exp(log)`.
    pub value: Vec<f64>,
    pub log: Vec<f64>,
    /// Adjoint of the logarithm of each sum.
    pub adjoint: Vec<f64>,
    /// Weights of a source's nodes, `[node * s + footprint]`.
    path: Vec<f64>,
    /// Adjoint of the last table, laid out as the last tables of a plan's panels.
    last: Vec<f64>,
    knots: KnotScratch,
    sweep: Sweep,
}

impl Slot {
    fn new(plan: &Plan, (sources, doses): (usize, usize), s: usize) -> Self {
        let lanes = sources * s + usize::from(plan.keeps_target);
        let width = lanes.next_power_of_two().min(8);
        let long = affected::is_long(plan);
        Self {
            at: 0,
            kept: false,
            lanes,
            width,
            shift: width.trailing_zeros(),
            weights: plan.nodes.len() * 2 * width,
            states: plan.states * width,
            factors: if long { plan.blocks.len() * width } else { 0 },
            doses,
        }
    }

    fn panel(&self) -> usize {
        self.weights + self.states + self.factors
    }

    fn panels(&self) -> usize {
        self.lanes.div_ceil(self.width)
    }

    fn size(&self) -> usize {
        self.panel() * self.panels() + self.doses
    }

    /// The panels and what is kept of the doses.
    fn split<'a>(&self, arena: &'a [f64]) -> (&'a [f64], &'a [f64]) {
        arena[self.at..self.at + self.size()].split_at(self.panel() * self.panels())
    }

    fn split_mut<'a>(&self, arena: &'a mut [f64]) -> (&'a mut [f64], &'a mut [f64]) {
        arena[self.at..self.at + self.size()].split_at_mut(self.panel() * self.panels())
    }

    /// The panel of a lane, and its place there.
    fn place(&self, lane: usize) -> (usize, usize) {
        (lane >> self.shift, lane & (self.width - 1))
    }

    /// Index of an entry of the last table, from the slot's own start.
    fn last(&self, on: bool, lane: usize, plan: &Plan) -> usize {
        let (panel, lane) = self.place(lane);
        let row = plan.states - if plan.keeps_target { 2 } else { 1 } + usize::from(on);
        panel * self.panel() + self.weights + row * self.width + lane
    }
}

impl Spread {
    /// Decide where every plan's tables lie; those that lie within the first `limit` numbers are kept.
    pub(super) fn arrange(&mut self, limit: usize) {
        let mut sources = vec![(0, 0); self.plans.len()];
        for source in &self.sources {
            let (number, doses) = &mut sources[source.plan];
            *number += 1;
            if let Origin::Roots(pairs) = &source.origin {
                *doses += pairs.kept();
            }
        }
        let plans = self.plans.iter().zip(sources);
        self.slots = plans.map(|(p, n)| Slot::new(p, n, self.s)).collect();
        let mut end = 0;
        for slot in &mut self.slots {
            slot.kept = end + slot.size() <= limit;
            if slot.kept {
                slot.at = end;
                end += slot.size();
            }
        }
        let mut largest = 0;
        for slot in self.slots.iter_mut().filter(|s| !s.kept) {
            slot.at = end;
            largest = largest.max(slot.size());
        }
        self.arena = end + largest;
    }

    /// Run all sums.
    pub(super) fn sum(&self, theta: &Natural, x: &mut SpreadScratch) {
        for (v, len) in [
            (&mut x.sums.value, self.sources.len() * self.s),
            (&mut x.sums.log, self.sources.len() * self.s),
            (&mut x.sums.adjoint, self.sources.len() * self.s),
        ] {
            v.clear();
            v.resize(len, 0.0);
        }
        if x.sums.arena.len() < self.arena {
            x.sums.arena.resize(self.arena, 0.0);
        }
        for plan in 0..self.plans.len() {
            self.sum_plan(theta, plan, x);
            self.read(plan, &mut x.sums);
        }
    }

    /// The sources that share a plan, each with its first lane.
    fn sharing(&self, plan: usize) -> impl Iterator<Item = (usize, usize)> {
        let link = (self.links && plan < self.n).then_some(self.n + plan);
        let first = if self.links && plan >= self.n {
            self.n + plan
        } else {
            plan
        };
        let lanes = (0..).step_by(self.s);
        [Some(first), link].into_iter().flatten().zip(lanes)
    }

    fn sum_plan(&self, theta: &Natural, plan: usize, x: &mut SpreadScratch) {
        self.fill(theta, plan, x);
        let (plan, slot) = (&self.plans[plan], &self.slots[plan]);
        let sums = &mut x.sums;
        let (tables, _) = slot.split_mut(&mut sums.arena);
        for panel in tables.chunks_exact_mut(slot.panel()) {
            forward(plan, slot, panel, &x.rates, &mut sums.knots);
        }
    }

    /// Fill the weights of all lanes of a plan, each over the component's background.
    fn fill(&self, theta: &Natural, plan: usize, x: &mut SpreadScratch) {
        let (s, slot, nodes) = (self.s, &self.slots[plan], &self.plans[plan].nodes);
        let sums = &mut x.sums;
        let (tables, kept) = slot.split_mut(&mut sums.arena);
        for panel in tables.chunks_exact_mut(slot.panel()) {
            panel[..slot.weights].fill(1.0);
        }
        for (source, first) in self.sharing(plan) {
            sums.path.clear();
            match &self.sources[source].origin {
                Origin::Roots(doses) => {
                    doses.forward(nodes, theta, self.f, &x.factors, kept, &mut sums.path);
                }
                Origin::Link => {
                    let rows = nodes.iter().map(|i| &x.factors.generic[i * s..(i + 1) * s]);
                    rows.for_each(|row| sums.path.extend_from_slice(row));
                }
            }
            for k in 0..s {
                let (panel, lane) = slot.place(first + k);
                let weights = &mut tables[panel * slot.panel() + lane..];
                for (p, &i) in nodes.iter().enumerate() {
                    weights[2 * p * slot.width] = x.factors.inv[i * s + k];
                    weights[(2 * p + 1) * slot.width] = sums.path[p * s + k];
                }
            }
        }
    }

    /// Prior probability of the target being affected, from the last tables of a plan; 1 where it is not reached.
    fn prior(&self, plan: usize, sums: &Sums) -> f64 {
        let (plan, slot) = (&self.plans[plan], &self.slots[plan]);
        if !plan.keeps_target {
            return 1.0;
        }
        let (tables, _) = slot.split(&sums.arena);
        let [off, on] = [false, true].map(|on| tables[slot.last(on, slot.lanes - 1, plan)]);
        on / (off + on)
    }

    /// Run one source's sum in one footprint: weights `[node * 2 + affected]`, and the prior of `prior`.
    pub(super) fn sum_once(
        &self,
        theta: &Natural,
        source: usize,
        footprint: usize,
        x: &mut SpreadScratch,
    ) -> (Vec<f64>, f64) {
        let plan = self.sources[source].plan;
        self.sum_plan(theta, plan, x);
        let (slot, nodes) = (&self.slots[plan], self.plans[plan].nodes.len());
        let mut lanes = self.sharing(plan).filter(|(i, _)| *i == source);
        let first = lanes.next().expect("a source has its plan's lanes").1;
        let (panel, lane) = slot.place(first + footprint);
        let (tables, _) = slot.split(&x.sums.arena);
        let weights = &tables[panel * slot.panel()..];
        let own = (0..2 * nodes).map(|at| weights[at * slot.width + lane]);
        (own.collect(), self.prior(plan, &x.sums))
    }

    /// Take the sums from the last tables of a plan.
    fn read(&self, plan: usize, sums: &mut Sums) {
        let prior = self.prior(plan, sums);
        let (index, plan, slot) = (plan, &self.plans[plan], &self.slots[plan]);
        let (tables, _) = slot.split(&sums.arena);
        let entry = |on, lane| tables[slot.last(on, lane, plan)];
        for (source, first) in self.sharing(index) {
            for k in 0..self.s {
                let lane = first + k;
                sums.value[source * self.s + k] = if plan.keeps_target {
                    mix(entry(false, lane), entry(true, lane), prior)
                } else {
                    entry(false, lane)
                };
                if slot.factors > 0 {
                    let (panel, lane) = slot.place(lane);
                    let factors = &tables[panel * slot.panel() + slot.weights + slot.states..];
                    let own = factors[lane..slot.factors].iter().step_by(slot.width);
                    sums.log[source * self.s + k] -=
                        own.filter(|&&f| f != 1.0).map(|f| f.ln()).sum::<f64>();
                }
            }
        }
    }

    /// Add the adjoints behind those of all sums.
    pub(super) fn sum_backward(
        &self,
        theta: &Natural,
        x: &mut SpreadScratch,
        gradient: &mut Natural,
    ) {
        for plan in 0..self.plans.len() {
            let active = self.sharing(plan).any(|(source, _)| {
                let row = source * self.s..(source + 1) * self.s;
                x.sums.adjoint[row].iter().any(|&g| g > 0.0)
            });
            // Where nothing is reached there is nothing to sum.
            if !active || self.plans[plan].nodes.is_empty() {
                continue;
            }
            if !self.slots[plan].kept {
                self.sum_plan(theta, plan, x);
            }
            self.last_adjoint(plan, &mut x.sums);
            self.plan_backward(theta, plan, x, gradient);
        }
    }

    /// Fill the adjoint of a plan's last tables.
    fn last_adjoint(&self, plan: usize, sums: &mut Sums) {
        let (index, plan, slot) = (plan, &self.plans[plan], &self.slots[plan]);
        let (tables, _) = slot.split(&sums.arena);
        let entry = |on, lane| tables[slot.last(on, lane, plan)];
        let rows = 1 + usize::from(plan.keeps_target);
        let at = |on, lane| {
            let (panel, lane) = slot.place(lane);
            ((panel * rows + usize::from(on)) << slot.shift) + lane
        };
        let d = &mut sums.last;
        d.clear();
        d.resize(slot.panels() * rows * slot.width, 0.0);
        let last = slot.lanes - 1;
        for (source, first) in self.sharing(index) {
            for k in 0..self.s {
                let (g, lane) = (sums.adjoint[source * self.s + k], first + k);
                if g <= 0.0 {
                    continue;
                }
                if !plan.keeps_target {
                    d[at(false, lane)] += g / entry(false, lane);
                    continue;
                }
                let (prior_off, prior_on) = (entry(false, last), entry(true, last));
                let sum = prior_off + prior_on;
                let prior = prior_on / sum;
                let (off, on) = (entry(false, lane), entry(true, lane));
                let g = g / mix(off, on, prior);
                d[at(false, lane)] += g * (1.0 - ALARM_TRUE);
                d[at(true, lane)] += g * (ALARM_TRUE / prior + 1.0 - ALARM_TRUE);
                let d_prior = -g * ALARM_TRUE * on / (prior * prior);
                d[at(true, last)] += d_prior * prior_off / (sum * sum);
                d[at(false, last)] -= d_prior * prior_on / (sum * sum);
            }
        }
    }

    fn plan_backward(
        &self,
        theta: &Natural,
        plan: usize,
        x: &mut SpreadScratch,
        gradient: &mut Natural,
    ) {
        let (index, plan, slot) = (plan, &self.plans[plan], &self.slots[plan]);
        let rows = (1 + usize::from(plan.keeps_target)) * slot.width;
        let mut into = PairAdjoint {
            ratios: &mut x.adjoint,
            gradient,
        };
        let Sums {
            arena,
            adjoint,
            last,
            knots,
            sweep,
            ..
        } = &mut x.sums;
        let (tables, kept) = slot.split(arena);
        let panels = tables.chunks_exact(slot.panel());
        for (j, (panel, last)) in panels.zip(last.chunks_exact(rows)).enumerate() {
            if last.iter().all(|&d| d == 0.0) {
                continue;
            }
            let (t, b) = backward(plan, slot, panel, last, &x.rates, knots, sweep);
            into.gradient.transmission[self.f] += t;
            into.gradient.base_rate[self.f] += b;
            for (source, first) in self.sharing(index) {
                // Footprints of this source whose lanes lie in this panel.
                let begin = (j * slot.width).saturating_sub(first);
                let end = ((j + 1) * slot.width).saturating_sub(first).min(self.s);
                for k in begin..end {
                    if adjoint[source * self.s + k] <= 0.0 {
                        continue;
                    }
                    let lanes = DoseLanes {
                        nodes: &plan.nodes,
                        footprint: k,
                        on: &sweep.on[slot.place(first + k).1..],
                        step: slot.width,
                    };
                    match &self.sources[source].origin {
                        Origin::Roots(doses) => {
                            doses.backward(
                                &lanes, theta, self.f, &x.ratios, &x.factors, kept, &mut into,
                            );
                        }
                        Origin::Link => lanes.generic_backward(self.s, &x.factors, &mut into),
                    }
                }
            }
        }
    }
}

fn forward(plan: &Plan, slot: &Slot, panel: &mut [f64], rates: &Rates, knots: &mut KnotScratch) {
    let (weights, rest) = panel.split_at_mut(slot.weights);
    let (states, factors) = rest.split_at_mut(slot.states);
    match slot.width {
        1 => affected::forward::<1>(plan, weights, rates, states, factors, knots),
        2 => affected::forward::<2>(plan, weights, rates, states, factors, knots),
        4 => {
            dispatch!(simd::level(), _ => affected::forward::<4>(plan, weights, rates, states, factors, knots))
        }
        _ => {
            dispatch!(simd::level(), _ => affected::forward::<8>(plan, weights, rates, states, factors, knots))
        }
    }
}

fn backward(
    plan: &Plan,
    slot: &Slot,
    panel: &[f64],
    last: &[f64],
    rates: &Rates,
    knots: &mut KnotScratch,
    sweep: &mut Sweep,
) -> (f64, f64) {
    let (w, rest) = panel.split_at(slot.weights);
    let (st, fa) = rest.split_at(slot.states);
    match slot.width {
        1 => affected::backward::<1>(plan, w, rates, st, fa, last, knots, sweep),
        2 => affected::backward::<2>(plan, w, rates, st, fa, last, knots, sweep),
        4 => {
            dispatch!(simd::level(), _ => affected::backward::<4>(plan, w, rates, st, fa, last, knots, sweep))
        }
        _ => {
            dispatch!(simd::level(), _ => affected::backward::<8>(plan, w, rates, st, fa, last, knots, sweep))
        }
    }
}
