//! Anomaly attribution in a structural model of leaky rectifiers, with the tail counted over fixed baseline samples.

use fearless_simd::prelude::*;
use fearless_simd::{dispatch, f32x16};

use super::dag::{Dag, check_finite, check_nodes};
use super::tail::{
    LogShare, TAIL_MARGIN, Tail, count_samples, jackknife, mean_and_deviation, n_groups,
};
use crate::error::{Error, Result};
use crate::game::{Game, Walk};
use crate::simd;

/// Samples computed at once: few enough for all nodes' values to stay in the nearest cache along an order, as many as a
/// word has bits.
const LANES: usize = 64;
/// Samples of a vector.
const VECTOR: usize = 16;
/// Row of a node that cannot reach the target.
const NO_ROW: u32 = u32::MAX;
/// Fewest samples in a group of the jackknife.
const GROUP: usize = 32;

/// One node's values in some samples, a whole number of cache lines.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Tile([f32; LANES]);

/// As [`SampledTailGame`](super::SampledTailGame), for mechanisms `x_j = max(h, slope_j h) + noise_j` of the weighted
/// parents `h = sum_i w_ij x_i`: a node that takes up an excess but not a relief of its parents. A slope of 1 is linear.
///
/// A joining player changes only its descendants; each is computed again from its parents in a fixed order, so a
/// coalition's value does not depend on the order of joining. Samples are single precision.
#[derive(Debug, Clone)]
pub struct NonlinearTailGame {
    n: usize,
    samples: usize,
    /// Players among the target's ancestors, ascending.
    active: Vec<u32>,
    /// Row of each ancestor of the target, parents before children; the others have none.
    row: Vec<u32>,
    target: usize,
    /// Weighted parents of each row.
    parents: Vec<Vec<(u32, f32)>>,
    slope: Vec<f32>,
    /// Observed noise of each row, once per lane.
    observed: Vec<Tile>,
    /// Baseline noise, `[tile][row][sample]`; the last tile may have lanes to spare.
    noise: Vec<Tile>,
    /// Rows to compute again when the player of a row joins.
    descendants: Vec<Vec<u32>>,
    /// Node values in the empty coalition, like the noise.
    empty: Vec<Tile>,
    sign: f32,
    threshold: f32,
    shares: LogShare,
}

impl NonlinearTailGame {
    /// `edges` are `(from, to, weight)`; `slope` and `observed_noise` have one entry per node; `baseline_noise` is
    /// row-major samples by nodes.
    ///
    /// # Errors
    /// `InvalidEvidence` for no nodes, a cycle, a wrong shape, a slope outside 0 to 1, fewer than 2 samples or an entry
    /// that is not finite.
    pub fn new(
        edges: &[(usize, usize, f64)],
        target: usize,
        slope: &[f64],
        observed_noise: &[f64],
        baseline_noise: &[f64],
        tail: Tail,
    ) -> Result<Self> {
        let n = slope.len();
        check_nodes(n, target)?;
        check_finite("slope", slope, n)?;
        if let Some(i) = slope.iter().position(|s| !(0.0..=1.0).contains(s)) {
            return Err(Error::evidence(
                "slope",
                format!("entry {i} is outside 0 to 1"),
            ));
        }
        check_finite("observed_noise", observed_noise, n)?;
        check_finite("baseline_noise", baseline_noise, baseline_noise.len())?;
        let samples = count_samples(baseline_noise, n)?;
        let dag = Dag::new(n, edges, target)?;
        let rows = dag.order.len();
        let mut row = vec![NO_ROW; n];
        for (r, &i) in dag.order.iter().enumerate() {
            row[i] = r as u32;
        }
        let mut noise = vec![Tile([0.0; LANES]); rows * samples.div_ceil(LANES)];
        for (r, &i) in dag.order.iter().enumerate() {
            for k in 0..samples {
                noise[k / LANES * rows + r].0[k % LANES] = baseline_noise[k * n + i] as f32;
            }
        }
        let descendants = dag.descendants();
        let by_row = |of: &dyn Fn(usize) -> f64| dag.order.iter().map(|&i| of(i) as f32).collect();
        let observed: Vec<f32> = by_row(&|i| observed_noise[i]);
        let mut game = Self {
            n,
            samples,
            active: (0..n as u32)
                .filter(|&i| row[i as usize] != NO_ROW)
                .collect(),
            target: row[target] as usize,
            parents: (dag.order.iter())
                .map(|&j| {
                    dag.parents[j]
                        .iter()
                        .map(|&(i, w)| (row[i], w as f32))
                        .collect()
                })
                .collect(),
            slope: by_row(&|i| slope[i]),
            observed: observed.iter().map(|&o| Tile([o; LANES])).collect(),
            descendants: (dag.order.iter())
                .map(|&i| descendants[i].iter().map(|&j| row[j]).collect())
                .collect(),
            empty: noise.clone(),
            noise,
            sign: tail.sign() as f32,
            threshold: 0.0,
            shares: LogShare::new(samples),
            row,
        };
        let mut walk = game.walk();
        walk.compute_all();
        let empty = walk.x.clone();
        walk.member.fill(true);
        walk.compute_all();
        let observed = walk.x[game.target].0[0];
        game.empty = empty;
        let usual: Vec<f64> = (game.empty.chunks_exact(rows))
            .flat_map(|x| x[game.target].0)
            .take(samples)
            .map(f64::from)
            .collect();
        let margin = TAIL_MARGIN * mean_and_deviation(&usual).1;
        game.threshold = (f64::from(game.sign * observed) - margin) as f32;
        check_finite("edges", &[f64::from(game.threshold)], 1)?;
        Ok(game)
    }

