//! Sums past the width limit: some components are clamped to given states, the rest is summed exactly.
//!
//! With `F(c)` the sum in which the clamped components have the states `c`, the whole sum is that of all `F(c)`. Where
//! there are few enough `c` all are taken and the sum is exact. Otherwise it is the importance-sampling mean of
//! `F(c) / q(c)` over draws that are made once, when the source is prepared, and hold for every theta: value and
//! gradient are smooth and belong together, the sum is unbiased at any theta, and its logarithm low by half its variance.
//! `q` is a mixture (balance heuristic, Veach & Guibas 1995) of sequential proposals at the reference theta below: each
//! clamped component in turn follows the sum over all that came before it, in one of a few footprints or without data.

use std::collections::BTreeMap;

use fearless_simd::Level;

use super::slot::Slot;
use super::sums::{backward, forward};
use super::{Spread, SpreadScratch};
use crate::params::Natural;
use crate::propagation::affected::{self, Rates, Sweep};
use crate::propagation::alarm::{ALARM_TRUE, mix};
use crate::propagation::knot::KnotScratch;
use crate::propagation::plan::{Plan, What};
use crate::propagation::range::log_sum_exp;
use crate::rng::{Purpose, Stream};

/// Draws of one source.
const DRAWS: usize = 64;
/// Footprints whose data guide the draws, at most.
const GUIDES: usize = 3;
/// Proposals keep at least this probability for either state.
const DEFENSIVE: f64 = 0.03;

/// The states in which the clamped components of one plan are summed over.
#[derive(Debug, Clone)]
pub(super) struct Bank {
    /// Logarithm of the weight of each, and how many draws it stands for.
    draws: Vec<Draw>,
    /// Number of draws; none where all states are listed.
    size: Option<f64>,
}

#[derive(Debug, Clone)]
pub(super) struct Draw {
    /// State of each clamped component.
    pub on: Vec<bool>,
    /// How many clamped parents of each node are affected.
    pub given: Vec<u32>,
    log_weight: f64,
    count: f64,
}

/// Results of all draws of the plan at hand.
#[derive(Debug, Default)]
pub(super) struct Drawn {
    /// Last tables `[draw][with the target * lanes + lane]`, each lane over `exp(log)`.
    entries: Vec<f64>,
    log: Vec<f64>,
    /// Share of each draw in a lane's total, weights included: `[draw * lanes + lane]`.
    share: Vec<f64>,
    on: Vec<f64>,
}

impl Bank {
    /// Every draw, with its part of the sum in one lane after the bank's plan was summed.
    pub fn parts<'a>(
        &'a self,
        drawn: &Drawn,
        lane: usize,
        totals: Totals<'_>,
    ) -> Vec<(&'a Draw, f64)> {
        let part = |m| {
            totals.mix(
                drawn.part(m, false, lane, totals),
                drawn.part(m, true, lane, totals),
            )
        };
        self.draws
            .iter()
            .enumerate()
            .map(|(m, d)| (d, part(m)))
            .collect()
    }
}

/// The last tables of one plan, all draws together: `[with the target * lanes + lane]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Totals<'a> {
    pub all: &'a [f64],
    pub lanes: usize,
    pub keeps_target: bool,
}

impl Totals<'_> {
    pub fn prior(&self) -> f64 {
        if !self.keeps_target {
            return 1.0;
        }
        let (off, on) = (self.all[self.lanes - 1], self.all[2 * self.lanes - 1]);
        on / (off + on)
    }

    /// Parts of a lane's entries conditioned on the alarm.
    pub fn mix(&self, off: f64, on: f64) -> f64 {
        if self.keeps_target {
            mix(off, on, self.prior())
        } else {
            off
        }
    }
}

impl Draw {
    pub fn new(plan: &Plan, on: Vec<bool>) -> Self {
        let mut given = vec![0; plan.nodes.len()];
        for (clamp, _) in plan.clamps.iter().zip(&on).filter(|(_, on)| **on) {
            clamp.children.iter().for_each(|&c| given[c] += 1);
        }
        Self {
            on,
            given,
            log_weight: 0.0,
            count: 1.0,
        }
    }

