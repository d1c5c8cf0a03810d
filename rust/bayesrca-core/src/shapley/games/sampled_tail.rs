//! Anomaly attribution in a linear structural model, with the tail counted over fixed baseline samples.

use super::dag::{Dag, check_finite, check_nodes};
use super::tail::{
    LogShare, TAIL_MARGIN, Tail, count_samples, jackknife, mean_and_deviation, n_groups,
};
use super::tail_surrogate::TailSurrogate;
use crate::error::{Error, Result};
use crate::game::{Game, Surrogate, Walk};

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
    steps: Vec<[i32; TILE]>,
    /// Distance of each sample to the threshold in the empty coalition.
    base: Vec<[i32; TILE]>,
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
        let mut base = vec![[NEVER; TILE]; tiles];
        for k in 0..samples {
            base[k / TILE][k % TILE] = -threshold;
        }
        let mut active = Vec::new();
        let mut columns = Vec::new();
        for i in 0..n {
            let joined = fixed(i, observed_noise[i]);
            let mut rows = vec![[0; TILE]; tiles];
            for (k, noise) in column(i).enumerate() {
                let absent = fixed(i, noise);
                base[k / TILE][k % TILE] += absent;
                rows[k / TILE][k % TILE] = joined - absent;
            }
            if rows.iter().flatten().any(|&step| step != 0) {
                active.push(i as u32);
                columns.push(rows);
            }
        }
        let mut place = vec![active.len() as u32; n];
        columns.push(vec![[0; TILE]; tiles]);
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

    /// Walk every order through one tile; `record(row * length + k, samples below the threshold)`.
    fn through_tile(
        &self,
        tile: usize,
        places: &[u32],
        length: usize,
        mut record: impl FnMut(usize, u32),
    ) {
        let width = self.width();
        let steps = &self.steps[tile * width..(tile + 1) * width];
        for (row, order) in places.chunks_exact(length).enumerate() {
            let mut y = self.base[tile];
            for (k, &place) in order.iter().enumerate() {
                record(row * length + k, advance(&mut y, &steps[place as usize]));
            }
        }
    }

    fn places(&self, orders: &[u32]) -> Vec<u32> {
        orders.iter().map(|&i| self.place[i as usize]).collect()
    }

    fn below_at_start(&self, tile: usize) -> u32 {
        advance(&mut self.base[tile].clone(), &[0; TILE])
    }
}

/// Add a step to a tile and count the samples below the threshold.
#[inline]
fn advance(y: &mut [i32; TILE], step: &[i32; TILE]) -> u32 {
    let mut below = 0;
    for (y, step) in y.iter_mut().zip(step) {
        *y += step;
        below += *y as u32 >> 31;
    }
    below
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

    fn inner_std_err(&self, orders: &[u32]) -> Option<Vec<f64>> {
        let (tiles, length) = (self.base.len(), self.active.len());
        let groups = n_groups(tiles);
        if groups < 2 {
            return None;
        }
        let places = self.places(orders);
        let mut counts = vec![0; orders.len() * groups];
        let mut start = vec![0; groups];
        for tile in 0..tiles {
            let g = tile * groups / tiles;
            start[g] += TILE as u32 - self.below_at_start(tile);
            self.through_tile(tile, &places, length, |at, below| {
                counts[at * groups + g] += TILE as u32 - below;
            });
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
    y: Vec<[i32; TILE]>,
}

impl Walk for SampledTailWalk<'_> {
    fn start(&mut self) -> f64 {
        self.y.copy_from_slice(&self.game.base);
        let below = (0..self.y.len()).map(|t| self.game.below_at_start(t)).sum();
        self.game.value_of(below)
    }

    fn add(&mut self, player: usize) -> f64 {
        let steps = self.game.steps[self.game.place[player] as usize..].iter();
        let tiles = self.y.iter_mut().zip(steps.step_by(self.game.width()));
        let below = tiles.map(|(y, step)| advance(y, step)).sum();
        self.game.value_of(below)
    }

    fn copy_from(&mut self, other: &Self) {
        self.y.copy_from_slice(&other.y);
    }

    /// Tile by tile through all orders: a tile stays in registers, its steps in the nearest cache.
    fn along(&mut self, orders: &[u32], length: usize, values: &mut [f64]) -> f64 {
        let places = self.game.places(orders);
        let mut below = vec![0; orders.len()];
        for tile in 0..self.y.len() {
            self.game
                .through_tile(tile, &places, length, |at, count| below[at] += count);
        }
        for (value, below) in values.iter_mut().zip(below) {
            *value = self.game.value_of(below);
        }
        self.start()
    }
}
