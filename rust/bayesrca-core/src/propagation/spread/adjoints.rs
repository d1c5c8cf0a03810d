//! The gradient of the sums of a family, from the adjoints of their logarithms to those of the cells.

use super::sums::{Sums, backward};
use super::{Spread, SpreadScratch};
use crate::params::Natural;
use crate::propagation::alarm::{ALARM_TRUE, mix};
use crate::propagation::doses::{DoseLanes, PairAdjoint};
use crate::propagation::source::Origin;

impl Spread {
    /// Add the adjoints behind those of all sums.
    pub(super) fn sum_backward(
        &self,
        theta: &Natural,
        x: &mut SpreadScratch,
        gradient: &mut Natural,
    ) {
        for plan in 0..self.plans.len() {
            if !self.give_up_background(plan, x) || self.plans[plan].nodes.is_empty() {
                // Where nothing is reached there is nothing to sum.
                continue;
            }
            if !self.slots[plan].kept {
                self.sum_plan(theta, plan, x);
            }
            self.collect(plan, &mut x.sums);
            self.last_adjoint(plan, &mut x.sums);
            self.plan_backward(theta, plan, x, gradient);
        }
    }

    /// Add the adjoints of the background factors that every root, every member of the reached set and every dependency
    /// of a plan's sources gives up; false where none of the sources counts.
    fn give_up_background(&self, plan: usize, x: &mut SpreadScratch) -> bool {
        let s = self.s;
        let mut active = false;
        for (source, _) in self.sharing(plan) {
            let g = &x.sums.adjoint[source * s..(source + 1) * s];
            if !g.iter().any(|&g| g > 0.0) {
                continue;
            }
            active = true;
            let plan = &self.plans[plan];
            for part in [&plan.roots, &plan.nodes, &plan.dependencies] {
                if s == 1 {
                    for &i in part {
                        x.given_up[i] += g[0];
                    }
                    continue;
                }
                for &i in part {
                    for (d, g) in x.given_up[i * s..(i + 1) * s].iter_mut().zip(g) {
                        *d += g;
                    }
                }
            }
        }
        active
    }

    /// Fill the adjoint of a plan's last tables.
    fn last_adjoint(&self, plan: usize, sums: &mut Sums) {
        let (index, plan, slot) = (plan, &self.plans[plan], &self.slots[plan]);
        let totals = &sums.totals;
        let entry = |on, lane| totals[usize::from(on) * slot.lanes + lane];
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
            drawn,
            none,
            ..
        } = &mut x.sums;
        let (tables, kept) = slot.split_mut(arena);
        let panels = tables.chunks_exact_mut(slot.panel());
        for (j, (panel, last)) in panels.zip(last.chunks_exact(rows)).enumerate() {
            if last.iter().all(|&d| d == 0.0) {
                continue;
            }
            let (t, b) = if let Some(bank) = &self.banks[index] {
                drawn.backward(
                    bank,
                    plan,
                    slot,
                    (j, panel),
                    last,
                    &x.rates,
                    knots,
                    sweep,
                    self.level,
                )
            } else {
                backward(
                    plan,
                    slot,
                    panel,
                    last,
                    (&x.rates, none),
                    knots,
                    sweep,
                    self.level,
                )
            };
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