    /// Take away the states that are not given from weights of `width` lanes.
    pub fn clamp(&self, plan: &Plan, weights: &mut [f64], width: usize) {
        for (clamp, &on) in plan.clamps.iter().zip(&self.on) {
            let at = (clamp.node * 2 + usize::from(!on)) * width;
            weights[at..at + width].fill(0.0);
        }
    }
}

/// The theta at which draws are made.
fn reference() -> Natural {
    Natural {
        noise_scale: [1.0; 2],
        tail_weight: [0.02; 2],
        effect_size: [6.0; 2],
        root_effect_size: [12.0; 2],
        base_rate: [0.03; 2],
        transmission: [0.6; 2],
        dose_spread: [0.3; 2],
        full_dose_target: 0.7,
        full_dose_path: 0.2,
        unrelated_dose: 0.05,
        own_visible: 0.95,
        ..Natural::default()
    }
}

impl Spread {
    /// Whether the sum of a source is estimated.
    pub fn is_estimated(&self, source: usize) -> bool {
        let bank = &self.banks[self.sources[source].plan];
        bank.as_ref().is_some_and(|b| b.size.is_some())
    }

    /// Standard error of `ln G(source, footprint)` at the theta of `start`, by footprint; 0 where it is exact.
    pub fn log_std_err<'a>(&self, source: usize, x: &'a SpreadScratch) -> &'a [f64] {
        &x.sums.error[source * self.s..(source + 1) * self.s]
    }

    /// Draw the states of the clamped components of every plan that has none yet.
    pub(super) fn draw_banks(&mut self) {
        let Some(seed) = self.ground.seed else {
            self.banks.resize(self.plans.len(), None);
            return;
        };
        let first = self.banks.len();
        self.banks.resize(self.plans.len(), None);
        if self.plans[first..].iter().all(|p| p.clamps.is_empty()) {
            return;
        }
        let (theta, mut x) = (reference(), SpreadScratch::default());
        self.set(&theta, &mut x);
        x.sums.arena.resize(self.arena, 0.0);
        for plan in first..self.plans.len() {
            if !self.plans[plan].clamps.is_empty() {
                self.fill(&theta, plan, &mut x);
                self.banks[plan] = Some(self.draw_bank(plan, seed, &x));
            }
        }
    }

    fn draw_bank(&self, index: usize, seed: u64, x: &SpreadScratch) -> Bank {
        let plan = &self.plans[index];
        let clamps = plan.clamps.len();
        if 1usize
            .checked_shl(clamps as u32)
            .is_some_and(|n| n <= DRAWS)
        {
            let state = |c: usize| Draw::new(plan, (0..clamps).map(|b| c >> b & 1 == 1).collect());
            return Bank {
                draws: (0..1 << clamps).map(state).collect(),
                size: None,
            };
        }
        let guides = self.s.min(GUIDES);
        let mut proposals = vec![vec![1.0; 2 * plan.nodes.len()]];
        let guide = |j: usize| self.lane_weights(index, j * self.s / guides, &x.sums);
        proposals.extend((0..guides).map(guide));
        let mut found: BTreeMap<Vec<bool>, f64> = BTreeMap::new();
        // Streams belong to roots, so that no plan's draws depend on which others there are.
        let unit = plan.roots.iter().fold(0, |u, &r| (u << 20) + r as u64 + 1);
        let mut stream = Stream::new(seed, Purpose::Clamps, unit);
        let mut uniform = || (stream.bits() >> 11) as f64 / (1u64 << 53) as f64;
        for m in 0..DRAWS {
            let weights = &proposals[m % proposals.len()];
            let (on, _) = propose(plan, weights, &x.rates, &mut |_, p| uniform() < p);
            *found.entry(on).or_default() += 1.0;
        }
        let draws = found.into_iter().map(|(on, count)| {
            let log_q: Vec<f64> = proposals
                .iter()
                .map(|w| propose(plan, w, &x.rates, &mut |c, _| on[c]).1)
                .collect();
            let log_q = log_sum_exp(&log_q) - (proposals.len() as f64).ln();
            Draw {
                log_weight: count.ln() - (DRAWS as f64).ln() - log_q,
                count,
                ..Draw::new(plan, on)
            }
        });
        Bank {
            draws: draws.collect(),
            size: Some(DRAWS as f64),
        }
    }

    /// The sum of a plan with clamped components, its weights filled.
    pub(super) fn estimate(&self, index: usize, x: &mut SpreadScratch) {
        let (plan, slot) = (&self.plans[index], self.slot(index, &x.sums));
        let bank = self.banks[index].as_ref().expect("the caller looked");
        let sums = &mut x.sums;
        let (tables, _) = slot.split_mut(&mut sums.arena);
        let drawn = &mut sums.drawn;
        drawn.entries.clear();
        drawn.log.clear();
        for draw in &bank.draws {
            for panel in tables.chunks_exact_mut(slot.panel()) {
                let whole = panel[..slot.weights].to_vec();
                draw.clamp(plan, &mut panel[..slot.weights], slot.width);
                forward(
                    plan,
                    &slot,
                    panel,
                    (&x.rates, &draw.given),
                    &mut sums.knots,
                    self.level,
                );
                panel[..slot.weights].copy_from_slice(&whole);
            }
            for on in [false, true] {
                if on <= plan.keeps_target {
                    let lanes = (0..slot.lanes).map(|lane| tables[slot.last(on, lane, plan)]);
                    drawn.entries.extend(lanes);
                }
            }
            let log = (0..slot.lanes).map(|lane| slot.log(lane, tables) + draw.log_weight);
            drawn.log.extend(log);
        }
        let lanes = slot.lanes;
        sums.lane_log.clear();
        sums.lane_log.resize(lanes, f64::NEG_INFINITY);
        for row in drawn.log.chunks_exact(lanes) {
            for (most, log) in sums.lane_log.iter_mut().zip(row) {
                *most = most.max(*log);
            }
        }
        drawn.share.clear();
        for row in drawn.log.chunks_exact(lanes) {
            let over = row.iter().zip(&sums.lane_log);
            drawn
                .share
                .extend(over.map(|(log, most)| (log - most).exp()));
        }
        let entries = drawn.entries.len() / bank.draws.len();
        sums.totals.clear();
        sums.totals.resize(entries, 0.0);
        let rows = drawn.entries.chunks_exact(entries);
        for (row, share) in rows.zip(drawn.share.chunks_exact(lanes)) {
            for (at, x) in row.iter().enumerate() {
                sums.totals[at] += x * share[at % lanes];
            }
        }
    }
}

