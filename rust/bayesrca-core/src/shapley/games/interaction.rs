//! Games of single, pair and triple effects, whose Shapley values and interactions are exact.

use super::dag::check_finite;
use crate::error::{Error, Result};
use crate::game::{Game, Walk};

/// `v(S) = constant + sum of the effects of all singles, pairs and triples inside S`.
///
/// Every effect is shared equally among those who bring it about (Harsanyi 1963), so a player's Shapley value is its
/// single effect plus halves of its pairs plus thirds of its triples.
#[derive(Debug, Clone)]
pub struct InteractionGame {
    constant: f64,
    single: Vec<f64>,
    /// Row-major, symmetric, zero diagonal.
    pair: Vec<f64>,
    triples: Vec<(usize, usize, usize, f64)>,
    /// Triples of each player: the two others and the effect.
    with: Vec<Vec<(usize, usize, f64)>>,
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
            with[i].push((j, k, effect));
            with[j].push((i, k, effect));
            with[k].push((i, j, effect));
        }
        Ok(Self {
            constant,
            single,
            pair,
            triples,
            with,
        })
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
            gain: self.single.clone(),
            member: vec![false; self.single.len()],
        }
    }

    fn active_players(&self) -> Vec<u32> {
        let n = self.single.len();
        (0..n)
            .filter(|&i| {
                let effects = self.pair[i * n..(i + 1) * n]
                    .iter()
                    .chain([&self.single[i]]);
                let mut triples = self.with[i].iter().map(|t| t.2);
                effects.copied().any(|e| e != 0.0) || triples.any(|e| e != 0.0)
            })
            .map(|i| i as u32)
            .collect()
    }

    fn closed_form(&self) -> Option<Vec<f64>> {
        let n = self.single.len();
        let of = |i: usize| {
            let pairs: f64 = self.pair[i * n..(i + 1) * n].iter().sum();
            let triples: f64 = self.with[i].iter().map(|t| t.2).sum();
            self.single[i] + pairs / 2.0 + triples / 3.0
        };
        Some((0..n).map(of).collect())
    }

    /// A pair's index is the pair's effect plus halves of the triples it is in.
    fn closed_form_interactions(&self) -> Option<Vec<f64>> {
        let n = self.single.len();
        let mut out = self.pair.clone();
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
    /// What each player would add if it joined now.
    gain: Vec<f64>,
    member: Vec<bool>,
}

impl Walk for InteractionWalk<'_> {
    fn start(&mut self) -> f64 {
        self.gain.copy_from_slice(&self.game.single);
        self.member.fill(false);
        self.value = self.game.constant;
        self.value
    }

    fn add(&mut self, player: usize) -> f64 {
        let n = self.gain.len();
        self.value += self.gain[player];
        self.member[player] = true;
        let row = &self.game.pair[player * n..(player + 1) * n];
        for (gain, effect) in self.gain.iter_mut().zip(row) {
            *gain += effect;
        }
        for &(j, k, effect) in &self.game.with[player] {
            if self.member[j] {
                self.gain[k] += effect;
            } else if self.member[k] {
                self.gain[j] += effect;
            }
        }
        self.value
    }

    fn copy_from(&mut self, other: &Self) {
        self.value = other.value;
        self.gain.copy_from_slice(&other.gain);
        self.member.copy_from_slice(&other.member);
    }
}