    fn rows(&self) -> usize {
        self.observed.len()
    }

    /// Compute a row of a tile again from its parents.
    #[inline(always)]
    fn compute<S: Simd>(
        &self,
        simd: S,
        (tile, row): (usize, usize),
        member: &[bool],
        x: &mut [Tile],
    ) {
        let mut h = [f32x16::splat(simd, 0.0); LANES / VECTOR];
        for &(parent, weight) in &self.parents[row] {
            let x = &x[parent as usize];
            for (h, x) in h.iter_mut().zip(x.0.as_chunks::<VECTOR>().0) {
                *h += f32x16::from_slice(simd, x) * weight;
            }
        }
        let noise = &self.noise[tile * self.rows() + row];
        // A choice of addresses: whether a node is a member is too irregular for a branch.
        let noise = [noise, &self.observed[row]][usize::from(member[row])];
        let lanes = noise.0.as_chunks::<VECTOR>().0.iter();
        for ((x, noise), h) in x[row]
            .0
            .as_chunks_mut::<VECTOR>()
            .0
            .iter_mut()
            .zip(lanes)
            .zip(h)
        {
            let bent = h.max(h * self.slope[row]);
            (bent + f32x16::from_slice(simd, noise)).store_slice(x);
        }
    }

    /// Let the player of a row join in one tile; returns which samples are at least as extreme as observed.
    #[inline(always)]
    fn join<S: Simd>(
        &self,
        simd: S,
        (tile, row): (usize, usize),
        member: &mut [bool],
        x: &mut [Tile],
    ) -> u64 {
        member[row] = true;
        for &row in &self.descendants[row] {
            self.compute(simd, (tile, row as usize), member, x);
        }
        self.extreme(simd, tile, &x[self.target])
    }

    /// Which samples of a tile are at least as extreme as observed, given the target's values.
    #[inline(always)]
    fn extreme<S: Simd>(&self, simd: S, tile: usize, y: &Tile) -> u64 {
        let mut bits = 0;
        for (v, y) in y.0.as_chunks::<VECTOR>().0.iter().enumerate() {
            let y = f32x16::from_slice(simd, y) * self.sign;
            bits |= y.simd_ge(f32x16::splat(simd, self.threshold)).to_bitmask() << (v * VECTOR);
        }
        bits & u64::MAX >> (LANES - LANES.min(self.samples - tile * LANES))
    }

    /// Walk every order through every tile; `record(tile, row * length + k, extreme samples)`.
    #[inline(always)]
    fn through<S: Simd>(
        &self,
        simd: S,
        orders: &[u32],
        length: usize,
        mut record: impl FnMut(usize, usize, u64),
    ) {
        let rows: Vec<u32> = orders.iter().map(|&i| self.row[i as usize]).collect();
        let mut x = vec![Tile([0.0; LANES]); self.rows()];
        let mut member = vec![false; self.rows()];
        for (tile, empty) in self.empty.chunks_exact(self.rows()).enumerate() {
            for (at, &row) in rows.iter().enumerate() {
                if at % length == 0 {
                    x.copy_from_slice(empty);
                    member.fill(false);
                }
                let extreme = if row == NO_ROW {
                    self.extreme(simd, tile, &x[self.target])
                } else {
                    self.join(simd, (tile, row as usize), &mut member, &mut x)
                };
                record(tile, at, extreme);
            }
        }
    }
}

