//! The driver of independent sampling units: antithetic pairs of orders, words of live-edge worlds.

use std::ops::Range;

use rayon::prelude::*;

use super::estimate::{Control, Guarantee, Monitor, Progress, Tolerance, not_finite};
use super::interval::{Moments, bernstein_half_width, sequence_half_width, t_quantile};
use crate::error::{Error, Result};

/// Fewest units before a confidence sequence may stop.
const MIN_UNITS: u64 = 64;
/// Units between the first looks; later looks come after an eighth more.
const LOOK: u64 = 32;
/// Most evaluations between two looks after the first, so that the monitor is asked often enough.
const LOOK_EVALUATIONS: u64 = 1 << 17;
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
    /// Width of an interval that holds every tested column of every row; an error where none is known.
    fn range(&self) -> Result<f64>;
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
    pub guarantee: Guarantee,
}

/// What the units gave.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub moments: Moments,
    pub half_width: Vec<f64>,
    pub converged: bool,
    /// Units that were drawn; more than were looked at where a monitor ended the work between two looks.
    pub drawn: u64,
}

/// When the units are looked at: a bound for finite samples holds only at sizes fixed beforehand.
struct Looks {
    /// Width of a row's range under a bound for finite samples.
    range: Option<f64>,
    next: u64,
    /// Number of the next doubling look.
    index: u32,
    last: u64,
}

impl Looks {
    fn new<U: Units>(units: &U, plan: &Plan) -> Result<Self> {
        let range = match plan.guarantee {
            Guarantee::Asymptotic => None,
            Guarantee::Bernstein => Some(units.range()?),
        };
        Ok(Self {
            range,
            next: MIN_UNITS,
            // The first share of alpha is kept for the last look, where there is one.
            index: if plan.max_units < u64::MAX { 2 } else { 1 },
            last: plan.max_units,
        })
    }

    /// Half-widths after `moments.count` units, if this is a time to look.
    fn look(&mut self, moments: &Moments, plan: &Plan, tested: usize) -> Option<Vec<f64>> {
        let n = moments.count;
        let alone = plan.alpha / tested.max(1) as f64;
        let half_width: Box<dyn Fn(f64) -> f64> = match self.range {
            _ if n < 2 => Box::new(|_| f64::INFINITY),
            None if plan.tolerance.is_some() => {
                let factor = sequence_half_width(n as f64, alone);
                Box::new(move |deviation| factor * deviation)
            }
            None => {
                let factor = t_quantile(n - 1, plan.alpha) / (n as f64).sqrt();
                Box::new(move |deviation| factor * deviation)
            }
            Some(_) if n < self.next.min(self.last) => return None,
            Some(range) => {
                let index = if n == self.last { 1 } else { self.index };
                let alpha = alone / f64::from(index) / f64::from(index + 1);
                Box::new(move |deviation| bernstein_half_width(n, deviation, range, alpha))
            }
        };
        if n == self.next {
            self.next *= 2;
            self.index += 1;
        }
        Some(
            (0..tested)
                .map(|i| half_width(moments.deviation(i)))
                .collect(),
        )
    }
}

/// Draw units until the tolerance is met, `max_units` are drawn or the monitor has enough.
pub(super) fn run<U: Units>(units: &U, plan: Plan, monitor: Monitor<'_>) -> Result<Outcome> {
    let tested = units.tested();
    let mut looks = Looks::new(units, &plan)?;
    let mut moments = Moments::new(units.width());
    let mut scale = plan.scale;
    let mut outcome = Outcome {
        moments: moments.clone(),
        half_width: vec![f64::INFINITY; tested],
        converged: false,
        drawn: 0,
    };
    loop {
        let from = moments.count;
        let step = if from < MIN_UNITS {
            MIN_UNITS - from
        } else {
            LOOK.max((from / 8).min(LOOK_EVALUATIONS / units.cost()))
        };
        let step = looks.range.map_or(step, |_| step.min(looks.next - from));
        let to = plan.max_units.min(from.saturating_add(step));
        scale = scale.max(draw(units, from..to, &mut moments));
        if moments.mean.iter().any(|m| !m.is_finite()) {
            return Err(not_finite());
        }
        outcome.drawn = to;
        if let Some(half_width) = looks.look(&moments, &plan, tested) {
            outcome.half_width = half_width;
            for half in &mut outcome.half_width {
                *half = half.max(FLOOR * scale);
            }
            outcome.moments = moments.clone();
        }
        let widest = outcome.half_width.iter().copied().fold(0.0, f64::max);
        let target = plan.tolerance.map(|t| match t {
            Tolerance::Absolute(t) => t,
            Tolerance::Relative(t) => t * root_mean_square(&outcome.moments.mean[..tested]),
        });
        let met = target.is_some_and(|t| to >= MIN_UNITS && widest <= t.max(FLOOR * scale));
        let spent = to >= plan.max_units;
        let progress = Progress {
            n_evaluations: to * units.cost(),
            planned: (plan.max_units < u64::MAX).then(|| plan.max_units * units.cost()),
            half_width: widest,
            target,
        };
        let control = monitor(&progress);
        if control == Control::Cancel {
            return Err(Error::Cancelled);
        }
        if met || spent || control == Control::Finish {
            outcome.converged = met || (spent && plan.tolerance.is_none());
            return Ok(outcome);
        }
    }
}

/// Draw some units and add them in order; returns the largest absolute value of the game that was met.
fn draw<U: Units>(units: &U, range: Range<u64>, moments: &mut Moments) -> f64 {
    let (width, task) = (units.width(), units.task());
    let tasks: Vec<Range<u64>> = range
        .clone()
        .step_by(task as usize)
        .map(|first| first..range.end.min(first + task))
        .collect();
    let drawn: Vec<(Vec<f64>, f64)> = tasks
        .into_par_iter()
        .map(|units_of_task| {
            let mut rows = Vec::with_capacity(width * task as usize);
            let largest = units.draw(units_of_task, &mut rows);
            (rows, largest)
        })
        .collect();
    let mut scale = 0.0f64;
    for (rows, largest) in &drawn {
        for row in rows.chunks_exact(width) {
            moments.push(row);
        }
        scale = scale.max(*largest);
    }
    scale
}

fn root_mean_square(values: &[f64]) -> f64 {
    (values.iter().map(|v| v * v).sum::<f64>() / values.len().max(1) as f64).sqrt()
}
