//! Games of single, pair and triple effects, whose Shapley values and interactions are exact.

use fearless_simd::dispatch;

use super::dag::check_finite;
use crate::error::{Error, Result};
use crate::game::{Game, Walk};
use crate::simd;

/// Effects in a cache line.
const LINE: usize = 8;

/// One cache line of effects.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Line([f64; LINE]);

/// `v(S) = constant + sum of the effects of all singles, pairs and triples inside S`.
///
/// Every effect is shared equally among those who bring it about (Harsanyi 1963), so a player's Shapley value is its
/// single effect plus halves of its pairs plus thirds of its triples.
#[derive(Debug, Clone)]
pub struct InteractionGame {
    constant: f64,
    single: Vec<f64>,
    /// The same, padded to whole lines.
    singles: Vec<Line>,
    /// Symmetric, zero diagonal; rows padded to whole lines.
    pair: Vec<Line>,
    triples: Vec<(usize, usize, usize, f64)>,
    /// Triples of each player: the two others and the effect.
    with: Vec<Vec<(u32, u32, f64)>>,
}

impl InteractionGame {
    /// `pair` is row-major `n x n` and symmetric; its diagonal is ignored. Triples are of three different players.
    ///
    /// # Errors
    /// `InvalidEvidence` for no players, arrays of the wrong size, entries that are not finite, an asymmetric `pair` or
    /// a triple with a repeated or unknown player.
    pub fn new(
        constant: f64,
        single: Vec<f64>,
        mut pair: Vec<f64>,
        triples: Vec<(usize, usize, usize, f64)>,
    ) -> Result<Self> {
        let n = single.len();
        if n == 0 {
            return Err(Error::evidence("game", "has no players"));
        }
        check_finite("constant", &[constant], 1)?;
        check_finite("single", &single, n)?;
        check_finite("pair", &pair, n * n)?;
        for i in 0..n {
            pair[i * n + i] = 0.0;
            if (0..i).any(|j| pair[i * n + j].to_bits() != pair[j * n + i].to_bits()) {
                return Err(Error::evidence("pair", format!("row {i} is not symmetric")));
            }
        }
        let mut with = vec![Vec::new(); n];
        for &(i, j, k, effect) in &triples {
            if i == j || j == k || i == k || i.max(j).max(k) >= n || !effect.is_finite() {
                return Err(Error::evidence(
                    "triples",
                    format!("({i}, {j}, {k}, {effect}) is not legal"),
                ));
            }
            for (player, a, b) in [(i, j, k), (j, i, k), (k, i, j)] {
                with[player].push((a as u32, b as u32, effect));
            }
        }
        Ok(Self {
            constant,
            singles: lines(&single).collect(),
            single,
            pair: pair.chunks_exact(n).flat_map(lines).collect(),
            triples,
            with,
        })
    }
}

/// Effects padded to whole lines.
fn lines(effects: &[f64]) -> impl Iterator<Item = Line> {
    effects.chunks(LINE).map(|part| {
        let mut line = Line([0.0; LINE]);
        line.0[..part.len()].copy_from_slice(part);
        line
    })
}

impl InteractionGame {
    fn pair_lines(&self, i: usize) -> &[Line] {
        let width = self.singles.len();
        &self.pair[i * width..(i + 1) * width]
    }

    /// Effects of the pairs of a player.
    fn pairs(&self, i: usize) -> impl Iterator<Item = f64> {
        let lines = self.pair_lines(i).iter();
        lines.flat_map(|line| line.0).take(self.single.len())
    }
}

impl Game for InteractionGame {
    type Walk<'a> = InteractionWalk<'a>;

    fn n_players(&self) -> usize {
        self.single.len()
    }

    fn walk(&self) -> InteractionWalk<'_> {
        InteractionWalk {
            game: self,
            value: self.constant,
            gain: self.singles.clone(),
            from_triples: vec![0.0; self.single.len()],
            member: vec![0.0; self.single.len()],
        }
    }

    fn active_players(&self) -> Vec<u32> {
        let n = self.single.len();
        (0..n)
            .filter(|&i| {
                let triples = self.with[i].iter().map(|t| t.2);
                let mut effects = self.pairs(i).chain([self.single[i]]).chain(triples);
                effects.any(|e| e != 0.0)
            })
            .map(|i| i as u32)
            .collect()
    }

    fn closed_form(&self) -> Option<Vec<f64>> {
        let n = self.single.len();
        let of = |i: usize| {
            let pairs: f64 = self.pairs(i).sum();
            let triples: f64 = self.with[i].iter().map(|t| t.2).sum();
            self.single[i] + pairs / 2.0 + triples / 3.0
        };
        Some((0..n).map(of).collect())
    }

    /// A pair's index is the pair's effect plus halves of the triples it is in.
    fn closed_form_interactions(&self) -> Option<Vec<f64>> {
        let n = self.single.len();
        let mut out: Vec<f64> = (0..n).flat_map(|i| self.pairs(i)).collect();
        for &(i, j, k, effect) in &self.triples {
            for (a, b) in [(i, j), (j, k), (i, k)] {
                out[a * n + b] += 0.5 * effect;
                out[b * n + a] += 0.5 * effect;
            }
        }
        Some(out)
    }
}

/// The growing coalition of an [`InteractionGame`].
#[derive(Debug, Clone)]
pub struct InteractionWalk<'a> {
    game: &'a InteractionGame,
    value: f64,
    /// What each player would add if it joined now, triples aside.
    gain: Vec<Line>,
    /// What triples add to it, kept apart: a line is slow to read after a part of it was written.
    from_triples: Vec<f64>,
    /// 1 for a member, else 0.
    member: Vec<f64>,
}

impl InteractionWalk<'_> {
    #[inline(always)]
    fn join(&mut self, player: usize) -> f64 {
        self.value += self.gain[player / LINE].0[player % LINE] + self.from_triples[player];
        self.member[player] = 1.0;
        for (gain, effect) in self.gain.iter_mut().zip(self.game.pair_lines(player)) {
            for l in 0..LINE {
                gain.0[l] += effect.0[l];
            }
        }
        // What a member would gain no longer matters, and adding 0 is cheaper than a branch.
        for &(j, k, effect) in &self.game.with[player] {
            let (j, k) = (j as usize, k as usize);
            self.from_triples[k] += self.member[j] * effect;
            self.from_triples[j] += self.member[k] * effect;
        }
        self.value
    }
}

impl Walk for InteractionWalk<'_> {
    fn start(&mut self) -> f64 {
        self.gain.copy_from_slice(&self.game.singles);
        self.from_triples.fill(0.0);
        self.member.fill(0.0);
        self.value = self.game.constant;
        self.value
    }

    fn add(&mut self, player: usize) -> f64 {
        self.join(player)
    }

    fn copy_from(&mut self, other: &Self) {
        self.value = other.value;
        self.gain.copy_from_slice(&other.gain);
        self.from_triples.copy_from_slice(&other.from_triples);
        self.member.copy_from_slice(&other.member);
    }

    fn along(&mut self, orders: &[u32], length: usize, values: &mut [f64]) -> f64 {
        dispatch!(simd::level(), _ => {
            for (order, row) in orders.chunks_exact(length).zip(values.chunks_exact_mut(length)) {
                self.start();
                for (&player, value) in order.iter().zip(row) {
                    *value = self.join(player as usize);
                }
            }
        });
        self.game.constant
    }
}
