//! The sampled coalitions.

use std::collections::HashSet;

use crate::rng::{Purpose, Stream};

/// A coalition that stands for itself and its complement.
#[derive(Debug)]
pub(super) struct Pair {
    pub size: usize,
    members: Box<[u64]>,
}

impl Pair {
    fn of(n: usize, players: &[u32]) -> Self {
        let mut members = vec![0; n.div_ceil(64)];
        for &k in players {
            members[k as usize / 64] |= 1 << (k % 64);
        }
        let mut pair = Self {
            size: players.len(),
            members: members.into(),
        };
        // Of two halves the one with the first player stands for both.
        if 2 * pair.size == n && !pair.contains(0) {
            for k in 0..n {
                pair.members[k / 64] ^= 1 << (k % 64);
            }
        }
        pair
    }

    pub fn contains(&self, k: usize) -> bool {
        self.members[k / 64] >> (k % 64) & 1 == 1
    }
}

/// The pairs to value, in random order.
#[derive(Debug)]
pub(super) struct Design {
    pub n: usize,
    pub pairs: Vec<Pair>,
}

impl Design {
    /// Leverage is equal over sizes: every size gets as many pairs, the small ones no more than there are. No pair is
    /// drawn twice.
    pub fn new(n: usize, n_pairs: usize, seed: u64) -> Self {
        let counts = allocate(n, n_pairs);
        let mut pairs = Vec::with_capacity(n_pairs);
        for (size, &count) in (1..).zip(&counts) {
            let mut stream = Stream::new(seed, Purpose::Coalitions, size as u64);
            if count as f64 >= population(n, size) {
                push_all(n, size, &mut pairs);
            } else {
                push_some(n, size, count, &mut stream, &mut pairs);
            }
        }
        let mut stream = Stream::new(seed, Purpose::Coalitions, 0);
        for i in (1..pairs.len()).rev() {
            pairs.swap(i, stream.below(i as u32 + 1) as usize);
        }
        Self { n, pairs }
    }
}

/// Number of pairs of a coalition of `size <= n / 2` and its complement.
pub(super) fn population(n: usize, size: usize) -> f64 {
    let subsets = (0..size).fold(1.0, |c, k| c * (n - k) as f64 / (k + 1) as f64);
    let pairs: f64 = if 2 * size == n {
        subsets / 2.0
    } else {
        subsets
    };
    pairs.round()
}

/// Weight of all pairs of one size together in the regression whose solution is the Shapley value (Charnes, Golany,
/// Keane & Rousseau 1988).
pub(super) fn kernel_mass(n: usize, size: usize) -> f64 {
    let halves = if 2 * size == n { 0.5 } else { 1.0 };
    halves / (size * (n - size)) as f64
}

/// Pairs of each size from 1 to `n / 2`: proportional to the size's leverage, at most all of them.
fn allocate(n: usize, n_pairs: usize) -> Vec<usize> {
    let leverage = |size: usize| if 2 * size == n { 1.0 } else { 2.0 };
    let mut counts = vec![0; n / 2];
    let mut open: Vec<usize> = (1..=n / 2).collect();
    let mut left = n_pairs;
    loop {
        let share = left as f64 / open.iter().map(|&s| leverage(s)).sum::<f64>();
        let (full, rest): (Vec<usize>, Vec<usize>) = open
            .iter()
            .partition(|&&s| population(n, s) <= share * leverage(s));
        if full.is_empty() {
            // Whole parts first; what they leave goes to the smallest sizes.
            for &size in &open {
                counts[size - 1] = (share * leverage(size)) as usize;
                left -= counts[size - 1];
            }
            for &size in open.iter().take(left) {
                counts[size - 1] += 1;
            }
            return counts;
        }
        for size in full {
            counts[size - 1] = population(n, size) as usize;
            left -= counts[size - 1];
        }
        open = rest;
        if open.is_empty() {
            return counts;
        }
    }
}

/// All pairs of one size.
fn push_all(n: usize, size: usize, pairs: &mut Vec<Pair>) {
    let mut players: Vec<u32> = (0..size as u32).collect();
    loop {
        if 2 * size < n || players[0] == 0 {
            pairs.push(Pair::of(n, &players));
        }
        let Some(i) = (0..size).rfind(|&i| players[i] < (n - size + i) as u32) else {
            return;
        };
        players[i] += 1;
        for j in i + 1..size {
            players[j] = players[j - 1] + 1;
        }
    }
}

/// Different random pairs of one size.
fn push_some(n: usize, size: usize, count: usize, stream: &mut Stream, pairs: &mut Vec<Pair>) {
    let mut players: Vec<u32> = (0..n as u32).collect();
    let mut seen = HashSet::with_capacity(count);
    while seen.len() < count {
        for i in 0..size {
            players.swap(i, i + stream.below((n - i) as u32) as usize);
        }
        let pair = Pair::of(n, &players[..size]);
        if seen.insert(pair.members.clone()) {
            pairs.push(pair);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_gets_as_many_pairs_and_small_ones_all() {
        assert_eq!(allocate(7, 30), [7, 12, 11]);
        assert_eq!(allocate(8, 90), [8, 28, 36, 18]);
        assert_eq!(allocate(3, 3), [3]);
        assert_eq!(allocate(20, 2000).iter().sum::<usize>(), 2000);
        for (n, n_pairs) in [(7, 62), (8, 126), (9, 100), (20, 300), (70, 400)] {
            let design = Design::new(n, n_pairs, 1);
            assert_eq!(design.pairs.len(), n_pairs.min((1 << (n.min(20) - 1)) - 1));
            let different: HashSet<_> = design.pairs.iter().map(|p| p.members.clone()).collect();
            assert_eq!(different.len(), design.pairs.len());
            let sizes = |p: &Pair| (0..n).filter(|&k| p.contains(k)).count() == p.size;
            assert!(design.pairs.iter().all(sizes));
        }
    }
}
