//! Noisy-OR propagation with independent parents, and the control variate that makes it cheap.

use super::dag::{Dag, check_nodes, check_probabilities};
use super::quadrature::gauss_legendre;
use crate::error::Result;
use crate::game::{Game, Surrogate, SurrogateValues, Walk};

/// Most nodes of the quadrature; enough for any number of players at double precision.
const MAX_NODES: usize = 128;

/// The players are faults; one that joins activates its node with a probability. On a directed acyclic graph
/// `p_j = 1 - (1 - leak_j) (1 - activation_j [j in S]) prod over parents (1 - q_ij p_i)` and `v(S) = p_target`.
///
/// Parents count as independent, which they are not when they share ancestors: [`LiveEdgeGame`](super::LiveEdgeGame)
/// has the exact semantics (and is cheaper).
#[derive(Debug, Clone)]
pub struct NoisyOrGame {
    n: usize,
    /// Players that can activate an ancestor of the target, ascending.
    active: Vec<u32>,
    /// Row of each ancestor of the target, parents before children.
    row: Vec<Option<u32>>,
    target: usize,
    /// `1 - leak` of each row.
    quiet: Vec<f64>,
    /// `(1 - leak) (1 - activation)` of each row.
    quiet_member: Vec<f64>,
    /// First parent of each row; one more entry than rows.
    first_parent: Vec<u32>,
    /// Rows of the parents and the edges' probabilities.
    parents: Vec<(u32, f64)>,
    /// Rows to compute again when the player of a row joins.
    descendants: Vec<Vec<u32>>,
    /// Probabilities in the empty coalition.
    empty: Vec<f64>,
    surrogate: IndependentCauses,
}

impl NoisyOrGame {
    /// `edges` are `(from, to, q)`, each pair of nodes once; `leak` and `activation` have one entry per node.
    ///
    /// # Errors
    /// `InvalidEvidence` for no nodes, a cycle, a wrong shape or an entry that is not a probability.
    pub fn new(
        n: usize,
        edges: &[(usize, usize, f64)],
        target: usize,
        leak: &[f64],
        activation: &[f64],
    ) -> Result<Self> {
        check_nodes(n, target)?;
        check_probabilities("leak", leak, n)?;
        check_probabilities("activation", activation, n)?;
        let dag = Dag::new(n, edges, target)?;
        let q: Vec<f64> = dag.parents.iter().flatten().map(|p| p.1).collect();
        check_probabilities("edges", &q, q.len())?;
        let mut row = vec![None; n];
        for (r, &i) in dag.order.iter().enumerate() {
            row[i] = Some(r as u32);
        }
        let rows = |nodes: &[usize]| nodes.iter().filter_map(|&i| row[i]).collect();
        let (mut parents, mut first_parent) = (Vec::new(), vec![0]);
        for &j in &dag.order {
            parents.extend(
                dag.parents[j]
                    .iter()
                    .filter_map(|&(i, q)| Some((row[i]?, q))),
            );
            first_parent.push(parents.len() as u32);
        }
        let descendants = dag.descendants();
        let quiet = dag.order.iter().map(|&i| 1.0 - leak[i]);
        let silent = |&i: &usize| (1.0 - leak[i]) * (1.0 - activation[i]);
        let target_row = dag.order.iter().position(|&i| i == target);
        let mut game = Self {
            n,
            active: (0..n as u32)
                .filter(|&i| row[i as usize].is_some() && activation[i as usize] > 0.0)
                .collect(),
            target: target_row.unwrap_or_default(),
            quiet: quiet.collect(),
            quiet_member: dag.order.iter().map(silent).collect(),
            first_parent,
            parents,
            descendants: dag.order.iter().map(|&i| rows(&descendants[i])).collect(),
            empty: vec![0.0; dag.order.len()],
            surrogate: IndependentCauses {
                quiet: 1.0,
                ratio: vec![0.0; n],
                shapley: vec![0.0; n],
            },
            row,
        };
        for j in 0..game.quiet.len() {
            game.empty[j] = game.probability(j, &game.quiet, &game.empty);
        }
        let mut walk = game.walk();
        let alone: Vec<f64> = (0..n)
            .map(|i| {
                walk.start();
                walk.add(i)
            })
            .collect();
        let surrogate = IndependentCauses::new(game.empty[game.target], &alone);
        game.surrogate = surrogate;
        Ok(game)
    }

