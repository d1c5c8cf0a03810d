//! The directed graph along which a fault in one family travels.

use petgraph::graph::{DiGraph, NodeIndex};

/// Adjacency of a propagation graph: an edge `(from, to)` lets a fault at `from` show at `to`.
#[derive(Debug, Clone)]
pub struct Graph {
    children: Vec<Vec<usize>>,
    parents: Vec<Vec<usize>>,
}

impl Graph {
    /// Graph over `n` nodes; duplicate edges count once.
    #[must_use]
    pub fn new(n: usize, edges: &[(usize, usize)]) -> Self {
        let mut sorted = edges.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let mut graph = Self {
            children: vec![Vec::new(); n],
            parents: vec![Vec::new(); n],
        };
        for (from, to) in sorted {
            graph.children[from].push(to);
            graph.parents[to].push(from);
        }
        graph
    }

    /// Nodes a fault at `i` can reach in one step, ascending.
    #[must_use]
    pub fn children(&self, i: usize) -> &[usize] {
        &self.children[i]
    }

    /// Nodes from which a fault can reach `i` in one step, ascending.
    #[must_use]
    pub fn parents(&self, i: usize) -> &[usize] {
        &self.parents[i]
    }

    /// Nodes reachable from `root`, without `root` itself, ascending.
    #[must_use]
    pub fn reachable(&self, root: usize) -> Vec<usize> {
        let mut seen = vec![false; self.children.len()];
        seen[root] = true;
        let mut stack = vec![root];
        let mut out = Vec::new();
        while let Some(i) = stack.pop() {
            for &j in &self.children[i] {
                if !seen[j] {
                    seen[j] = true;
                    out.push(j);
                    stack.push(j);
                }
            }
        }
        out.sort_unstable();
        out
    }

    /// Strongly connected components of the subgraph on `nodes`, in topological order (sources first).
    /// Each is a list of positions in `nodes`, ascending.
    #[must_use]
    pub fn components_in_order(&self, nodes: &[usize]) -> Vec<Vec<usize>> {
        let mut sub: DiGraph<usize, ()> = DiGraph::new();
        let mut position = vec![usize::MAX; self.children.len()];
        for (p, &i) in nodes.iter().enumerate() {
            position[i] = p;
            sub.add_node(p);
        }
        for (p, &i) in nodes.iter().enumerate() {
            for &j in &self.children[i] {
                if position[j] != usize::MAX {
                    sub.add_edge(NodeIndex::new(p), NodeIndex::new(position[j]), ());
                }
            }
        }
        let mut blocks: Vec<Vec<usize>> = petgraph::algo::tarjan_scc(&sub)
            .into_iter()
            .map(|block| {
                let mut members: Vec<usize> = block.into_iter().map(|v| sub[v]).collect();
                members.sort_unstable();
                members
            })
            .collect();
        blocks.reverse();
        blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reaches_through_cycles_and_orders_blocks() {
        // 0 -> 1 -> 2 -> 1, 2 -> 3
        let g = Graph::new(5, &[(0, 1), (1, 2), (2, 1), (2, 3), (0, 1)]);
        assert_eq!(g.reachable(0), vec![1, 2, 3]);
        assert_eq!(g.reachable(2), vec![1, 3]);
        assert!(g.reachable(4).is_empty());
        assert_eq!(g.children(0), &[1]);
        assert_eq!(g.components_in_order(&[1, 2, 3]), vec![vec![0, 1], vec![2]]);
    }
}
