//! The permutation estimator (Castro, Gomez & Tejada 2009) with reversal, quasi-random orders and honest errors.

use std::ops::Range;

use rayon::prelude::*;

use super::estimate::{Control, Estimate, Guarantee, Monitor, Options, Progress, Rule, not_finite};
use super::interval::{Moments, t_quantile};
use super::orders::{Directions, SobolOrders, push_pair};
use super::units::{FLOOR, Outcome, Plan, TASK, Units, run};
use crate::error::{Error, Result};
use crate::game::{Game, Surrogate, SurrogateValues, Walk};
use crate::rng::{Purpose, Stream};

/// Dimensions of the Sobol sequence: games with more active players are sampled with independent pairs.
pub const MAX_SOBOL_PLAYERS: usize = 256;
/// Points of one Sobol sequence.
const MAX_POINTS: u64 = 1 << 16;
/// Independent scrambles.
pub(super) const SCRAMBLES: u64 = 16;
/// Budgets beyond this many full sequences go to independent pairs, which need no state per unit.
const MAX_SCRAMBLES: u64 = 1024;
/// Walks when neither tolerance nor budget is given.
pub(super) const DEFAULT_WALKS: u64 = 16 * 64;
/// Points of one scramble between two calls of the monitor, unless the game prefers another number: fewest, for walks
/// that pay together, and most.
const POINTS_PER_TASK: (u64, u64) = (4, 16);
/// Most evaluations of one scramble between two calls of the monitor, above the fewest points.
const EVALUATIONS_PER_TASK: u64 = 2048;
/// Calls of the monitor that an estimate has at least, above the fewest points.
const TASKS: u64 = 4;

