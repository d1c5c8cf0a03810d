//! Anomaly attribution in a linear structural model, with the tail counted over fixed baseline samples.

use std::ops::Range;

use fearless_simd::prelude::*;
use fearless_simd::{dispatch, i32x16};

use super::dag::{Dag, check_finite, check_nodes};
use super::tail::{
    LogShare, TAIL_MARGIN, Tail, count_samples, jackknife, mean_and_deviation, n_groups,
};
use super::tail_surrogate::TailSurrogate;
use crate::error::{Error, Result};
use crate::game::{Game, Surrogate, Walk};
use crate::simd;

/// Samples of one tile, a whole number of cache lines.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Tile([i32; TILE]);

/// A tile in registers.
type Registers<S> = (i32x16<S>, i32x16<S>);

/// Samples a tile keeps in registers along an order.
const TILE: usize = 32;
/// A sample that fills up the last tile: below the threshold whatever joins.
const NEVER: i32 = -(1 << 30);
/// Coarsest unit of the fixed point, in standard deviations of the target.
const COARSEST: f64 = 0.01;
/// Largest absolute target value in fixed point; the distance to the threshold is then below 2^29.
const FULL_SCALE: f64 = (1 << 28) as f64;

/// The players are the noise terms of a linear structural model `x_j = sum_i w_ij x_i + noise_j`. A coalition takes
/// the observed noise of its members and the baseline noise of the others: `v(S)` is the log share of baseline samples
/// whose target then is at least as extreme as observed, `ln((count + 1/2) / (m + 1/2))` (Budhathoki, Minorics, Bloebaum
/// & Janzing 2022, with fixed samples).
///
/// The target is linear in the noise, so a joining player adds one vector over the samples. The vectors are integers
/// (28 bits for the largest value the target can take): a coalition's value does not depend on the order of joining.
#[derive(Debug, Clone)]
pub struct SampledTailGame {
    n: usize,
    samples: usize,
    /// Players with an effect, ascending.
    active: Vec<u32>,
    /// Place of each player among the active ones; the others share the last place.
    place: Vec<u32>,
    /// What a joining player adds, `[tile][place][sample]`; nothing at the last place.
    steps: Vec<Tile>,
    /// Distance of each sample to the threshold in the empty coalition.
    base: Vec<Tile>,
    shares: LogShare,
    surrogate: Option<TailSurrogate>,
}