impl Drawn {
    /// What one draw adds to an entry of the last table.
    fn part(&self, m: usize, on: bool, lane: usize, totals: Totals<'_>) -> f64 {
        if on && !totals.keeps_target {
            return 0.0;
        }
        let lanes = totals.lanes;
        let entry = self.entries[m * totals.all.len() + usize::from(on) * lanes + lane];
        entry * self.share[m * lanes + lane]
    }

    /// Standard error of the logarithm of one lane's sum.
    pub fn error(&self, bank: &Bank, lane: usize, totals: Totals<'_>) -> f64 {
        let Some(size) = bank.size else { return 0.0 };
        let (lanes, prior) = (totals.lanes, totals.prior());
        // What each draw adds to the sum, to first order in what it adds to the prior of the target too.
        let mut values: Vec<f64> = bank.parts(self, lane, totals).iter().map(|p| p.1).collect();
        if totals.keeps_target {
            let last = lanes - 1;
            let whole = totals.all[last] + totals.all[lanes + last];
            let slope = -ALARM_TRUE * totals.all[lanes + lane] / (prior * prior);
            for (m, value) in values.iter_mut().enumerate() {
                let (off, on) = (
                    self.part(m, false, last, totals),
                    self.part(m, true, last, totals),
                );
                *value += slope * ((1.0 - prior) * on - prior * off) / whole;
            }
        }
        let total: f64 = values.iter().sum();
        // A value stands for `count` equal draws.
        let each = values.iter().zip(&bank.draws);
        let squares: f64 = each
            .map(|(v, d)| d.count * (v / d.count - total / size).powi(2))
            .sum();
        (squares * size / (size - 1.0)).sqrt() / total
    }

