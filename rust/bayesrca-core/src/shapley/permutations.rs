//! The permutation estimator (Castro, Gomez & Tejada 2009) with reversal, quasi-random orders and honest errors.

use std::ops::Range;

use rayon::prelude::*;

use super::estimate::{Control, Estimate, Method, Monitor, Options, Progress, Rule, not_finite};
use super::exact::{check_players, compute_shapley};
use super::interval::{Moments, t_quantile};
use super::orders::{SobolOrders, inner_std_err, push_pair};
use super::units::{Outcome, Plan, TASK, Units, run};
use crate::error::{Error, Result};
use crate::game::{Game, Walk};
use crate::rng::{Purpose, Stream};

/// Dimensions of the Sobol sequence: games with more active players are sampled with independent pairs.
pub const MAX_SOBOL_PLAYERS: usize = 256;
/// Points of one Sobol sequence.
const MAX_POINTS: u64 = 1 << 16;
/// Independent scrambles.
const SCRAMBLES: u64 = 16;
/// Budgets beyond this many full sequences go to independent pairs, which need no state per unit.
const MAX_SCRAMBLES: u64 = 1024;
/// Walks when neither tolerance nor budget is given.
const DEFAULT_WALKS: u64 = 16 * 64;
/// Points of one scramble between two calls of the monitor, unless the game prefers another number.
const POINTS_PER_TASK: u64 = 16;
/// Enumeration may replace sampling up to here, whatever the budget.
const MAX_AUTOMATIC: usize = 20;

/// Estimate Shapley values from random orders.
///
/// Only the active players are sampled; the others get exactly 0. `n_evaluations` counts the coalitions that were
/// valued along the orders, and never exceeds the budget; the few orders along which a sampled game judges its inner
/// error come on top. A tolerance without a budget runs until it is met: let the monitor watch the clock.
///
/// # Errors
/// `InvalidEvidence` for a game without players, a budget smaller than one walk, or a tolerance or confidence outside
/// its range; `Numerical` when a value is not finite; `Cancelled`.
pub fn estimate_shapley<G: Game>(
    game: &G,
    options: &Options,
    monitor: Monitor<'_>,
) -> Result<Estimate> {
    check_players(game)?;
    options.check()?;
    let active = game.active_players();
    let n = active.len() as u64;
    if active.is_empty() {
        let values = vec![0.0; game.n_players()];
        let ends = (game.baseline(), game.grand());
        return Estimate::exact(values, Rule::ClosedForm, ends, 0);
    }
    let affordable = options.budget.unwrap_or(u64::MAX);
    if affordable < n {
        let message = format!("{affordable} evaluations are fewer than one walk over {n} players");
        return Err(Error::evidence("budget", message));
    }
    if options.method == Method::Automatic {
        let cheap = active.len() <= MAX_AUTOMATIC && 1 << n <= affordable.min(DEFAULT_WALKS * n);
        if game.closed_form().is_some() || cheap {
            return compute_shapley(game, monitor);
        }
    }
    let sampler = Sampler::new(game, active, options);
    if !(sampler.baseline.is_finite() && sampler.grand.is_finite()) {
        return Err(not_finite());
    }
    let walks = match (options.tolerance, options.budget) {
        (_, Some(budget)) => budget / n,
        (None, None) => DEFAULT_WALKS,
        (Some(_), None) => u64::MAX,
    };
    let enough = 2 * SCRAMBLES..=2 * MAX_SCRAMBLES * MAX_POINTS;
    let sobol = options.tolerance.is_none() && enough.contains(&walks);
    let mut estimate = if sobol && sampler.active.len() <= MAX_SOBOL_PLAYERS {
        sampler.by_scrambles(walks / 2, monitor)?
    } else {
        sampler.by_pairs(walks, sobol, monitor)?
    };
    if estimate.values.iter().any(|v| !v.is_finite()) {
        return Err(not_finite());
    }
    estimate.inner_std_err = inner_std_err(game, options.seed)?;
    Ok(estimate)
}