impl SampledTailGame {
    /// `edges` are `(from, to, weight)`; `observed_noise` has one entry per node; `baseline_noise` is row-major samples
    /// by nodes.
    ///
    /// # Errors
    /// `InvalidEvidence` for no nodes, a cycle, a wrong shape, fewer than 2 samples, an entry that is not finite or noise
    /// millions of times the target's deviation, which the fixed point cannot hold.
    pub fn new(
        n: usize,
        edges: &[(usize, usize, f64)],
        target: usize,
        observed_noise: &[f64],
        baseline_noise: &[f64],
        tail: Tail,
    ) -> Result<Self> {
        check_nodes(n, target)?;
        check_finite("observed_noise", observed_noise, n)?;
        check_finite("baseline_noise", baseline_noise, baseline_noise.len())?;
        let samples = count_samples(baseline_noise, n)?;
        let effects: Vec<f64> = Dag::new(n, edges, target)?
            .total_effects()
            .iter()
            .map(|e| tail.sign() * e)
            .collect();
        let column = |i: usize| (0..samples).map(move |k| baseline_noise[k * n + i]);
        let y: Vec<f64> = (0..samples)
            .map(|k| (0..n).map(|i| effects[i] * baseline_noise[k * n + i]).sum())
            .collect();
        let bound: f64 = (0..n)
            .map(|i| {
                effects[i].abs() * column(i).fold(observed_noise[i].abs(), |m, x| m.max(x.abs()))
            })
            .sum();
        check_finite("edges", &[bound], 1)?;
        let scale = if bound > 0.0 { FULL_SCALE / bound } else { 1.0 };
        let fixed = |i: usize, noise: f64| (effects[i] * noise * scale).round() as i32;
        let deviation = mean_and_deviation(&y).1;
        if deviation > 0.0 && deviation * scale * COARSEST < 1.0 {
            let message = format!(
                "reaches {:.1e} standard deviations of the target, too far to tell its samples apart",
                bound / deviation
            );
            return Err(Error::evidence("observed_noise", message));
        }
        let margin = (TAIL_MARGIN * deviation * scale).ceil().min(FULL_SCALE) as i32;
        let threshold = (0..n).map(|i| fixed(i, observed_noise[i])).sum::<i32>() - margin;

        let tiles = samples.div_ceil(TILE);
        let mut base = vec![Tile([NEVER; TILE]); tiles];
        for k in 0..samples {
            base[k / TILE].0[k % TILE] = -threshold;
        }
        let mut active = Vec::new();
        let mut columns = Vec::new();
        for i in 0..n {
            let joined = fixed(i, observed_noise[i]);
            let mut rows = vec![Tile([0; TILE]); tiles];
            for (k, noise) in column(i).enumerate() {
                let absent = fixed(i, noise);
                base[k / TILE].0[k % TILE] += absent;
                rows[k / TILE].0[k % TILE] = joined - absent;
            }
            if rows.iter().any(|tile| tile.0 != [0; TILE]) {
                active.push(i as u32);
                columns.push(rows);
            }
        }
        let mut place = vec![active.len() as u32; n];
        columns.push(vec![Tile([0; TILE]); tiles]);
        for (p, &i) in active.iter().enumerate() {
            place[i as usize] = p as u32;
        }
        let steps = (0..tiles)
            .flat_map(|t| columns.iter().map(move |rows| rows[t]))
            .collect();
        let mut game = Self {
            n,
            samples,
            active,
            place,
            steps,
            base,
            shares: LogShare::new(samples),
            surrogate: None,
        };
        let moments: Vec<(f64, f64)> = (0..n)
            .map(|i| mean_and_deviation(&column(i).map(|x| effects[i] * x).collect::<Vec<_>>()))
            .collect();
        let shift: Vec<f64> = (0..n)
            .map(|i| effects[i] * observed_noise[i] - moments[i].0)
            .collect();
        let variance: Vec<f64> = moments.iter().map(|m| m.1 * m.1).collect();
        let margin = TAIL_MARGIN * deviation;
        game.surrogate = TailSurrogate::new(&game, samples, &shift, &variance, margin);
        Ok(game)
    }

    /// Steps of one tile.
    fn width(&self) -> usize {
        self.active.len() + 1
    }

    fn value_of(&self, below: u32) -> f64 {
        self.shares.of((self.base.len() * TILE) as u32 - below)
    }

    /// Add the samples of some tiles that are below the threshold after each player of each order to `below`: tile by
    /// tile, which stays in registers along an order, its steps in the nearest cache.
    #[inline(always)]
    fn count<S: Simd>(
        &self,
        simd: S,
        tiles: Range<usize>,
        places: &[u32],
        length: usize,
        below: &mut [u32],
    ) {
        let width = self.width();
        for tile in tiles {
            let steps = &self.steps[tile * width..(tile + 1) * width];
            let base = load(simd, &self.base[tile]);
            for (order, below) in places
                .chunks_exact(length)
                .zip(below.chunks_exact_mut(length))
            {
                let mut y = base;
                for (&place, below) in order.iter().zip(below) {
                    y = advance(y, load(simd, &steps[place as usize]));
                    *below += count_negative(simd, y);
                }
            }
        }
    }

    fn places(&self, orders: &[u32]) -> Vec<u32> {
        orders.iter().map(|&i| self.place[i as usize]).collect()
    }

    fn below_at_start(&self, tile: usize) -> u32 {
        self.base[tile]
            .0
            .iter()
            .map(|y| y.cast_unsigned() >> 31)
            .sum()
    }
}

#[inline(always)]
fn load<S: Simd>(simd: S, tile: &Tile) -> Registers<S> {
    (
        i32x16::from_slice(simd, &tile.0[..TILE / 2]),
        i32x16::from_slice(simd, &tile.0[TILE / 2..]),
    )
}

