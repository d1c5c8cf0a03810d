//! The driver of independent sampling units: antithetic pairs of orders, words of live-edge worlds.

use std::ops::Range;
use std::time::{Duration, Instant};

use rayon::prelude::*;

use super::estimate::{Control, Monitor, Progress, Tolerance, not_finite};
use super::interval::{Moments, sequence_half_width, t_quantile};
use crate::error::{Error, Result};

/// Fewest units before a confidence sequence may stop.
const MIN_UNITS: u64 = 64;
/// Units between the first looks; later looks come after an eighth more.
const LOOK: u64 = 32;
/// Most evaluations between two looks after the first.
const LOOK_EVALUATIONS: u64 = 1 << 17;
/// About how long a block may take: the monitor is asked between blocks, of which there may be several between looks.
const BLOCK: Duration = Duration::from_millis(10);
/// Units one task draws, unless the source prefers another number.
pub(super) const TASK: u64 = 8;
/// Narrowest half-width, relative to the largest value seen: players without variance would miss by rounding.
pub(super) const FLOOR: f64 = 1e-9;

/// A source of independent, identically distributed rows.
pub(super) trait Units: Sync {
    /// Columns of a row.
    fn width(&self) -> usize;
    /// Leading columns that are Shapley values, the ones the tolerance is about.
    fn tested(&self) -> usize;
    /// Evaluations one row costs.
    fn cost(&self) -> u64;
    /// Units to draw at once; independent of the number of threads.
    fn task(&self) -> u64 {
        TASK
    }
    /// Append the rows of some units and return the largest absolute value of the game that was met.
    fn draw(&self, units: Range<u64>, rows: &mut Vec<f64>) -> f64;
}

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub tolerance: Option<Tolerance>,
    pub max_units: u64,
    pub alpha: f64,
    /// Largest absolute value of the game known beforehand.
    pub scale: f64,
}

/// What the units gave.
#[derive(Debug)]
pub(super) struct Outcome {
    pub moments: Moments,
    pub half_width: Vec<f64>,
    pub converged: bool,
}

/// Draw units until the tolerance is met, `max_units` are drawn or the monitor has enough.
///
/// Whether to stop is judged at looks after fixed numbers of units. How many blocks lie between two looks depends on the
/// clock and changes no bit, unless the monitor ends the work between them. The first look has one block: of fewer units
/// there is no interval to speak of.
pub(super) fn run<U: Units>(units: &U, plan: Plan, monitor: Monitor<'_>) -> Result<Outcome> {
    let tested = units.tested();
    let mut moments = Moments::new(units.width());
    let mut scale = plan.scale;
    let smallest = units.task() * rayon::current_num_threads() as u64;
    let mut block = MIN_UNITS;
    let mut look = plan.max_units.min(MIN_UNITS);
    loop {
        let to = look.min(moments.count.saturating_add(block));
        let begun = Instant::now();
        let whole = to - moments.count == block;
        scale = scale.max(draw(units, to, &mut moments));
        let took = begun.elapsed();
        if whole && took < BLOCK / 2 {
            block = block.saturating_mul(2);
        } else if took > BLOCK {
            block = (block / 2).max(smallest);
        }
        if moments.mean.iter().any(|m| !m.is_finite()) {
            return Err(not_finite());
        }
        let half_width = half_widths(&moments, &plan, tested, FLOOR * scale);
        let widest = half_width.iter().copied().fold(0.0, f64::max);
        let target = plan.tolerance.map(|t| match t {
            Tolerance::Absolute(t) => t,
            Tolerance::Relative(t) => t * root_mean_square(&moments.mean[..tested]),
        });
        let looked = moments.count == look;
        let met =
            looked && target.is_some_and(|t| look >= MIN_UNITS && widest <= t.max(FLOOR * scale));
        let spent = moments.count >= plan.max_units;
        let progress = Progress {
            n_evaluations: moments.count * units.cost(),
            planned: (plan.max_units < u64::MAX).then(|| plan.max_units * units.cost()),
            half_width: widest,
            target,
        };
        let control = monitor(&progress);
        if control == Control::Cancel {
            return Err(Error::Cancelled);
        }
        if met || spent || control == Control::Finish {
            return Ok(Outcome {
                moments,
                half_width,
                converged: met || (spent && plan.tolerance.is_none()),
            });
        }
        if looked {
            let step = LOOK.max((look / 8).min(LOOK_EVALUATIONS / units.cost()));
            look = plan.max_units.min(look + step);
        }
    }
}

/// Draw the units up to `to` and return the largest absolute value of the game that was met.
fn draw<U: Units>(units: &U, to: u64, moments: &mut Moments) -> f64 {
    let (width, task) = (units.width(), units.task());
    let tasks: Vec<Range<u64>> = (moments.count..to)
        .step_by(task as usize)
        .map(|first| first..to.min(first + task))
        .collect();
    let drawn: Vec<(Vec<f64>, f64)> = tasks
        .into_par_iter()
        .map(|units_of_task| {
            let mut rows = Vec::with_capacity(width * task as usize);
            let largest = units.draw(units_of_task, &mut rows);
            (rows, largest)
        })
        .collect();
    for (rows, _) in &drawn {
        rows.chunks_exact(width).for_each(|row| moments.push(row));
    }
    drawn.iter().fold(0.0, |m, (_, largest)| m.max(*largest))
}

fn half_widths(moments: &Moments, plan: &Plan, tested: usize, floor: f64) -> Vec<f64> {
    let n = moments.count;
    let factor = if plan.tolerance.is_some() {
        sequence_half_width(n as f64, plan.alpha / tested.max(1) as f64)
    } else {
        t_quantile(n.saturating_sub(1), plan.alpha) / (n as f64).sqrt()
    };
    (0..tested)
        .map(|i| {
            let half = if n < 2 {
                f64::INFINITY
            } else {
                factor * moments.deviation(i)
            };
            half.max(floor)
        })
        .collect()
}

fn root_mean_square(values: &[f64]) -> f64 {
    (values.iter().map(|v| v * v).sum::<f64>() / values.len().max(1) as f64).sqrt()
}
