//! Live-edge noisy-OR: the true semantics on any graph, with exact Shapley values per sampled world.

use std::ops::Range;

use fearless_simd::prelude::*;
use fearless_simd::{dispatch, u64x8};

use super::dag::{check_edges, check_nodes, check_probabilities};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::rng::{Purpose, Stream, Threshold, WIDE, WideStream, threshold};
use crate::shapley::estimate::{Estimate, Guarantee, Monitor, Options, Rule};
use crate::shapley::units::{Plan, Units, run};
use crate::simd;

/// Worlds per word.
const WORD: u64 = 64;
/// Words when neither tolerance nor budget is given.
const DEFAULT_WORDS: u64 = 1024;

/// The players are faults. In a world every edge is live or dead, every player is activated or not and every node leaks
/// or not, all independently; `v(S)` is the probability that a live path leads to the target from an activated member
/// of S or from a leak (Kempe, Kleinberg & Tardos 2003). Any directed graph, cycles included.
///
/// In one world the value is the indicator that S meets the set A of activated players that reach the target: a
/// unanimity game's dual, shared equally among A. So `phi_i = E[1{i in A, no leak reaches} / |A|]`, exactly: one backward
/// search per world gives the Shapley values of all players, without orders. 8 x 64 worlds share every operation.
#[derive(Debug, Clone)]
pub struct LiveEdgeGame {
    n: usize,
    target: usize,
    /// Nodes that can reach the target, by strongly connected component, those near the target first.
    blocks: Vec<Vec<usize>>,
    /// For each node, the edges into it: source and probability.
    into: Vec<Vec<(usize, Threshold)>>,
    leak: Vec<Threshold>,
    activation: Vec<Threshold>,
    active: Vec<usize>,
    /// Share of each cause in a world's part of the mean, by the number of causes.
    share: Vec<f64>,
}

impl LiveEdgeGame {
    /// `edges` are `(from, to, probability to be live)`; parallel edges are independent. `leak` and `activation` have
    /// one entry per node.
    ///
    /// # Errors
    /// `InvalidEvidence` for no nodes, a wrong shape or an entry that is not a probability.
    pub fn new(
        n: usize,
        edges: &[(usize, usize, f64)],
        target: usize,
        leak: &[f64],
        activation: &[f64],
    ) -> Result<Self> {
        check_nodes(n, target)?;
        check_edges(n, edges)?;
        let q: Vec<f64> = edges.iter().map(|e| e.2).collect();
        check_probabilities("edges", &q, q.len())?;
        check_probabilities("leak", leak, n)?;
        check_probabilities("activation", activation, n)?;
        let usable = edges.iter().filter(|e| e.2 > 0.0 && e.0 != e.1);
        let mut into = vec![Vec::new(); n];
        let mut backwards = Vec::new();
        for &(from, to, q) in usable {
            into[to].push((from, threshold(q)));
            backwards.push((to, from));
        }
        let graph = Graph::new(n, &backwards);
        let mut nodes = graph.reachable(target);
        nodes.push(target);
        nodes.sort_unstable();
        let blocks = graph
            .components_in_order(&nodes)
            .into_iter()
            .map(|block| block.into_iter().map(|p| nodes[p]).collect())
            .collect();
        let active: Vec<usize> = nodes.into_iter().filter(|&i| activation[i] > 0.0).collect();
        let share = |causes: usize| 1.0 / (causes.max(1) as f64 * WORD as f64);
        Ok(Self {
            n,
            target,
            blocks,
            into,
            leak: leak.iter().map(|&p| threshold(p)).collect(),
            activation: activation.iter().map(|&p| threshold(p)).collect(),
            share: (0..=active.len()).map(share).collect(),
            active,
        })
    }

    /// Number of players.
    #[must_use]
    pub fn n_players(&self) -> usize {
        self.n
    }