struct Sampler<'a, G: Game> {
    game: &'a G,
    options: &'a Options,
    /// Players that are sampled.
    active: Vec<u32>,
    /// Place of each player among the active ones.
    place: Vec<u32>,
    baseline: f64,
    grand: f64,
    /// A single order has no reverse.
    paired: bool,
}

impl<'a, G: Game> Sampler<'a, G> {
    fn new(game: &'a G, active: Vec<u32>, options: &'a Options) -> Self {
        let mut place = vec![0; game.n_players()];
        for (k, &player) in active.iter().enumerate() {
            place[player as usize] = k as u32;
        }
        Self {
            game,
            options,
            active,
            place,
            baseline: game.baseline(),
            grand: game.grand(),
            paired: true,
        }
    }

    fn pairs_per_task(&self) -> Option<u64> {
        let orders = self.game.preferred_orders()?;
        Some(orders.div_ceil(2).max(1) as u64)
    }

    /// Add `scale` times the marginal contributions along each order to a row of places.
    fn accumulate(&self, order: &[u32], values: &[f64], empty: f64, scale: f64, row: &mut [f64]) {
        let mut before = empty;
        for (&player, &value) in order.iter().zip(values) {
            row[self.place[player as usize] as usize] += scale * (value - before);
            before = value;
        }
    }

    /// Walk all orders; `place_of(k)` is the row the k-th order adds to. Returns the largest absolute value met.
    fn walk_orders(
        &self,
        orders: &[u32],
        scale: f64,
        rows: &mut [f64],
        row_of: impl Fn(usize) -> usize,
    ) -> f64 {
        let n = self.active.len();
        let mut values = vec![0.0; orders.len()];
        let empty = self.game.walk().along(orders, n, &mut values);
        let largest = values.iter().fold(empty.abs(), |m, v| m.max(v.abs()));
        let surrogate = self.game.surrogate();
        let mut marginals = vec![0.0; n];
        for (k, (order, values)) in orders
            .chunks_exact(n)
            .zip(values.chunks_exact(n))
            .enumerate()
        {
            let row = &mut rows[row_of(k) * n..][..n];
            self.accumulate(order, values, empty, scale, row);
            if let Some(surrogate) = surrogate {
                surrogate.marginals(order, &mut marginals);
                for (&player, marginal) in order.iter().zip(&marginals) {
                    let known = surrogate.shapley()[player as usize];
                    row[self.place[player as usize] as usize] += scale * (known - marginal);
                }
            }
        }
        largest
    }

    fn by_pairs(mut self, walks: u64, many: bool, monitor: Monitor<'_>) -> Result<Estimate> {
        self.paired = walks > 1;
        let plan = Plan {
            tolerance: self.options.tolerance,
            max_units: if self.paired && walks < u64::MAX {
                walks / 2
            } else {
                walks
            },
            alpha: 1.0 - self.options.confidence,
            scale: self.baseline.abs().max(self.grand.abs()),
        };
        let rule = match (self.options.tolerance, self.paired, many) {
            (_, false, _) => Rule::SingleWalk,
            (Some(_), true, _) => Rule::PairSequence,
            (None, true, true) => Rule::ManyPlayersPairInterval,
            (None, true, false) => Rule::PairInterval,
        };
        let outcome = run(&self, plan, monitor)?;
        let n_evaluations = outcome.moments.count * self.cost();
        Ok(self.estimate(&outcome, rule, n_evaluations))
    }

