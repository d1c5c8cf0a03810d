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
    dag: Dag,
    leak: Vec<f64>,
    activation: Vec<f64>,
    descendants: Vec<Vec<usize>>,
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
        let mut game = Self {
            leak: leak.to_vec(),
            activation: activation.to_vec(),
            descendants: dag.descendants(),
            empty: vec![0.0; n],
            surrogate: IndependentCauses {
                quiet: 1.0,
                ratio: vec![0.0; n],
                shapley: vec![0.0; n],
            },
            dag,
        };
        for &j in &game.dag.order {
            game.empty[j] = game.probability(j, false, &game.empty);
        }
        let mut walk = game.walk();
        let alone: Vec<f64> = (0..n)
            .map(|i| {
                walk.start();
                walk.add(i)
            })
            .collect();
        let surrogate = IndependentCauses::new(game.empty[target], &alone);
        game.surrogate = surrogate;
        Ok(game)
    }

    fn probability(&self, j: usize, active: bool, p: &[f64]) -> f64 {
        let own = if active {
            1.0 - self.activation[j]
        } else {
            1.0
        };
        let parents = self.dag.parents[j].iter();
        1.0 - parents.fold((1.0 - self.leak[j]) * own, |quiet, &(i, q)| {
            quiet * (1.0 - q * p[i])
        })
    }
}

impl Game for NoisyOrGame {
    type Walk<'a> = NoisyOrWalk<'a>;

    fn n_players(&self) -> usize {
        self.dag.n
    }

    fn walk(&self) -> NoisyOrWalk<'_> {
        NoisyOrWalk {
            game: self,
            p: self.empty.clone(),
            member: vec![false; self.dag.n],
        }
    }

    fn active_players(&self) -> Vec<u32> {
        let mut active: Vec<u32> = self.dag.order.iter().map(|&i| i as u32).collect();
        active.retain(|&i| self.activation[i as usize] > 0.0);
        active.sort_unstable();
        active
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
    member: Vec<bool>,
}

impl Walk for NoisyOrWalk<'_> {
    fn start(&mut self) -> f64 {
        self.p.copy_from_slice(&self.game.empty);
        self.member.fill(false);
        self.p[self.game.dag.target]
    }

    fn add(&mut self, player: usize) -> f64 {
        self.member[player] = true;
        for &j in &self.game.descendants[player] {
            self.p[j] = self.game.probability(j, self.member[j], &self.p);
        }
        self.p[self.game.dag.target]
    }

    fn copy_from(&mut self, other: &Self) {
        self.p.copy_from_slice(&other.p);
        self.member.copy_from_slice(&other.member);
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

    fn marginals(&self, order: &[u32], out: &mut [f64]) {
        let mut quiet = self.quiet;
        for (&player, out) in order.iter().zip(out) {
            *out = quiet * self.ratio[player as usize];
            quiet -= *out;
        }
    }
}
