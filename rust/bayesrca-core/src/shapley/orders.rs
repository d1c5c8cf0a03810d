//! Orders in which players join.

use super::estimate::not_finite;
use crate::error::Result;
use crate::game::Game;
use crate::rng::{Purpose, Stream};

/// Orders (pairs of a random order and its reverse) over which the inner error is averaged.
const INNER_PAIRS: u64 = 16;
/// Up to here ranks by counting beat a sort; the player's index then fits the low 7 bits of a key.
const RANK_BY_COUNTING: usize = 128;

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

/// The error a sampled game judges itself to have along some antithetic orders, where it is one.
pub(super) fn inner_std_err<G: Game>(game: &G, seed: u64) -> Result<Option<Vec<f64>>> {
    let players = game.active_players();
    let mut orders = Vec::new();
    for unit in 0..INNER_PAIRS {
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

/// Orders from the coordinates of scrambled Sobol points: player k of the list joins in the rank of coordinate k
/// (Mitchell, Cooper, Frank & Holmes 2022), with hash-based Owen scrambling (Burley 2020).
#[derive(Debug)]
pub(super) struct SobolOrders {
    seed: u32,
    keys: Vec<i32>,
    sorted: Vec<(u32, u32)>,
}

impl SobolOrders {
    /// The sequence of one scramble.
    pub fn new(seed: u64, scramble: u64) -> Self {
        let bits = Stream::new(seed, Purpose::Scrambles, scramble).bits();
        Self {
            seed: (bits >> 32) as u32,
            keys: Vec::new(),
            sorted: Vec::new(),
        }
    }

    /// Append the order of one point and its reverse. At most 2^16 points and 256 players.
    pub fn push_pair(&mut self, point: u32, players: &[u32], orders: &mut Vec<u32>) {
        let n = players.len();
        let digits = |set: usize| {
            let point = sobol_burley::sample_4d(point, set as u32, self.seed);
            // 24 bits, ties (one in 2^24 per pair) broken by index.
            point.map(|u| (u * 16_777_216.0) as u32)
        };
        let start = orders.len();
        if n <= RANK_BY_COUNTING {
            self.keys.clear();
            for set in 0..n.div_ceil(4) {
                for (j, d) in digits(set).into_iter().enumerate() {
                    self.keys
                        .push((d << 7 | (set * 4 + j) as u32 & 127).cast_signed());
                }
            }
            self.keys.truncate(n);
            orders.resize(start + n, 0);
            for (k, &key) in self.keys.iter().enumerate() {
                let rank: i32 = self.keys.iter().map(|&other| i32::from(other < key)).sum();
                orders[start + rank as usize] = players[k];
            }
        } else {
            self.sorted.clear();
            for set in 0..n.div_ceil(4) {
                for (j, d) in digits(set).into_iter().enumerate() {
                    self.sorted.push((d, (set * 4 + j) as u32));
                }
            }
            self.sorted.truncate(n);
            self.sorted.sort_unstable();
            orders.extend(self.sorted.iter().map(|&(_, k)| players[k as usize]));
        }
        push_reverse(orders, n);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sobol_orders_are_permutations_and_balanced() {
        for n in [1usize, 5, 128, 129, 256] {
            let players: Vec<u32> = (0..n as u32).map(|p| p * 3).collect();
            let mut sequence = SobolOrders::new(4, 0);
            let mut first = vec![0u32; n];
            for point in 0..64 {
                let mut orders = Vec::new();
                sequence.push_pair(point, &players, &mut orders);
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
}