    /// Estimate the Shapley values, the baseline and the grand value from sampled worlds.
    ///
    /// The budget counts worlds and is rounded down to words of 64, the sampling unit. The values sum to the grand value
    /// minus the baseline in every world.
    ///
    /// # Errors
    /// `InvalidEvidence` for a budget below 64 worlds, or a tolerance or confidence outside its range; `Cancelled`.
    pub fn estimate_shapley(&self, options: &Options, monitor: Monitor<'_>) -> Result<Estimate> {
        options.check()?;
        let max_units = match (options.tolerance, options.budget) {
            (_, Some(budget)) => budget / WORD,
            (None, None) => DEFAULT_WORDS,
            (Some(_), None) => u64::MAX,
        };
        if max_units == 0 {
            return Err(Error::evidence(
                "budget",
                "is fewer than the 64 worlds of one word",
            ));
        }
        let plan = Plan {
            tolerance: options.tolerance,
            max_units,
            alpha: 1.0 - options.confidence,
            scale: 1.0,
            guarantee: options.guarantee,
        };
        let worlds = Worlds {
            game: self,
            seed: options.seed,
        };
        let outcome = run(&worlds, plan, monitor)?;
        let spread = |of: &dyn Fn(usize) -> f64| {
            let mut out = vec![0.0; self.n];
            for (k, &player) in self.active.iter().enumerate() {
                out[player] = of(k);
            }
            out
        };
        let ends = self.active.len();
        Ok(Estimate {
            values: spread(&|k| outcome.moments.mean[k]),
            std_err: spread(&|k| outcome.moments.std_err(k)),
            half_width: spread(&|k| outcome.half_width[k]),
            inner_std_err: None,
            n_evaluations: outcome.drawn * WORD,
            n_surrogate_evaluations: 0,
            n_units: outcome.moments.count,
            converged: outcome.converged,
            baseline: outcome.moments.mean[ends],
            grand: outcome.moments.mean[ends + 1],
            rule: match (options.guarantee, options.tolerance) {
                (Guarantee::Bernstein, _) => Rule::WorldBernstein,
                (Guarantee::Asymptotic, Some(_)) => Rule::WorldSequence,
                (Guarantee::Asymptotic, None) => Rule::WorldInterval,
            },
            exact: false,
        })
    }

    /// Which nodes reach the target in each world. The edges are drawn node by node, in a fixed order.
    #[inline(always)]
    fn reach<S: Simd>(&self, simd: S, stream: &mut WideStream<S>, scratch: &mut Scratch) {
        let Scratch { reach, live, .. } = scratch;
        reach.fill(Words([0; WIDE]));
        reach[self.target] = Words([u64::MAX; WIDE]);
        for block in &self.blocks {
            live.clear();
            for &to in block {
                // Outside a cycle the node's reach is known before its edges are drawn.
                let needed = if block.len() > 1 {
                    u64x8::splat(simd, u64::MAX)
                } else {
                    reach[to].load(simd)
                };
                for &(_, q) in &self.into[to] {
                    live.push(Words::of(stream.events(q, needed)));
                }
            }
            loop {
                let mut changed = u64x8::splat(simd, 0);
                let mut edges = live.iter();
                for &to in block {
                    for (&(from, _), live) in self.into[to].iter().zip(&mut edges) {
                        let before = reach[from].load(simd);
                        let after = before | (reach[to].load(simd) & live.load(simd));
                        changed |= before ^ after;
                        reach[from] = Words::of(after);
                    }
                }
                if block.len() == 1 || changed.simd_eq(u64x8::splat(simd, 0)).all_true() {
                    break;
                }
            }
        }
    }

    /// Write the mean Shapley values, baseline and grand value of up to 8 words of worlds to `rows`.
    #[inline(always)]
    fn draw_words<S: Simd>(
        &self,
        simd: S,
        stream: &mut WideStream<S>,
        scratch: &mut Scratch,
        rows: &mut [f64],
    ) {
        self.reach(simd, stream, scratch);
        let reach = &scratch.reach;
        let mut leaked = u64x8::splat(simd, 0);
        for &i in self.blocks.iter().flatten() {
            leaked |= stream.events(self.leak[i], reach[i].load(simd) & !leaked);
        }
        let mut covered = leaked;
        scratch.causes.clear();
        scratch.count.fill(Words([0; WIDE]));
        for &i in &self.active {
            let cause = stream.events(self.activation[i], reach[i].load(simd) & !leaked);
            covered |= cause;
            scratch.causes.push(Words::of(cause));
            let mut carry = cause;
            for digit in &mut scratch.count {
                let before = digit.load(simd);
                *digit = Words::of(before ^ carry);
                carry &= before;
            }
        }
        let ends = self.active.len();
        for (w, row) in rows.chunks_exact_mut(ends + 2).enumerate() {
            let sums = self.sums_of_shares(scratch.count.iter().map(|digit| digit.0[w]));
            for (value, cause) in row.iter_mut().zip(&scratch.causes) {
                *value = sums.of(cause.0[w]);
            }
            row[ends] = f64::from(leaked.as_slice()[w].count_ones()) / WORD as f64;
            row[ends + 1] = f64::from(covered.as_slice()[w].count_ones()) / WORD as f64;
        }
    }