    /// 16 independent scrambles (more where one sequence is too short), each with the same number of points.
    fn by_scrambles(&self, pairs: u64, monitor: Monitor<'_>) -> Result<Estimate> {
        let n = self.active.len();
        let scrambles = SCRAMBLES.max(pairs.div_ceil(MAX_POINTS));
        let points = pairs / scrambles;
        let task = self.pairs_per_task().unwrap_or(POINTS_PER_TASK);
        let mut sums = vec![vec![0.0; n]; scrambles as usize];
        let mut done = 0;
        let mut finished = false;
        while done < points && !finished {
            let to = points.min(done + task);
            sums.par_iter_mut().enumerate().for_each(|(scramble, sum)| {
                let mut sequence = SobolOrders::new(self.options.seed, scramble as u64);
                let mut orders = Vec::with_capacity(2 * n * (to - done) as usize);
                for point in done..to {
                    sequence.push_pair(point as u32, &self.active, &mut orders);
                }
                self.walk_orders(&orders, 0.5, sum, |_| 0);
            });
            done = to;
            if sums.iter().flatten().any(|s| !s.is_finite()) {
                return Err(not_finite());
            }
            let outcome = self.outcome_of_sums(&sums, done, points);
            let progress = Progress {
                n_evaluations: done * scrambles * self.cost(),
                planned: Some(points * scrambles * self.cost()),
                half_width: outcome.half_width.iter().copied().fold(0.0, f64::max),
                target: None,
            };
            match monitor(&progress) {
                Control::Cancel => return Err(Error::Cancelled),
                Control::Finish => finished = true,
                Control::Continue => {}
            }
        }
        let outcome = self.outcome_of_sums(&sums, done, points);
        let n_evaluations = done * scrambles * self.cost();
        Ok(self.estimate(&outcome, Rule::ScrambleInterval, n_evaluations))
    }

    fn outcome_of_sums(&self, sums: &[Vec<f64>], done: u64, points: u64) -> Outcome {
        let mut moments = Moments::new(self.active.len());
        for sum in sums {
            let mean: Vec<f64> = sum.iter().map(|s| s / done as f64).collect();
            moments.push(&mean);
        }
        let quantile = t_quantile(moments.count - 1, 1.0 - self.options.confidence);
        let half_width = (0..self.active.len())
            .map(|i| quantile * moments.std_err(i))
            .collect();
        Outcome {
            moments,
            half_width,
            converged: done == points,
        }
    }

    fn estimate(&self, outcome: &Outcome, rule: Rule, n_evaluations: u64) -> Estimate {
        let spread = |of: &dyn Fn(usize) -> f64| {
            let mut out = vec![0.0; self.game.n_players()];
            for (k, &player) in self.active.iter().enumerate() {
                out[player as usize] = of(k);
            }
            out
        };
        Estimate {
            values: spread(&|k| outcome.moments.mean[k]),
            std_err: spread(&|k| outcome.moments.std_err(k)),
            half_width: spread(&|k| outcome.half_width[k]),
            inner_std_err: None,
            n_evaluations,
            n_units: outcome.moments.count,
            converged: outcome.converged,
            baseline: self.baseline,
            grand: self.grand,
            rule,
            exact: false,
        }
    }
}

impl<G: Game> Units for Sampler<'_, G> {
    fn width(&self) -> usize {
        self.active.len()
    }

    fn tested(&self) -> usize {
        self.active.len()
    }

    fn cost(&self) -> u64 {
        self.active.len() as u64 * if self.paired { 2 } else { 1 }
    }

    fn task(&self) -> u64 {
        self.pairs_per_task().unwrap_or(TASK)
    }

    fn draw(&self, units: Range<u64>, rows: &mut Vec<f64>) -> f64 {
        let n = self.active.len();
        let per_unit = if self.paired { 2 } else { 1 };
        let mut orders = Vec::new();
        for unit in units.clone() {
            let mut stream = Stream::new(self.options.seed, Purpose::Pairs, unit);
            push_pair(&mut stream, &self.active, &mut orders);
            if !self.paired {
                orders.truncate(orders.len() - n);
            }
        }
        rows.resize((units.end - units.start) as usize * n, 0.0);
        self.walk_orders(&orders, 1.0 / per_unit as f64, rows, |k| k / per_unit)
    }
}
