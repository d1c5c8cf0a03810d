//! The sums over affected sets of all sources of a family, and the tables that their gradient needs.
//!
//! Sources with one plan are summed together: one lane per source and footprint, and one with unit weights where the
//! prior probability of the target being affected is wanted. The tables of a value are kept for its gradient, as many
//! as fit [`KEPT`]; the others are computed again.

use fearless_simd::{Level, dispatch};

use super::estimate::{Draw, Drawn, Totals};
use super::slot::Slot;
use super::{Spread, SpreadScratch};
use crate::params::Natural;
use crate::propagation::affected::{self, Rates, Sweep};
use crate::propagation::alarm::mix;
use crate::propagation::knot::KnotScratch;
use crate::propagation::plan::Plan;
use crate::propagation::source::Origin;

/// Numbers of all kept tables together, at most (16 MiB).
pub(super) const KEPT: usize = 1 << 21;

/// The tables of all plans, by turns.
#[derive(Debug, Default)]
pub(super) struct Sums {
    /// Whether no gradient follows: all plans then take their turns in one place, which stays in the cache.
    pub value_only: bool,
    pub arena: Vec<f64>,
    /// Sum of each source by footprint, over `exp(log)`.
    pub value: Vec<f64>,
    pub log: Vec<f64>,
    /// Adjoint of the logarithm of each sum.
    pub adjoint: Vec<f64>,
    /// Weights of a source's nodes, `[node * s + footprint]`.
    pub path: Vec<f64>,
    /// The last tables of one plan, `[with the target * lanes + lane]`, each lane over `exp(log)`.
    pub totals: Vec<f64>,
    pub lane_log: Vec<f64>,
    /// Adjoint of the last table, laid out as the last tables of a plan's panels.
    pub last: Vec<f64>,
    /// Estimated sums: standard error of the logarithm of each source by footprint, and the current plan's draws.
    pub error: Vec<f64>,
    pub drawn: Drawn,
    /// No parents given.
    pub none: Vec<u32>,
    pub knots: KnotScratch,
    pub sweep: Sweep,
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
        for (slot, plan) in self.slots.iter_mut().zip(&self.plans) {
            // The tables of an estimated sum are those of one draw.
            slot.kept = plan.clamps.is_empty() && end + slot.size() <= limit;
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
        self.largest_slot = self.slots.iter().map(Slot::size).max().unwrap_or(0);
    }

    /// Where the tables of a plan lie.
    pub(super) fn slot(&self, plan: usize, sums: &Sums) -> Slot {
        let mut slot = self.slots[plan];
        if sums.value_only {
            slot.at = 0;
        }
        slot
    }

    /// Run all sums.
    pub(super) fn sum(&self, theta: &Natural, x: &mut SpreadScratch) {
        for (v, len) in [
            (&mut x.sums.value, self.sources.len() * self.s),
            (&mut x.sums.log, self.sources.len() * self.s),
            (&mut x.sums.adjoint, self.sources.len() * self.s),
            (&mut x.sums.error, self.sources.len() * self.s),
        ] {
            v.clear();
            v.resize(len, 0.0);
        }
        for plan in 0..self.plans.len() {
            self.sum_plan(theta, plan, x);
            self.read(plan, &mut x.sums);
        }
    }

    /// The sources that share a plan, each with its first lane.
    pub(super) fn sharing(&self, plan: usize) -> impl Iterator<Item = (usize, usize)> {
        let link = (self.links && plan < self.n).then_some(self.n + plan);
        let first = if self.links && plan >= self.n {
            self.n + plan
        } else {
            plan
        };
        let lanes = (0..).step_by(self.s);
        [Some(first), link].into_iter().flatten().zip(lanes)
    }

    pub(super) fn sum_plan(&self, theta: &Natural, plan: usize, x: &mut SpreadScratch) {
        let room = if x.sums.value_only {
            self.largest_slot
        } else {
            self.arena
        };
        if x.sums.arena.len() < room {
            x.sums.arena.resize(room, 0.0);
        }
        self.fill(theta, plan, x);
        if self.banks[plan].is_some() {
            self.estimate(plan, x);
            return;
        }
        let slot = self.slot(plan, &x.sums);
        let (plan, sums) = (&self.plans[plan], &mut x.sums);
        let nodes = plan.nodes.len().max(sums.none.len());
        sums.none.resize(nodes, 0);
        let (tables, _) = slot.split_mut(&mut sums.arena);
        for panel in tables.chunks_exact_mut(slot.panel()) {
            forward(
                plan,
                &slot,
                panel,
                (&x.rates, &sums.none),
                &mut sums.knots,
                self.level,
            );
        }
    }