/// Estimate from walks along sampled orders of the `active` players, of which there are some, on a budget of at least
/// one walk.
pub(super) fn by_walks<G: Game>(
    game: &G,
    active: Vec<u32>,
    options: &Options,
    monitor: Monitor<'_>,
) -> Result<Estimate> {
    let n = active.len() as u64;
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
    let asymptotic = options.guarantee == Guarantee::Asymptotic;
    let sobol = asymptotic && options.tolerance.is_none() && enough.contains(&walks);
    let estimate = if sobol && sampler.active.len() <= MAX_SOBOL_PLAYERS {
        sampler.by_scrambles(walks / 2, monitor)?
    } else {
        sampler.by_pairs(walks, sobol, monitor)?
    };
    if estimate.values.iter().any(|v| !v.is_finite()) {
        return Err(not_finite());
    }
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
    /// The surrogate's Shapley values, where there is a surrogate.
    known: Option<SurrogateValues<'a>>,
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
            known: game.surrogate().map(Surrogate::shapley),
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
        for (k, (order, values)) in orders
            .chunks_exact(n)
            .zip(values.chunks_exact(n))
            .enumerate()
        {
            let row = &mut rows[row_of(k) * n..][..n];
            self.accumulate(order, values, empty, scale, row);
            self.add_surrogate(order, -scale, row);
            if let Some(SurrogateValues::Exact(known)) = self.known {
                for &player in order {
                    row[self.place[player as usize] as usize] += scale * known[player as usize];
                }
            }
        }
        largest
    }

    /// Add `scale` times the surrogate's marginal contributions along some orders to a row of places.
    fn add_surrogate(&self, orders: &[u32], scale: f64, row: &mut [f64]) {
        let Some(surrogate) = self.game.surrogate() else {
            return;
        };
        let mut marginals = vec![0.0; self.active.len()];
        for order in orders.chunks_exact(self.active.len()) {
            surrogate.marginals(order, &mut marginals);
            for (&player, marginal) in order.iter().zip(&marginals) {
                row[self.place[player as usize] as usize] += scale * marginal;
            }
        }
    }

    /// Add what the surrogate gives along independent orders of its own beside one pair of the game's: the spread over
    /// units then holds both errors.
    fn add_surrogate_walks(&self, purpose: Purpose, unit: u64, row: &mut [f64]) {
        let walks = self.own_walks();
        let mut stream = Stream::new(self.options.seed, purpose, unit);
        let mut orders = Vec::new();
        for _ in 0..walks {
            push_pair(&mut stream, &self.active, &mut orders);
        }
        self.add_surrogate(&orders, 0.5 / walks as f64, row);
    }

    /// Orders of the surrogate's own for each order of the game.
    fn own_walks(&self) -> u64 {
        match self.known {
            Some(SurrogateValues::ByWalks(walks)) => walks.into(),
            _ => 0,
        }
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
            guarantee: self.options.guarantee,
        };
        let rule = match (self.options.tolerance, self.paired, many) {
            (_, false, _) => Rule::SingleWalk,
            _ if plan.guarantee == Guarantee::Bernstein => Rule::PairBernstein,
            (Some(_), true, _) => Rule::PairSequence,
            (None, true, true) => Rule::ManyPlayersPairInterval,
            (None, true, false) => Rule::PairInterval,
        };
        let outcome = run(&self, plan, monitor)?;
        let n_evaluations = outcome.drawn * self.cost();
        Ok(self.estimate(&outcome, rule, n_evaluations))
    }

    /// 16 independent scrambles (more where one sequence is too short), each with the same number of points.
    fn by_scrambles(&self, pairs: u64, monitor: Monitor<'_>) -> Result<Estimate> {
        let n = self.active.len();
        let scrambles = SCRAMBLES.max(pairs.div_ceil(MAX_POINTS));
        let points = pairs / scrambles;
        // A game may be dear: its size and the budget say how many points are many, not the clock nor the threads.
        let many = (EVALUATIONS_PER_TASK / self.cost()).min(points / TASKS);
        let (fewest, most) = POINTS_PER_TASK;
        let task = self.pairs_per_task().unwrap_or(many.clamp(fewest, most));
        let directions = Directions::new(n);
        let quantile = t_quantile(scrambles - 1, 1.0 - self.options.confidence);
        let mut sums = vec![vec![0.0; n]; scrambles as usize];
        let mut scale = self.baseline.abs().max(self.grand.abs());
        let mut done = 0;
        let mut finished = false;
        while done < points && !finished {
            let to = points.min(done + task);
            let largest = sums.par_iter_mut().enumerate().map(|(scramble, sum)| {
                let seed = self.options.seed;
                let mut sequence = SobolOrders::new(&directions, seed, scramble as u64);
                let mut orders = Vec::with_capacity(2 * n * (to - done) as usize);
                for point in done..to {
                    sequence.push_pair(point as u32, &self.active, &mut orders);
                    let unit = scramble as u64 * points + point;
                    self.add_surrogate_walks(Purpose::SurrogateScrambles, unit, sum);
                }
                self.walk_orders(&orders, 0.5, sum, |_| 0)
            });
            scale = largest.reduce(|| scale, f64::max);
            done = to;
            if sums.iter().flatten().any(|s| !s.is_finite()) {
                return Err(not_finite());
            }
            let outcome = self.outcome_of_sums(&sums, done, quantile, scale);
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
        let mut outcome = self.outcome_of_sums(&sums, done, quantile, scale);
        outcome.converged = done == points;
        let n_evaluations = done * scrambles * self.cost();
        Ok(self.estimate(&outcome, Rule::ScrambleInterval, n_evaluations))
    }

    fn outcome_of_sums(&self, sums: &[Vec<f64>], done: u64, quantile: f64, scale: f64) -> Outcome {
        let mut moments = Moments::new(self.active.len());
        for sum in sums {
            let mean: Vec<f64> = sum.iter().map(|s| s / done as f64).collect();
            moments.push(&mean);
        }
        let half_width = (0..self.active.len())
            .map(|i| (quantile * moments.std_err(i)).max(FLOOR * scale))
            .collect();
        Outcome {
            drawn: moments.count,
            moments,
            half_width,
            converged: false,
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
            n_surrogate_evaluations: if self.known.is_some() {
                n_evaluations * (1 + self.own_walks())
            } else {
                0
            },
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

    /// A marginal contribution lies between minus and plus the range of the game's values; the surrogate's are taken
    /// off and, along its own orders, put back.
    fn range(&self) -> Result<f64> {
        let Some((low, high)) = self.game.range() else {
            let path = std::any::type_name::<G>();
            let name = path.rsplit("::").next().unwrap_or(path);
            let message = format!("{name} states no range of its values, a finite bound needs one");
            return Err(Error::evidence("guarantee", message));
        };
        let surrogate = self.game.surrogate().map_or(0.0, |surrogate| {
            let (low, high) = surrogate.range();
            let times = if self.own_walks() > 0 { 2.0 } else { 1.0 };
            times * (high - low)
        });
        Ok(2.0 * (high - low + surrogate))
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
        for (unit, row) in units.zip(rows.chunks_exact_mut(n)) {
            self.add_surrogate_walks(Purpose::SurrogatePairs, unit, row);
        }
        self.walk_orders(&orders, 1.0 / per_unit as f64, rows, |k| k / per_unit)
    }
}
