//! Anomaly attribution in a linear structural model with Gaussian noise: the tail in closed form.

use fearless_simd::dispatch;

use super::dag::{Dag, check_finite, check_nodes};
use super::log_tail::LogTail;
use super::tail::{TAIL_MARGIN, Tail};
use crate::error::{Error, Result};
use crate::game::{Game, Walk};
use crate::simd;

/// As [`SampledTailGame`](super::SampledTailGame), with independent Gaussian baseline noise: `v(S)` is the exact log
/// probability that the target is at least as extreme as observed, a Gaussian tail whose mean and variance a joining
/// player changes. Both are kept in 62-bit fixed point, so that a coalition's value does not depend on the order of
/// joining.
#[derive(Debug, Clone)]
pub struct GaussianTailGame {
    n: usize,
    active: Vec<u32>,
    /// What a joining player adds to the mean's distance to the threshold and to the variance.
    steps: Vec<(i64, i64)>,
    empty: (i64, i64),
    /// Value of one unit of the fixed point of the distance and of the variance.
    unit: (f64, f64),
    tail: LogTail,
}

impl GaussianTailGame {
    /// `edges` are `(from, to, weight)`; the other arrays have one entry per node, `baseline_sd` without negatives.
    ///
    /// # Errors
    /// `InvalidEvidence` for no nodes, a cycle, a wrong shape, an entry that is not finite or a negative deviation.
    pub fn new(
        n: usize,
        edges: &[(usize, usize, f64)],
        target: usize,
        observed_noise: &[f64],
        baseline_mean: &[f64],
        baseline_sd: &[f64],
        tail: Tail,
    ) -> Result<Self> {
        check_nodes(n, target)?;
        check_finite("observed_noise", observed_noise, n)?;
        check_finite("baseline_mean", baseline_mean, n)?;
        check_finite("baseline_sd", baseline_sd, n)?;
        if let Some(i) = baseline_sd.iter().position(|s| *s < 0.0) {
            return Err(Error::evidence(
                "baseline_sd",
                format!("entry {i} is negative"),
            ));
        }
        let effects = Dag::new(n, edges, target)?.total_effects();
        let shift: Vec<f64> = (0..n)
            .map(|i| tail.sign() * effects[i] * (observed_noise[i] - baseline_mean[i]))
            .collect();
        let variance: Vec<f64> = (0..n)
            .map(|i| (effects[i] * baseline_sd[i]).powi(2))
            .collect();
        let spread: f64 = variance.iter().sum();
        let margin = TAIL_MARGIN * spread.sqrt();
        let reach: f64 = shift.iter().map(|s| s.abs()).sum::<f64>() + margin;
        check_finite("edges", &[spread, reach], 2)?;
        let unit = (unit_of(reach), unit_of(spread));
        let steps: Vec<(i64, i64)> = (0..n)
            .map(|i| {
                (
                    (shift[i] / unit.0).round() as i64,
                    -(variance[i] / unit.1).round() as i64,
                )
            })
            .collect();
        let sum = steps
            .iter()
            .fold((0, 0), |sum, s| (sum.0 + s.0, sum.1 + s.1));
        let margin = (margin / unit.0).ceil() as i64;
        Ok(Self {
            n,
            active: (0..n as u32)
                .filter(|&i| steps[i as usize] != (0, 0))
                .collect(),
            empty: (margin - sum.0, -sum.1),
            steps,
            unit,
            tail: LogTail::new(),
        })
    }

    /// The state as a distance to the threshold and a variance, in units of the game.
    #[inline(always)]
    fn moments(&self, state: (i64, i64)) -> (f64, f64) {
        (state.0 as f64 * self.unit.0, state.1 as f64 * self.unit.1)
    }

    #[inline(always)]
    fn value_of(&self, distance: f64, z: f64) -> f64 {
        if z.is_finite() {
            self.tail.of(z)
        } else if distance >= 0.0 {
            // A point mass; only the coalition of all players with noise is one, and it lies beyond the threshold by
            // the margin unless a player without noise is missing.
            0.0
        } else {
            self.tail.of(f64::MAX)
        }
    }

    /// Values along some orders. The distances go through `values`.
    #[inline(always)]
    fn along(&self, orders: &[u32], length: usize, z: &mut [f64], values: &mut [f64]) {
        for ((order, z), values) in orders
            .chunks_exact(length)
            .zip(z.chunks_exact_mut(length))
            .zip(values.chunks_exact_mut(length))
        {
            let mut state = self.empty;
            for (k, &player) in order.iter().enumerate() {
                let step = self.steps[player as usize];
                state = (state.0 + step.0, state.1 + step.1);
                (values[k], z[k]) = self.moments(state);
            }
        }
        for (z, distance) in z.iter_mut().zip(&*values) {
            *z = -distance / z.sqrt();
        }
        for (z, value) in z.iter().zip(values) {
            *value = self.value_of(*value, *z);
        }
    }
}

/// Unit of a fixed point in which sums up to `bound` stay below 2^60.
fn unit_of(bound: f64) -> f64 {
    if bound > 0.0 {
        bound / 2.0f64.powi(60)
    } else {
        1.0
    }
}

impl Game for GaussianTailGame {
    type Walk<'a> = GaussianTailWalk<'a>;

    fn n_players(&self) -> usize {
        self.n
    }

    fn walk(&self) -> GaussianTailWalk<'_> {
        GaussianTailWalk {
            game: self,
            state: self.empty,
        }
    }

    fn active_players(&self) -> Vec<u32> {
        self.active.clone()
    }
}

/// The growing coalition of a [`GaussianTailGame`].
#[derive(Debug, Clone)]
pub struct GaussianTailWalk<'a> {
    game: &'a GaussianTailGame,
    state: (i64, i64),
}

impl GaussianTailWalk<'_> {
    fn value(&self) -> f64 {
        let (distance, variance) = self.game.moments(self.state);
        self.game.value_of(distance, -distance / variance.sqrt())
    }
}

impl Walk for GaussianTailWalk<'_> {
    fn start(&mut self) -> f64 {
        self.state = self.game.empty;
        self.value()
    }

    fn add(&mut self, player: usize) -> f64 {
        let step = self.game.steps[player];
        self.state = (self.state.0 + step.0, self.state.1 + step.1);
        self.value()
    }

    fn along(&mut self, orders: &[u32], length: usize, values: &mut [f64]) -> f64 {
        let mut z = vec![0.0; orders.len()];
        dispatch!(simd::level(), _ => self.game.along(orders, length, &mut z, values));
        self.start()
    }
}
