//! Linear fixed points on graphs with cycles: `x_i = sum over j of a_ij x_j` for some nodes, the others being given.

use nalgebra::{DMatrix, DVector, Dyn, LU};

use crate::graph::Graph;

/// Mean number of visits beyond which what goes round a cycle is taken never to leave it: the solution would have
/// hardly a correct digit.
const MOST_VISITS: f64 = 1e12;

/// The solved structure of a fixed point: strongly connected blocks of free nodes, inputs first, each with the factors
/// of its linear system. Exact up to rounding; cost is cubic in the largest block and linear in the edges.
#[derive(Debug, Clone)]
pub(super) struct FixedPoint {
    blocks: Vec<Block>,
    /// For each node, the nodes it takes from, with their weights.
    inputs: Vec<Vec<(usize, f64)>>,
}

#[derive(Debug, Clone)]
struct Block {
    nodes: Vec<usize>,
    /// Factors of `I - A` on the nodes; None for a single one that takes nothing from itself.
    factors: Option<LU<f64, Dyn, Dyn>>,
}

impl FixedPoint {
    /// `inputs` hold weights >= 0, one entry per pair of nodes; `free` says whose values are to be solved for.
    ///
    /// The error is a node on a cycle of free nodes that passes on as much as it takes in or more, so that there is no
    /// finite solution: a matrix `A >= 0` has spectral radius below 1 exactly if some `x >= 0` has `(I - A) x > 0`
    /// (Berman & Plemmons 1994, chapter 6), and `(I - A) x = 1` is that x, the mean numbers of visits.
    pub fn new(inputs: Vec<Vec<(usize, f64)>>, free: &[bool]) -> Result<Self, usize> {
        let n = inputs.len();
        let edges: Vec<(usize, usize)> = (0..n)
            .flat_map(|i| inputs[i].iter().map(move |&(j, _)| (j, i)))
            .collect();
        let nodes: Vec<usize> = (0..n).filter(|&i| free[i]).collect();
        let blocks = Graph::new(n, &edges)
            .components_in_order(&nodes)
            .into_iter()
            .map(|block| Block::new(block.into_iter().map(|p| nodes[p]).collect(), &inputs))
            .collect::<Result<_, usize>>()?;
        Ok(Self { blocks, inputs })
    }

    /// Overwrite the free entries of `x` by the solution, given the others.
    pub fn solve(&self, x: &mut [f64]) {
        for block in &self.blocks {
            let Some(factors) = &block.factors else {
                x[block.nodes[0]] = self.arriving(block.nodes[0], x);
                continue;
            };
            for &i in &block.nodes {
                x[i] = 0.0;
            }
            let outside = block.nodes.iter().map(|&i| self.arriving(i, x));
            let mut side = DVector::from_iterator(block.nodes.len(), outside);
            // Factors that passed the test of `Block::new` are not singular.
            factors.solve_mut(&mut side);
            for (&i, value) in block.nodes.iter().zip(&side) {
                x[i] = *value;
            }
        }
    }

    fn arriving(&self, i: usize, x: &[f64]) -> f64 {
        self.inputs[i].iter().map(|&(j, w)| w * x[j]).sum()
    }
}

impl Block {
    fn new(nodes: Vec<usize>, inputs: &[Vec<(usize, f64)>]) -> Result<Self, usize> {
        // Blocks are ascending.
        let inside = |i: usize| {
            let place = |&(j, w)| nodes.binary_search(&j).ok().map(|column| (column, w));
            inputs[i].iter().filter_map(place)
        };
        if nodes.len() == 1 && inside(nodes[0]).next().is_none() {
            return Ok(Self {
                nodes,
                factors: None,
            });
        }
        let mut matrix = DMatrix::identity(nodes.len(), nodes.len());
        for (row, &i) in nodes.iter().enumerate() {
            for (column, w) in inside(i) {
                matrix[(row, column)] -= w;
            }
        }
        let factors = matrix.lu();
        let visits = factors.solve(&DVector::repeat(nodes.len(), 1.0));
        match visits {
            Some(v) if v.iter().all(|v| (0.5..MOST_VISITS).contains(v)) => Ok(Self {
                nodes,
                factors: Some(factors),
            }),
            _ => Err(nodes[0]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cycle_is_a_geometric_series() {
        // 0 is given; 1 takes half of 0 and half of 2; 2 takes half of 1; 3 takes all of 2; 4 takes from nobody.
        let inputs = vec![
            vec![],
            vec![(0, 0.5), (2, 0.5)],
            vec![(1, 0.5)],
            vec![(2, 1.0)],
            vec![],
        ];
        let free = [false, true, true, true, true];
        let solver = FixedPoint::new(inputs, &free).unwrap();
        let mut x = [3.0, 9.0, 9.0, 9.0, 9.0];
        solver.solve(&mut x);
        for (x, truth) in x.iter().zip([3.0, 2.0, 1.0, 1.0, 0.0]) {
            assert!((x - truth).abs() < 1e-14);
        }
    }

    #[test]
    fn what_never_leaves_is_refused() {
        let solve = |w: f64, v: f64| {
            FixedPoint::new(vec![vec![(1, w)], vec![(0, v)]], &[true, true]).is_ok()
        };
        assert!(solve(1.0, 0.9) && solve(4.0, 0.2) && solve(0.0, 9.0));
        assert!(!solve(1.0, 1.0) && !solve(4.0, 0.3) && !solve(1.0, 1.0 - 1e-13));
        let own = |w: f64| FixedPoint::new(vec![vec![(0, w)]], &[true]);
        assert!(own(0.5).is_ok());
        assert_eq!(own(1.0).unwrap_err(), 0);
        assert!(own(f64::INFINITY).is_err());
        // A given node breaks the cycle.
        assert!(FixedPoint::new(vec![vec![(1, 2.0)], vec![(0, 2.0)]], &[true, false]).is_ok());
    }
}
