//! Orders in which players join.

use fearless_simd::prelude::*;
use fearless_simd::{dispatch, u32x16};
use sobol_burley::parts::{hash, owen_scramble_rev, sobol_int4_rev};

use super::estimate::not_finite;
use crate::error::Result;
use crate::game::Game;
use crate::rng::{Purpose, Stream};
use crate::simd;

/// Most and least pairs (of a random order and its reverse) over which the inner error is averaged.
const INNER_PAIRS: (u64, u64) = (16, 2);
/// Share of an estimate's walks that go into its inner error.
const INNER_SHARE: u64 = 16;
/// Bits of a point's index.
const INDEX_BITS: usize = 16;
/// Constants of the scrambles of `sobol_burley::sample_4d`, to which a test compares.
const INDEX_SALT: u32 = 0x79c6_8e4a;
const SEED_FACTOR: u32 = 0x9c8f_2d3b;
const SALTS: [u32; 4] = [0x912f_69ba, 0x174f_18ab, 0x691e_72ca, 0xb40c_c1b8];
/// Numbers in a cache line.
const LANES: usize = 16;

/// One cache line of numbers, one per player.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Line([u32; LANES]);

/// Append a random order of the players, and its reverse.
pub(super) fn push_pair(stream: &mut Stream, players: &[u32], orders: &mut Vec<u32>) {
    let start = orders.len();
    orders.extend_from_slice(players);
    stream.shuffle(&mut orders[start..]);
    push_reverse(orders, players.len());
}

fn push_reverse(orders: &mut Vec<u32>, n: usize) {
    let start = orders.len() - n;
    orders.extend_from_within(start..);
    orders[start + n..].reverse();
}

/// The error a sampled game judges itself to have along some antithetic orders, where it is one; as many orders as an
/// estimate of so many evaluations makes worth while. Of few orders it comes out too large rather than too small.
pub(super) fn inner_std_err<G: Game>(
    game: &G,
    n_evaluations: u64,
    seed: u64,
) -> Result<Option<Vec<f64>>> {
    let players = game.active_players();
    let walks = n_evaluations / players.len().max(1) as u64;
    let (most, least) = INNER_PAIRS;
    let mut orders = Vec::new();
    for unit in 0..(walks / INNER_SHARE / 2).clamp(least, most) {
        push_pair(
            &mut Stream::new(seed, Purpose::Inner, unit),
            &players,
            &mut orders,
        );
    }
    if orders.is_empty() {
        return Ok(None);
    }
    match game.inner_std_err(&orders) {
        Some(errors) if errors.iter().any(|e| !e.is_finite()) => Err(not_finite()),
        errors => Ok(errors),
    }
}

/// What each bit of a point's index adds to the coordinates of a Sobol point.
#[derive(Debug)]
pub(super) struct Directions {
    /// Coordinates, one per player.
    n: usize,
    /// `[bit][coordinate]`, rows padded to whole lines.
    rows: Vec<Line>,
}

impl Directions {
    /// Those of `n` coordinates, at most 256.
    pub fn new(n: usize) -> Self {
        let sets_per_line = LANES / 4;
        let mut rows = vec![Line([0; LANES]); INDEX_BITS * n.div_ceil(LANES)];
        for (bit, row) in rows.chunks_exact_mut(n.div_ceil(LANES)).enumerate() {
            for set in 0..n.div_ceil(4) {
                let four: [u32; 4] = sobol_int4_rev(1 << (INDEX_BITS + bit), set as u32).into();
                row[set / sets_per_line].0[set % sets_per_line * 4..][..4].copy_from_slice(&four);
            }
        }
        Self { n, rows }
    }

    /// Lines that hold one number per player.
    fn width(&self) -> usize {
        self.n.div_ceil(LANES)
    }
}

/// Orders from the coordinates of scrambled Sobol points: player k of the list joins in the rank of coordinate k
/// (Mitchell, Cooper, Frank & Holmes 2022), with hash-based Owen scrambling (Burley 2020): the points are those of
/// `sobol_burley::sample_4d`, all coordinates at once.
#[derive(Debug)]
pub(super) struct SobolOrders<'a> {
    directions: &'a Directions,
    /// Scrambles the index of a point.
    shuffle: u32,
    /// Scrambles of the coordinates.
    scrambles: Vec<Line>,
    keys: Vec<Line>,
    ranks: Vec<Line>,
}

impl<'a> SobolOrders<'a> {
    /// The sequence of one scramble.
    pub fn new(directions: &'a Directions, seed: u64, scramble: u64) -> Self {
        let seed = (Stream::new(seed, Purpose::Scrambles, scramble).bits() >> 32) as u32;
        let empty = vec![Line([0; LANES]); directions.width()];
        let mut scrambles = empty.clone();
        for (l, line) in scrambles.iter_mut().enumerate() {
            for (lane, scramble) in line.0.iter_mut().enumerate() {
                let set = ((l * LANES + lane) / 4) as u32;
                *scramble = hash(set ^ seed.wrapping_mul(SEED_FACTOR) ^ SALTS[lane % 4]);
            }
        }
        Self {
            directions,
            shuffle: hash(seed ^ INDEX_SALT),
            scrambles,
            keys: empty.clone(),
            ranks: empty,
        }
    }