impl Game for NonlinearTailGame {
    type Walk<'a> = NonlinearTailWalk<'a>;

    fn n_players(&self) -> usize {
        self.n
    }

    fn walk(&self) -> NonlinearTailWalk<'_> {
        NonlinearTailWalk {
            game: self,
            x: self.empty.clone(),
            member: vec![false; self.rows()],
        }
    }

    fn active_players(&self) -> Vec<u32> {
        self.active.clone()
    }

    fn range(&self) -> Option<(f64, f64)> {
        Some(self.shares.range())
    }

    fn inner_std_err(&self, orders: &[u32]) -> Option<Vec<f64>> {
        let parts = self.samples.div_ceil(GROUP);
        let groups = n_groups(parts);
        if groups < 2 {
            return None;
        }
        let length = self.active.len();
        let group = |part: usize| part.min(parts - 1) * groups / parts;
        let mut counts = vec![0; orders.len() * groups];
        let mut start = vec![0; groups];
        dispatch!(simd::level(), simd => {
            for (tile, x) in self.empty.chunks_exact(self.rows()).enumerate() {
                let extreme = self.extreme(simd, tile, &x[self.target]);
                start[group(2 * tile)] += (extreme as u32).count_ones();
                start[group(2 * tile + 1)] += (extreme >> GROUP).count_ones();
            }
            self.through(simd, orders, length, #[inline(always)] |tile, at, extreme| {
                let counts = &mut counts[at * groups..(at + 1) * groups];
                counts[group(2 * tile)] += (extreme as u32).count_ones();
                counts[group(2 * tile + 1)] += (extreme >> GROUP).count_ones();
            });
        });
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

/// The growing coalition of a [`NonlinearTailGame`]: all node values in all samples.
#[derive(Debug, Clone)]
pub struct NonlinearTailWalk<'a> {
    game: &'a NonlinearTailGame,
    x: Vec<Tile>,
    member: Vec<bool>,
}

impl NonlinearTailWalk<'_> {
    fn compute_all(&mut self) {
        let game = self.game;
        dispatch!(simd::level(), simd => {
            for (tile, x) in self.x.chunks_exact_mut(game.rows()).enumerate() {
                (0..game.rows()).for_each(|row| game.compute(simd, (tile, row), &self.member, x));
            }
        });
    }
}

impl Walk for NonlinearTailWalk<'_> {
    fn start(&mut self) -> f64 {
        let game = self.game;
        self.x.copy_from_slice(&game.empty);
        self.member.fill(false);
        let tiles = self.x.chunks_exact(game.rows()).enumerate();
        let extreme = dispatch!(simd::level(), simd => tiles
            .map(|(tile, x)| game.extreme(simd, tile, &x[game.target]).count_ones())
            .sum());
        game.shares.of(extreme)
    }

    fn add(&mut self, player: usize) -> f64 {
        let (game, member) = (self.game, &mut self.member);
        let row = game.row[player];
        let tiles = self.x.chunks_exact_mut(game.rows()).enumerate();
        let extreme = dispatch!(simd::level(), simd => tiles
            .map(#[inline(always)] |(tile, x)| if row == NO_ROW {
                game.extreme(simd, tile, &x[game.target]).count_ones()
            } else {
                game.join(simd, (tile, row as usize), member, x).count_ones()
            })
            .sum());
        game.shares.of(extreme)
    }

    fn copy_from(&mut self, other: &Self) {
        self.x.copy_from_slice(&other.x);
        self.member.copy_from_slice(&other.member);
    }

    fn along(&mut self, orders: &[u32], length: usize, values: &mut [f64]) -> f64 {
        let game = self.game;
        let mut counts = vec![0; orders.len()];
        dispatch!(simd::level(), simd => game.through(simd, orders, length, #[inline(always)] |_, at, extreme| {
            counts[at] += extreme.count_ones();
        }));
        for (value, count) in values.iter_mut().zip(counts) {
            *value = game.shares.of(count);
        }
        self.start()
    }
}