    /// The adjoints of one panel over all draws; those of the weights are left in `sweep.on`.
    #[allow(clippy::too_many_arguments)] // The mirror of `estimate`, for one panel.
    pub fn backward(
        &mut self,
        bank: &Bank,
        plan: &Plan,
        slot: &Slot,
        (j, panel): (usize, &mut [f64]),
        last: &[f64],
        rates: &Rates,
        knots: &mut KnotScratch,
        sweep: &mut Sweep,
        level: Level,
    ) -> (f64, f64) {
        let (mut d_transmission, mut d_base) = (0.0, 0.0);
        self.on.clear();
        self.on.resize(plan.nodes.len() * slot.width, 0.0);
        for (m, draw) in bank.draws.iter().enumerate() {
            let share = |l: usize| {
                let lane = j * slot.width + l % slot.width;
                let of = (lane < slot.lanes).then(|| self.share[m * slot.lanes + lane]);
                of.unwrap_or(0.0)
            };
            let last: Vec<f64> = (0..last.len()).map(|l| last[l] * share(l)).collect();
            let whole = panel[..slot.weights].to_vec();
            draw.clamp(plan, &mut panel[..slot.weights], slot.width);
            forward(plan, slot, panel, (rates, &draw.given), knots, level);
            let (t, b) = backward(
                plan,
                slot,
                panel,
                &last,
                (rates, &draw.given),
                knots,
                sweep,
                level,
            );
            panel[..slot.weights].copy_from_slice(&whole);
            d_transmission += t;
            d_base += b;
            // A component clamped to be quiet has no weight of being affected.
            for (clamp, on) in plan.clamps.iter().zip(&draw.on) {
                if !on {
                    let at = clamp.node * slot.width;
                    sweep.on[at..at + slot.width].fill(0.0);
                }
            }
            for (sum, d) in self.on.iter_mut().zip(&sweep.on) {
                *sum += d;
            }
        }
        sweep.on.copy_from_slice(&self.on);
        (d_transmission, d_base)
    }
}

/// Take the clamped components through their states one by one, as `choose(clamp, probability of being affected)` says;
/// return them and the logarithm of the probability of choosing so.
fn propose(
    plan: &Plan,
    weights: &[f64],
    rates: &Rates,
    choose: &mut dyn FnMut(usize, f64) -> bool,
) -> (Vec<bool>, f64) {
    let mut weights = weights.as_chunks::<1>().0.to_vec();
    let (mut given, mut knots) = (vec![0; plan.nodes.len()], KnotScratch::default());
    let (mut on, mut log_q) = (Vec::with_capacity(plan.clamps.len()), 0.0);
    let mut from = vec![[1.0]];
    for block in &plan.blocks {
        let mut after = |weights: &[[f64; 1]], given: &[u32]| {
            let mut into = vec![[0.0]; block.after];
            affected::step(
                plan,
                *block,
                weights,
                (rates, given),
                &from,
                &mut into,
                &mut knots,
            );
            let total: f64 = into.iter().map(|x| x[0]).sum();
            (into, total)
        };
        let members = match block.what {
            What::One { node, .. } => vec![node],
            What::Several(knot) => plan.knots[knot].members.clone(),
        };
        while let Some(clamp) = plan
            .clamps
            .get(on.len())
            .filter(|c| members.contains(&c.node))
        {
            let mut without = |side: usize| {
                let kept = std::mem::replace(&mut weights[clamp.node * 2 + side], [0.0]);
                let total = after(&weights, &given).1;
                weights[clamp.node * 2 + side] = kept;
                total
            };
            let (w_on, w_off) = (without(0), without(1));
            let p = w_on / (w_on + w_off);
            let p = if p.is_nan() { 0.5 } else { p };
            let p = p.clamp(DEFENSIVE, 1.0 - DEFENSIVE);
            let is_on = choose(on.len(), p);
            log_q += if is_on { p.ln() } else { (1.0 - p).ln() };
            weights[clamp.node * 2 + usize::from(!is_on)] = [0.0];
            if is_on {
                clamp.children.iter().for_each(|&c| given[c] += 1);
            }
            on.push(is_on);
        }
        let (mut into, total) = after(&weights, &given);
        for x in &mut into {
            x[0] /= total.max(f64::MIN_POSITIVE);
        }
        from = into;
    }
    (on, log_q)
}
