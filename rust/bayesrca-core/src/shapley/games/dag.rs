//! Directed acyclic graphs with weights: checks, order and ancestors.

use crate::error::{Error, Result};
use crate::graph::Graph;

/// A weighted directed acyclic graph with one target.
#[derive(Debug, Clone)]
pub(super) struct Dag {
    /// Number of nodes.
    pub n: usize,
    /// The node whose value the game is about.
    pub target: usize,
    /// Ancestors of the target and itself, parents before children.
    pub order: Vec<usize>,
    /// Weighted parents of each node, ascending.
    pub parents: Vec<Vec<(usize, f64)>>,
}

impl Dag {
    /// Check and order a graph of edges `(from, to, weight)`; weights of repeated edges add up.
    pub fn new(n: usize, edges: &[(usize, usize, f64)], target: usize) -> Result<Self> {
        check_nodes(n, target)?;
        check_edges("edges", n, edges)?;
        let mut parents: Vec<Vec<(usize, f64)>> = vec![Vec::new(); n];
        for &(from, to, weight) in edges {
            match parents[to].iter_mut().find(|p| p.0 == from) {
                Some(parent) => parent.1 += weight,
                None => parents[to].push((from, weight)),
            }
        }
        for p in &mut parents {
            p.sort_unstable_by_key(|&(from, _)| from);
        }
        let pairs: Vec<(usize, usize)> = edges.iter().map(|&(from, to, _)| (from, to)).collect();
        let blocks = Graph::new(n, &pairs).components_in_order(&(0..n).collect::<Vec<_>>());
        if blocks.iter().any(|b| b.len() > 1) || pairs.iter().any(|(from, to)| from == to) {
            return Err(Error::evidence(
                "edges",
                "form a cycle; this game needs an acyclic graph",
            ));
        }
        let mut ancestor = vec![false; n];
        ancestor[target] = true;
        for &j in blocks.iter().rev().flatten() {
            if ancestor[j] {
                for &(from, _) in &parents[j] {
                    ancestor[from] = true;
                }
            }
        }
        Ok(Self {
            n,
            target,
            order: blocks
                .into_iter()
                .flatten()
                .filter(|&j| ancestor[j])
                .collect(),
            parents,
        })
    }

    /// Effect of one unit added at each node on the target, along all paths.
    pub fn total_effects(&self) -> Vec<f64> {
        let mut effect = vec![0.0; self.n];
        effect[self.target] = 1.0;
        for &j in self.order.iter().rev() {
            for &(from, weight) in &self.parents[j] {
                effect[from] += weight * effect[j];
            }
        }
        effect
    }

    /// For each node, its descendants among the target's ancestors, itself first, parents before children.
    pub fn descendants(&self) -> Vec<Vec<usize>> {
        let mut out = vec![Vec::new(); self.n];
        let mut touched = vec![false; self.n];
        for (k, &i) in self.order.iter().enumerate() {
            touched.fill(false);
            touched[i] = true;
            out[i].push(i);
            for &j in &self.order[k + 1..] {
                if self.parents[j].iter().any(|&(from, _)| touched[from]) {
                    touched[j] = true;
                    out[i].push(j);
                }
            }
        }
        out
    }
}

/// A graph must have nodes, and the target among them.
pub(super) fn check_nodes(n: usize, target: usize) -> Result<()> {
    if n == 0 {
        return Err(Error::evidence("game", "has no players"));
    }
    if target >= n {
        return Err(Error::evidence(
            "target",
            format!("{target} is not one of {n} nodes"),
        ));
    }
    Ok(())
}

/// Edges must join nodes and carry finite weights.
pub(super) fn check_edges(field: &str, n: usize, edges: &[(usize, usize, f64)]) -> Result<()> {
    for &(from, to, weight) in edges {
        if from >= n || to >= n {
            return Err(Error::evidence(
                field,
                format!("({from}, {to}) is not among {n} nodes"),
            ));
        }
        if !weight.is_finite() {
            return Err(Error::evidence(
                field,
                format!("the weight of ({from}, {to}) is not finite"),
            ));
        }
    }
    Ok(())
}

/// An array must have one finite entry per player.
pub(super) fn check_finite(field: &str, values: &[f64], len: usize) -> Result<()> {
    if values.len() != len {
        return Err(Error::evidence(
            field,
            format!("has {} entries, needs {len}", values.len()),
        ));
    }
    if let Some(i) = values.iter().position(|v| !v.is_finite()) {
        return Err(Error::evidence(field, format!("entry {i} is not finite")));
    }
    Ok(())
}

/// An array must have one probability per entry.
pub(super) fn check_probabilities(field: &str, values: &[f64], len: usize) -> Result<()> {
    check_finite(field, values, len)?;
    match values.iter().position(|p| !(0.0..=1.0).contains(p)) {
        Some(i) => Err(Error::evidence(
            field,
            format!("entry {i} is not a probability"),
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effects_add_over_paths_and_stop_at_the_target() {
        // 0 -> 1 -> 3, 0 -> 2 -> 3, 3 -> 4; target 3.
        let edges = [
            (0, 1, 2.0),
            (0, 2, 3.0),
            (1, 3, 0.5),
            (2, 3, 0.25),
            (2, 3, 0.25),
            (3, 4, 9.0),
        ];
        let dag = Dag::new(5, &edges, 3).unwrap();
        assert_eq!(dag.total_effects(), [2.5, 0.5, 0.5, 1.0, 0.0]);
        assert_eq!(dag.order.len(), 4);
        assert_eq!(dag.descendants()[1], [1, 3]);
        assert!(dag.descendants()[4].is_empty());
    }

    #[test]
    fn bad_graphs_are_named() {
        for (n, edges, target) in [
            (0, vec![], 0),
            (2, vec![], 2),
            (2, vec![(0, 1, f64::NAN)], 1),
            (2, vec![(0, 2, 1.0)], 1),
            (2, vec![(0, 1, 1.0), (1, 0, 1.0)], 1),
            (2, vec![(1, 1, 1.0)], 1),
        ] {
            assert!(Dag::new(n, &edges, target).is_err());
        }
    }
}