    /// Fill the weights of all lanes of a plan, each over the component's background.
    pub(super) fn fill(&self, theta: &Natural, plan: usize, x: &mut SpreadScratch) {
        let (s, slot, nodes) = (
            self.s,
            self.slot(plan, &x.sums),
            &self.plans[plan].nodes[..],
        );
        let sums = &mut x.sums;
        let (tables, kept) = slot.split_mut(&mut sums.arena);
        let mut used = 0;
        for (source, first) in self.sharing(plan) {
            used = first + s;
            sums.path.clear();
            match &self.sources[source].origin {
                Origin::Roots(doses) => {
                    doses.forward(
                        nodes,
                        theta,
                        self.f,
                        &x.factors,
                        kept,
                        &mut sums.path,
                        self.level,
                    );
                }
                Origin::Link => {
                    let rows = nodes.iter().map(|i| &x.factors.generic[i * s..(i + 1) * s]);
                    rows.for_each(|row| sums.path.extend_from_slice(row));
                }
            }
            if s == 1 {
                let (panel, lane) = slot.place(first);
                let rows = slot.rows(panel, tables).zip(nodes).zip(&sums.path);
                for ((row, i), path) in rows {
                    (row[lane], row[slot.width + lane]) = (x.factors.inv[*i], *path);
                }
                continue;
            }
            let mut k = 0;
            while k < s {
                let (panel, lane) = slot.place(first + k);
                let lanes = (slot.width - lane).min(s - k);
                let rows = slot.rows(panel, tables).zip(nodes);
                for ((row, i), path) in rows.zip(sums.path.chunks_exact(s)) {
                    let (off, on) = row.split_at_mut(slot.width);
                    if lanes == 1 {
                        // A copy of unknown length costs more than one number.
                        (off[lane], on[lane]) = (x.factors.inv[i * s + k], path[k]);
                        continue;
                    }
                    off[lane..lane + lanes].copy_from_slice(&x.factors.inv[i * s + k..][..lanes]);
                    on[lane..lane + lanes].copy_from_slice(&path[k..k + lanes]);
                }
                k += lanes;
            }
        }
        // The lane without data, if any, and those left over lie in the last panel.
        let last = slot.panels() - 1;
        let unit = used - last * slot.width;
        if unit < slot.width {
            for row in slot.rows(last, tables) {
                let (off, on) = row.split_at_mut(slot.width);
                off[unit..].iter_mut().for_each(|x| *x = 1.0);
                on[unit..].iter_mut().for_each(|x| *x = 1.0);
            }
        }
    }

    /// Take the last tables of a plan from its panels; those of an estimated sum are taken already.
    pub(super) fn collect(&self, plan: usize, sums: &mut Sums) {
        if self.banks[plan].is_some() {
            return;
        }
        let (slot, plan) = (self.slot(plan, sums), &self.plans[plan]);
        let (tables, _) = slot.split(&sums.arena);
        sums.totals.clear();
        for on in [false, true] {
            if on && !plan.keeps_target {
                continue;
            }
            if slot.panels() == 1 {
                let from = slot.last(on, 0, plan);
                sums.totals
                    .extend_from_slice(&tables[from..from + slot.lanes]);
            } else {
                let lanes = (0..slot.lanes).map(|lane| tables[slot.last(on, lane, plan)]);
                sums.totals.extend(lanes);
            }
        }
        sums.lane_log.clear();
        sums.lane_log
            .extend((0..slot.lanes).map(|lane| slot.log(lane, tables)));
    }