    /// Sums of the shares of 64 worlds, given the binary digits of the worlds' numbers of causes.
    #[inline(always)]
    fn sums_of_shares(&self, digits: impl Iterator<Item = u64>) -> SumTable {
        let mut count = [0u32; WORD as usize];
        for (d, digit) in digits.enumerate() {
            for (world, count) in count.iter_mut().enumerate() {
                *count |= ((digit >> world & 1) as u32) << d;
            }
        }
        let mut table = [[0.0; 16]; WORD as usize / 4];
        for (sums, count) in table.iter_mut().zip(count.as_chunks::<4>().0) {
            for (bit, &count) in count.iter().enumerate() {
                let share = self.share[count as usize];
                for set in 0..1 << bit {
                    sums[set | 1 << bit] = sums[set] + share;
                }
            }
        }
        SumTable(table)
    }
}

/// Sums over the worlds of a word, four worlds at a time.
struct SumTable([[f64; 16]; WORD as usize / 4]);

impl SumTable {
    /// Sum over the worlds whose bits are set.
    #[inline(always)]
    fn of(&self, word: u64) -> f64 {
        let mut lanes = [0.0; 4];
        for (four, sums) in self.0.iter().enumerate() {
            lanes[four % 4] += sums[(word >> (4 * four) & 15) as usize];
        }
        lanes[0] + lanes[1] + (lanes[2] + lanes[3])
    }
}

/// One bit for each of 8 x 64 worlds.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Words([u64; WIDE]);

impl Words {
    #[inline(always)]
    fn load<S: Simd>(&self, simd: S) -> u64x8<S> {
        u64x8::from_slice(simd, &self.0)
    }

    #[inline(always)]
    fn of<S: Simd>(words: u64x8<S>) -> Self {
        let mut out = Self([0; WIDE]);
        words.store_slice(&mut out.0);
        out
    }
}

#[derive(Debug)]
struct Scratch {
    reach: Vec<Words>,
    live: Vec<Words>,
    causes: Vec<Words>,
    /// Binary digits of the number of causes.
    count: Vec<Words>,
}

struct Worlds<'a> {
    game: &'a LiveEdgeGame,
    seed: u64,
}

impl Units for Worlds<'_> {
    fn width(&self) -> usize {
        self.game.active.len() + 2
    }

    fn tested(&self) -> usize {
        self.game.active.len()
    }

    fn cost(&self) -> u64 {
        WORD
    }

    /// A share of a probability.
    fn range(&self) -> Result<f64> {
        Ok(1.0)
    }

    /// The words of one call share a stream, seeded by the first and drawn 8 at a time.
    fn draw(&self, units: Range<u64>, rows: &mut Vec<f64>) -> f64 {
        let none = Words([0; WIDE]);
        let digits = usize::BITS - self.game.active.len().leading_zeros();
        let mut scratch = Scratch {
            reach: vec![none; self.game.n],
            live: Vec::new(),
            causes: Vec::new(),
            count: vec![none; digits as usize],
        };
        let start = rows.len();
        rows.resize(
            start + (units.end - units.start) as usize * self.width(),
            0.0,
        );
        let mut seeds = Stream::new(self.seed, Purpose::Worlds, units.start);
        dispatch!(simd::level(), simd => {
            let mut stream = WideStream::new(simd, &mut seeds);
            for rows in rows[start..].chunks_mut(WIDE * self.width()) {
                self.game.draw_words(simd, &mut stream, &mut scratch, rows);
            }
        });
        1.0
    }
}
