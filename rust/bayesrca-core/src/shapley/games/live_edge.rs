//! Live-edge noisy-OR: the true semantics on any graph, with exact Shapley values per sampled world.

use std::ops::Range;

use super::dag::{check_edges, check_nodes, check_probabilities};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::rng::{Purpose, Stream, Threshold, threshold};
use crate::shapley::estimate::{Estimate, Monitor, Options, Rule};
use crate::shapley::units::{Plan, Units, run};

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
/// search per world gives the Shapley values of all players, without orders. 64 worlds share every operation.
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
        Ok(Self {
            n,
            target,
            blocks,
            into,
            leak: leak.iter().map(|&p| threshold(p)).collect(),
            activation: activation.iter().map(|&p| threshold(p)).collect(),
            active: nodes.into_iter().filter(|&i| activation[i] > 0.0).collect(),
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
            n_evaluations: outcome.moments.count * WORD,
            n_surrogate_evaluations: 0,
            n_units: outcome.moments.count,
            converged: outcome.converged,
            baseline: outcome.moments.mean[ends],
            grand: outcome.moments.mean[ends + 1],
            rule: if options.tolerance.is_some() {
                Rule::WorldSequence
            } else {
                Rule::WorldInterval
            },
            exact: false,
        })
    }

    /// Which nodes reach the target in each of 64 worlds. The edges are drawn node by node, in a fixed order.
    fn reach(&self, stream: &mut Stream, scratch: &mut Scratch) {
        let Scratch { reach, live, .. } = scratch;
        reach.fill(0);
        reach[self.target] = u64::MAX;
        for block in &self.blocks {
            live.clear();
            for &to in block {
                // Outside a cycle the node's reach is known before its edges are drawn.
                let needed = block.len() > 1 || reach[to] != 0;
                live.extend(
                    self.into[to]
                        .iter()
                        .map(|&(_, q)| if needed { stream.events(q) } else { 0 }),
                );
            }
            loop {
                let mut changed = false;
                let mut edge = 0;
                for &to in block {
                    for &(from, _) in &self.into[to] {
                        let more = reach[from] | (reach[to] & live[edge]);
                        edge += 1;
                        changed |= more != reach[from];
                        reach[from] = more;
                    }
                }
                if block.len() == 1 || !changed {
                    break;
                }
            }
        }
    }

    /// Add one word's mean Shapley values, baseline and grand value to `row`.
    fn draw_word(&self, stream: &mut Stream, scratch: &mut Scratch, row: &mut [f64]) {
        self.reach(stream, scratch);
        let reach = &scratch.reach;
        let leaked = self.blocks.iter().flatten().fold(0, |leaked, &i| {
            leaked | (reach[i] & stream.events(self.leak[i]))
        });
        let mut covered = leaked;
        let mut count = [0u32; WORD as usize];
        scratch.causes.clear();
        for &i in &self.active {
            let cause = reach[i] & stream.events(self.activation[i]);
            covered |= cause;
            scratch.causes.push(cause & !leaked);
            for_each_bit(cause & !leaked, |lane| count[lane] += 1);
        }
        let share = count.map(|c| 1.0 / (f64::from(c.max(1)) * WORD as f64));
        for (value, &cause) in row.iter_mut().zip(&scratch.causes) {
            for_each_bit(cause, |lane| *value += share[lane]);
        }
        let ends = self.active.len();
        row[ends] = f64::from(leaked.count_ones()) / WORD as f64;
        row[ends + 1] = f64::from(covered.count_ones()) / WORD as f64;
    }
}

fn for_each_bit(mut word: u64, mut visit: impl FnMut(usize)) {
    while word != 0 {
        visit(word.trailing_zeros() as usize);
        word &= word - 1;
    }
}

#[derive(Debug)]
struct Scratch {
    reach: Vec<u64>,
    live: Vec<u64>,
    causes: Vec<u64>,
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

    fn draw(&self, units: Range<u64>, rows: &mut Vec<f64>) -> f64 {
        let mut scratch = Scratch {
            reach: vec![0; self.game.n],
            live: Vec::new(),
            causes: Vec::new(),
        };
        for unit in units {
            let start = rows.len();
            rows.resize(start + self.width(), 0.0);
            let mut stream = Stream::new(self.seed, Purpose::Worlds, unit);
            self.game
                .draw_word(&mut stream, &mut scratch, &mut rows[start..]);
        }
        1.0
    }
}