    /// Append the order of one point and its reverse; the point lies below 2^16.
    pub fn push_pair(&mut self, point: u32, players: &[u32], orders: &mut Vec<u32>) {
        let n = self.directions.n;
        dispatch!(simd::level(), simd => {
            self.draw_keys(simd, point);
            self.rank_keys(simd);
        });
        let start = orders.len();
        orders.resize(start + 2 * n, 0);
        let (order, reverse) = orders[start..].split_at_mut(n);
        let ranks = self.ranks.iter().flat_map(|line| line.0);
        for (&player, rank) in players.iter().zip(ranks) {
            order[rank as usize] = player;
            reverse[n - 1 - rank as usize] = player;
        }
    }

    /// One key per player: 23 bits of its coordinate, as many as a float in [0, 1) has, then its place, which breaks
    /// ties (one in 2^23 per pair).
    #[inline(always)]
    fn draw_keys<S: Simd>(&mut self, simd: S, point: u32) {
        let index = owen_scramble_rev(point.reverse_bits(), self.shuffle);
        let width = self.directions.width();
        for (l, (keys, scrambles)) in self.keys.iter_mut().zip(&self.scrambles).enumerate() {
            let mut sum = u32x16::splat(simd, 0);
            for bit in 0..INDEX_BITS {
                let row = u32x16::from_slice(simd, &self.directions.rows[bit * width + l].0);
                sum ^= row & (index >> (INDEX_BITS + bit) & 1).wrapping_neg();
            }
            sum.store_slice(&mut keys.0);
            for (lane, (key, scramble)) in keys.0.iter_mut().zip(&scrambles.0).enumerate() {
                let coordinate = owen_scramble_rev(*key, *scramble).reverse_bits();
                *key = coordinate >> 9 << 8 | (l * LANES + lane) as u32;
            }
        }
    }

    /// The rank of a key is the number of smaller ones: for so few keys, and 16 at once, less work than a sort.
    #[inline(always)]
    fn rank_keys<S: Simd>(&mut self, simd: S) {
        let one = u32x16::splat(simd, 1);
        for (line, ranks) in self.keys.iter().zip(&mut self.ranks) {
            let line = u32x16::from_slice(simd, &line.0);
            let mut rank = u32x16::splat(simd, 0);
            for &key in self.keys.iter().flat_map(|l| &l.0).take(self.directions.n) {
                let smaller = u32x16::splat(simd, key).simd_lt(line);
                rank = smaller.select(rank + one, rank);
            }
            rank.store_slice(&mut ranks.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(directions: &Directions, scramble: u64, point: u32, players: &[u32]) -> Vec<u32> {
        let mut orders = Vec::new();
        SobolOrders::new(directions, 4, scramble).push_pair(point, players, &mut orders);
        orders
    }

    #[test]
    fn sobol_orders_are_permutations_and_balanced() {
        for n in [1usize, 5, 128, 129, 256] {
            let players: Vec<u32> = (0..n as u32).map(|p| p * 3).collect();
            let directions = Directions::new(n);
            let mut first = vec![0u32; n];
            for point in 0..64 {
                let orders = pair(&directions, 0, point, &players);
                let (order, reverse) = orders.split_at(n);
                assert!(order.iter().eq(reverse.iter().rev()));
                let mut sorted = order.to_vec();
                sorted.sort_unstable();
                assert_eq!(sorted, players);
                first[order[0] as usize / 3] += 1;
            }
            if n == 5 {
                assert!(first.iter().all(|c| (4..=24).contains(c)), "{first:?}");
            }
        }
    }

    #[test]
    fn sobol_orders_sort_the_points_of_the_sequence_on_any_machine() {
        for n in [1usize, 7, 50, 256] {
            let players: Vec<u32> = (0..n as u32).collect();
            let directions = Directions::new(n);
            for (scramble, point) in [(0, 0), (0, 1), (3, 54_321), (15, 65_535)] {
                let seed = (Stream::new(4, Purpose::Scrambles, scramble).bits() >> 32) as u32;
                let mut sorted: Vec<(f32, u32)> = (0..n as u32)
                    .map(|d| (sobol_burley::sample(point, d, seed), d))
                    .collect();
                sorted.sort_by(|a, b| a.partial_cmp(b).unwrap());
                let orders = pair(&directions, scramble, point, &players);
                assert!(sorted.iter().map(|s| &s.1).eq(&orders[..n]));
                let baseline = || pair(&directions, scramble, point, &players);
                assert_eq!(simd::tests::on_baseline(baseline), orders);
            }
        }
    }
}