#[inline(always)]
fn advance<S: Simd>(y: Registers<S>, step: Registers<S>) -> Registers<S> {
    (y.0 + step.0, y.1 + step.1)
}

#[inline(always)]
fn count_negative<S: Simd>(simd: S, y: Registers<S>) -> u32 {
    let zero = i32x16::splat(simd, 0);
    let (low, high) = (y.0.simd_lt(zero), y.1.simd_lt(zero));
    (low.to_bitmask() | high.to_bitmask() << (TILE / 2)).count_ones()
}

impl Game for SampledTailGame {
    type Walk<'a> = SampledTailWalk<'a>;

    fn n_players(&self) -> usize {
        self.n
    }

    fn walk(&self) -> SampledTailWalk<'_> {
        SampledTailWalk {
            game: self,
            y: self.base.clone(),
        }
    }

    fn active_players(&self) -> Vec<u32> {
        self.active.clone()
    }

    fn surrogate(&self) -> Option<&dyn Surrogate> {
        self.surrogate.as_ref().map(|s| s as &dyn Surrogate)
    }

    fn range(&self) -> Option<(f64, f64)> {
        Some(self.shares.range())
    }

    fn inner_std_err(&self, orders: &[u32]) -> Option<Vec<f64>> {
        let (tiles, length) = (self.base.len(), self.active.len());
        let groups = n_groups(tiles);
        if groups < 2 {
            return None;
        }
        let places = self.places(orders);
        let mut counts = vec![0; orders.len() * groups];
        let mut start = vec![0; groups];
        for g in 0..groups {
            let part = (g * tiles).div_ceil(groups)..((g + 1) * tiles).div_ceil(groups);
            let size = (part.len() * TILE) as u32;
            start[g] = size - part.clone().map(|t| self.below_at_start(t)).sum::<u32>();
            let mut below = vec![0; orders.len()];
            dispatch!(simd::level(), simd => self.count(simd, part, &places, length, &mut below));
            for (counts, below) in counts.chunks_exact_mut(groups).zip(below) {
                counts[g] = size - below;
            }
        }
        debug_assert!(start.iter().sum::<u32>() as usize <= self.samples);
        Some(jackknife(
            self.n,
            orders,
            length,
            &counts,
            &start,
            &self.shares,
        ))
    }
}

/// The growing coalition of a [`SampledTailGame`]: the target's distance to the threshold in every sample.
#[derive(Debug, Clone)]
pub struct SampledTailWalk<'a> {
    game: &'a SampledTailGame,
    y: Vec<Tile>,
}

impl SampledTailWalk<'_> {
    /// Let a player join; returns the samples below the threshold.
    #[inline(always)]
    fn step<S: Simd>(&mut self, simd: S, player: usize) -> u32 {
        let steps = self.game.steps[self.game.place[player] as usize..].iter();
        let mut below = 0;
        for (tile, step) in self.y.iter_mut().zip(steps.step_by(self.game.width())) {
            let y = advance(load(simd, tile), load(simd, step));
            y.0.store_slice(&mut tile.0[..TILE / 2]);
            y.1.store_slice(&mut tile.0[TILE / 2..]);
            below += count_negative(simd, y);
        }
        below
    }
}

impl Walk for SampledTailWalk<'_> {
    fn start(&mut self) -> f64 {
        self.y.copy_from_slice(&self.game.base);
        let below = (0..self.y.len()).map(|t| self.game.below_at_start(t)).sum();
        self.game.value_of(below)
    }

    fn add(&mut self, player: usize) -> f64 {
        let below = dispatch!(simd::level(), simd => self.step(simd, player));
        self.game.value_of(below)
    }

    fn copy_from(&mut self, other: &Self) {
        self.y.copy_from_slice(&other.y);
    }

    fn along(&mut self, orders: &[u32], length: usize, values: &mut [f64]) -> f64 {
        let game = self.game;
        let places = game.places(orders);
        let mut below = vec![0; orders.len()];
        let tiles = 0..game.base.len();
        dispatch!(simd::level(), simd => game.count(simd, tiles, &places, length, &mut below));
        for (value, below) in values.iter_mut().zip(below) {
            *value = game.value_of(below);
        }
        self.start()
    }
}