    /// Probability of a row, given how quiet each row is by itself and its parents' probabilities.
    #[inline]
    fn probability(&self, row: usize, quiet: &[f64], p: &[f64]) -> f64 {
        let parents = self.first_parent[row] as usize..self.first_parent[row + 1] as usize;
        1.0 - self.parents[parents]
            .iter()
            .fold(quiet[row], |quiet, &(i, q)| {
                quiet * (1.0 - q * p[i as usize])
            })
    }
}

impl Game for NoisyOrGame {
    type Walk<'a> = NoisyOrWalk<'a>;

    fn n_players(&self) -> usize {
        self.n
    }

    fn walk(&self) -> NoisyOrWalk<'_> {
        NoisyOrWalk {
            game: self,
            p: self.empty.clone(),
            quiet: self.quiet.clone(),
        }
    }

    fn active_players(&self) -> Vec<u32> {
        self.active.clone()
    }

    /// Nobody's joining lowers a probability.
    fn range(&self) -> Option<(f64, f64)> {
        Some((self.baseline(), self.grand()))
    }

    fn surrogate(&self) -> Option<&dyn Surrogate> {
        Some(&self.surrogate)
    }
}

/// The growing coalition of a [`NoisyOrGame`]: only descendants of a joining player are computed again.
#[derive(Debug, Clone)]
pub struct NoisyOrWalk<'a> {
    game: &'a NoisyOrGame,
    p: Vec<f64>,
    /// Probability that a row is silent for all its parents can do.
    quiet: Vec<f64>,
}

impl Walk for NoisyOrWalk<'_> {
    fn start(&mut self) -> f64 {
        self.p.copy_from_slice(&self.game.empty);
        self.quiet.copy_from_slice(&self.game.quiet);
        self.p[self.game.target]
    }

    fn add(&mut self, player: usize) -> f64 {
        if let Some(row) = self.game.row[player] {
            let row = row as usize;
            self.quiet[row] = self.game.quiet_member[row];
            for &j in &self.game.descendants[row] {
                self.p[j as usize] = self.game.probability(j as usize, &self.quiet, &self.p);
            }
        }
        self.p[self.game.target]
    }

    fn copy_from(&mut self, other: &Self) {
        self.p.copy_from_slice(&other.p);
        self.quiet.copy_from_slice(&other.quiet);
    }
}

/// `u(S) = 1 - (1 - v0) prod over S of (1 - r_i)`: every cause reaches the target by itself, with the probability it
/// has alone. Its multilinear extension is a product, so its Shapley values are one-dimensional integrals (Owen 1972)
/// of polynomials.
#[derive(Debug, Clone)]
struct IndependentCauses {
    /// `1 - v0`.
    quiet: f64,
    ratio: Vec<f64>,
    shapley: Vec<f64>,
}

impl IndependentCauses {
    fn new(baseline: f64, alone: &[f64]) -> Self {
        let quiet = 1.0 - baseline;
        let ratio: Vec<f64> = alone
            .iter()
            .map(|v| {
                if quiet > 0.0 {
                    ((v - baseline) / quiet).clamp(0.0, 1.0)
                } else {
                    0.0
                }
            })
            .collect();
        let n = ratio.len();
        let mut shapley = vec![0.0; n];
        for (t, weight) in gauss_legendre(n.div_ceil(2).clamp(1, MAX_NODES)) {
            // Products over all players but one, without a division.
            let mut before = vec![1.0; n];
            for i in 1..n {
                before[i] = before[i - 1] * (1.0 - t * ratio[i - 1]);
            }
            let mut after = 1.0;
            for i in (0..n).rev() {
                shapley[i] += weight * quiet * ratio[i] * before[i] * after;
                after *= 1.0 - t * ratio[i];
            }
        }
        Self {
            quiet,
            ratio,
            shapley,
        }
    }
}

impl Surrogate for IndependentCauses {
    fn shapley(&self) -> SurrogateValues<'_> {
        SurrogateValues::Exact(&self.shapley)
    }

    fn range(&self) -> (f64, f64) {
        let all = self
            .ratio
            .iter()
            .fold(self.quiet, |quiet, r| quiet * (1.0 - r));
        (1.0 - self.quiet, 1.0 - all)
    }

    fn marginals(&self, order: &[u32], out: &mut [f64]) {
        let mut quiet = self.quiet;
        for (&player, out) in order.iter().zip(out) {
            *out = quiet * self.ratio[player as usize];
            quiet -= *out;
        }
    }
}