    fn totals<'a>(&self, plan: usize, sums: &'a Sums) -> Totals<'a> {
        Totals {
            all: &sums.totals,
            lanes: self.slots[plan].lanes,
            keeps_target: self.plans[plan].keeps_target,
        }
    }

    /// Run the sums of one source's plan; return the lane of a footprint and the prior of the target being affected.
    pub(super) fn sum_once(
        &self,
        theta: &Natural,
        source: usize,
        footprint: usize,
        x: &mut SpreadScratch,
    ) -> (usize, f64) {
        let plan = self.sources[source].plan;
        self.sum_plan(theta, plan, x);
        self.collect(plan, &mut x.sums);
        let mut lanes = self.sharing(plan).filter(|(i, _)| *i == source);
        let first = lanes.next().expect("a source has its plan's lanes").1;
        (first + footprint, self.totals(plan, &x.sums).prior())
    }

    /// The draws of a plan that is summed over some, with their parts of one lane's sum.
    pub(super) fn parts(&self, plan: usize, lane: usize, sums: &Sums) -> Vec<(&Draw, f64)> {
        let bank = self.banks[plan].as_ref();
        let parts = bank.map(|b| b.parts(&sums.drawn, lane, self.totals(plan, sums)));
        parts.unwrap_or_default()
    }

    /// The weights of one lane of a plan, `[node * 2 + affected]`.
    pub(super) fn lane_weights(&self, plan: usize, lane: usize, sums: &Sums) -> Vec<f64> {
        let (slot, nodes) = (self.slot(plan, sums), self.plans[plan].nodes.len());
        let (panel, lane) = slot.place(lane);
        let weights = &slot.split(&sums.arena).0[panel * slot.panel()..];
        let own = (0..2 * nodes).map(|at| weights[at * slot.width + lane]);
        own.collect()
    }

    /// Take the sums of a plan's sources from its last tables.
    fn read(&self, plan: usize, sums: &mut Sums) {
        self.collect(plan, sums);
        let totals = Totals {
            all: &sums.totals,
            lanes: self.slots[plan].lanes,
            keeps_target: self.plans[plan].keeps_target,
        };
        let prior = totals.prior();
        for (source, first) in self.sharing(plan) {
            for k in 0..self.s {
                let (at, lane) = (source * self.s + k, first + k);
                sums.value[at] = if totals.keeps_target {
                    mix(totals.all[lane], totals.all[totals.lanes + lane], prior)
                } else {
                    totals.all[lane]
                };
                if let Some(bank) = &self.banks[plan] {
                    sums.error[at] = sums.drawn.error(bank, lane, totals);
                }
                sums.log[at] = sums.lane_log[lane];
            }
        }
    }
}

/// One panel of a sum; `given` as in `affected::step`.
pub(super) fn forward(
    plan: &Plan,
    slot: &Slot,
    panel: &mut [f64],
    given: (&Rates, &[u32]),
    knots: &mut KnotScratch,
    level: Level,
) {
    let (w, rest) = panel.split_at_mut(slot.weights);
    let (st, fa) = rest.split_at_mut(slot.states);
    match slot.width {
        1 => affected::forward::<1>(plan, w, given, st, fa, knots),
        2 => affected::forward::<2>(plan, w, given, st, fa, knots),
        4 => {
            dispatch!(level, _ => affected::forward::<4>(plan, w, given, st, fa, knots));
        }
        _ => {
            dispatch!(level, _ => affected::forward::<8>(plan, w, given, st, fa, knots));
        }
    }
}

/// The adjoints of one panel, from that of its last table.
#[allow(clippy::too_many_arguments)] // The mirror of `forward`.
pub(super) fn backward(
    plan: &Plan,
    slot: &Slot,
    panel: &[f64],
    last: &[f64],
    given: (&Rates, &[u32]),
    knots: &mut KnotScratch,
    sweep: &mut Sweep,
    level: Level,
) -> (f64, f64) {
    let (w, rest) = panel.split_at(slot.weights);
    let (st, fa) = rest.split_at(slot.states);
    match slot.width {
        1 => affected::backward::<1>(plan, w, given, st, fa, last, knots, sweep),
        2 => affected::backward::<2>(plan, w, given, st, fa, last, knots, sweep),
        4 => dispatch!(level, _ => {
            affected::backward::<4>(plan, w, given, st, fa, last, knots, sweep)
        }),
        _ => dispatch!(level, _ => {
            affected::backward::<8>(plan, w, given, st, fa, last, knots, sweep)
        }),
    }
}
