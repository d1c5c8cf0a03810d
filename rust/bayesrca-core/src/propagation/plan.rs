//! The order in which the exact sum over affected sets visits the components that a set of roots can reach.
//!
//! Components are visited sources first, strongly connected blocks whole. A component stays *open* from its
//! visit until all its dependents have been visited; the sum carries one state per subset of open components.

use super::order::{Stop, walk};
use crate::error::Result;
use crate::graph::Graph;

/// Largest strongly connected block summed exactly (3^size terms per state).
pub const MAX_BLOCK: usize = 8;

/// What one component does to one state before it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    /// The state after it, unaffected and affected.
    pub off: u32,
    pub on: u32,
    /// How many of its parents are affected or roots.
    pub live: u32,
}

/// A strongly connected set of components, summed as a whole.
#[derive(Debug, Clone)]
pub(crate) struct Knot {
    /// Positions in `Plan::nodes` of its members.
    pub members: Vec<usize>,
    /// Per member: bit mask of its open parents outside the knot.
    pub outer: Vec<usize>,
    /// Per member: how many of its parents are roots.
    pub from_roots: Vec<u32>,
    /// Per member: bit mask of its parents inside the knot.
    pub inner: Vec<usize>,
    /// Per state before the knot: the state after it, with no member affected.
    pub carry: Vec<u32>,
    /// Per subset of members: bits added to the state after the knot.
    pub added: Vec<u32>,
}

/// A block in full, with the components (positions in `Plan::nodes`) that are open before it.
pub(crate) type OpenKnot = (Vec<usize>, Knot);

/// A component whose state is given instead of summed over, so that fewer stay open.
#[derive(Debug, Clone)]
pub(crate) struct Clamp {
    /// Its position in `Plan::nodes`, and those of its children outside its block.
    pub node: usize,
    pub children: Vec<usize>,
}

/// One step of the sum.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block {
    pub what: What,
    /// Number of states before and after it.
    pub before: usize,
    pub after: usize,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum What {
    /// Position in `Plan::nodes` of one component, and of its first step.
    One { node: usize, step: usize },
    /// Index of a knot.
    Several(usize),
}

/// The whole sum for one set of roots.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Components at which the fault begins, ascending.
    pub roots: Vec<usize>,
    /// Other components the roots can reach, ascending.
    pub nodes: Vec<usize>,
    /// Dependencies of the roots (one step against propagation), neither reached nor roots, ascending.
    pub dependencies: Vec<usize>,
    pub blocks: Vec<Block>,
    /// One per state before each block of one component.
    pub steps: Vec<Step>,
    pub knots: Vec<Knot>,
    /// States of all tables together: one table before each block, and the last.
    pub states: usize,
    /// Whether the target is among `nodes`: the last table then has a state without it and one with it.
    pub keeps_target: bool,
    /// Most components open at once, a block's members included.
    pub width: usize,
    /// In the order of their blocks; empty where the sum is exact.
    pub clamps: Vec<Clamp>,
}

/// Components open at once in a sum that is estimated.
const CLAMPED_WIDTH: usize = 10;

impl Plan {
    /// Plan the sum for `roots` (ascending), keeping `target` (when reachable) open to the end.
    pub fn new(
        graph: &Graph,
        roots: &[usize],
        target: Option<usize>,
        max_width: usize,
    ) -> Result<Self> {
        Self::with_clamps(graph, roots, target, max_width, &[]).map_err(|stop| stop.error(roots[0]))
    }

    /// The same with as many components clamped as the width limit needs.
    pub fn clamped(
        graph: &Graph,
        roots: &[usize],
        target: Option<usize>,
        max_width: usize,
    ) -> Result<Self> {
        let (mut clamped, mut limit) = (Vec::new(), max_width);
        loop {
            match Self::with_clamps(graph, roots, target, limit, &clamped) {
                Ok(plan) => return Ok(plan),
                Err(Stop {
                    worst: Some(node), ..
                }) => {
                    clamped.push(node);
                    limit = max_width.min(CLAMPED_WIDTH);
                }
                Err(stop) => return Err(stop.error(roots[0])),
            }
        }
    }

    fn with_clamps(
        graph: &Graph,
        roots: &[usize],
        target: Option<usize>,
        max_width: usize,
        clamped: &[usize],
    ) -> std::result::Result<Self, Stop> {
        let nodes = union(roots, |r| graph.reachable(r), |i| roots.contains(&i));
        let mut out = Self {
            roots: roots.to_vec(),
            dependencies: Vec::new(),
            blocks: Vec::new(),
            steps: Vec::new(),
            knots: Vec::new(),
            states: 1,
            keeps_target: target.is_some_and(|t| nodes.binary_search(&t).is_ok()),
            width: 0,
            nodes: Vec::new(),
            clamps: Vec::new(),
        };
        let among = |i: usize| {
            graph
                .children(i)
                .iter()
                .filter_map(|c| nodes.binary_search(c).ok())
        };
        let mut visit = |open: &[usize], knot: Knot, after: usize| {
            out.width = out.width.max(open.len() + knot.members.len());
            for &node in knot.members.iter().filter(|m| clamped.contains(m)) {
                let children = among(nodes[node]).filter(|c| !knot.members.contains(c));
                let children = children.collect();
                out.clamps.push(Clamp { node, children });
            }
            out.push(knot, 1 << open.len(), 1 << after);
        };
        walk(
            graph,
            roots,
            &nodes,
            (target, max_width),
            clamped,
            &mut visit,
        )?;
        out.dependencies = union(
            roots,
            |r| graph.parents(r).to_vec(),
            |i| roots.contains(&i) || nodes.binary_search(&i).is_ok(),
        );
        out.nodes = nodes;
        // There is a plan per component, and pushing leaves half of the memory unused.
        out.blocks.shrink_to_fit();
        out.steps.shrink_to_fit();
        Ok(out)
    }

    /// The plan's blocks again, with the components (positions in `nodes`) that are open before each.
    pub fn in_full(&self, graph: &Graph, target: Option<usize>) -> Vec<OpenKnot> {
        let mut out = Vec::with_capacity(self.blocks.len());
        let mut push = |open: &[usize], knot, _| out.push((open.to_vec(), knot));
        let clamped: Vec<usize> = self.clamps.iter().map(|c| c.node).collect();
        let limits = (target, self.width);
        let walked = walk(graph, &self.roots, &self.nodes, limits, &clamped, &mut push);
        assert!(walked.is_ok(), "it was planned before");
        out
    }

    fn push(&mut self, knot: Knot, before: usize, after: usize) {
        let what = if let [node] = knot.members[..] {
            let step = self.steps.len();
            self.steps.extend((0..before).map(|state| Step {
                off: knot.carry[state],
                on: knot.carry[state] | knot.added[1],
                live: (state & knot.outer[0]).count_ones() + knot.from_roots[0],
            }));
            What::One { node, step }
        } else {
            self.knots.push(knot);
            What::Several(self.knots.len() - 1)
        };
        self.states += after;
        self.blocks.push(Block {
            what,
            before,
            after,
        });
    }

    /// Most live edges into the members of one block.
    pub fn most_live(&self) -> usize {
        let one = self.steps.iter().map(|s| s.live).max().unwrap_or(0);
        let several = self.knots.iter().map(Knot::most_live).max().unwrap_or(0);
        // A clamped parent of a whole block counts once for each of its members.
        let members = self.knots.iter().map(|k| k.members.len()).max();
        one.max(several) as usize + self.clamps.len() * members.unwrap_or(1)
    }

    /// Whether component `i` is a root or reached by one.
    pub fn touches(&self, i: usize) -> bool {
        self.roots.contains(&i) || self.nodes.binary_search(&i).is_ok()
    }
}

/// What `of` gives for any of the roots, less what is left out, ascending.
fn union(
    roots: &[usize],
    of: impl Fn(usize) -> Vec<usize>,
    left_out: impl Fn(usize) -> bool,
) -> Vec<usize> {
    let mut out: Vec<usize> = roots.iter().flat_map(|&r| of(r)).collect();
    out.retain(|&i| !left_out(i));
    out.sort_unstable();
    out.dedup();
    out
}

impl Knot {
    fn most_live(&self) -> u32 {
        let masks = self.outer.iter().chain(&self.inner);
        masks.map(|m| m.count_ones()).sum::<u32>() + self.from_roots.iter().sum::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn a_chain_needs_one_open_component() {
        let edges: Vec<_> = (0..9).map(|i| (i, i + 1)).collect();
        let plan = Plan::new(&Graph::new(10, &edges), &[0], None, 20).unwrap();
        assert_eq!(plan.nodes.len(), 9);
        assert_eq!(plan.width, 2);
    }

    #[test]
    fn a_ring_without_its_root_is_a_chain() {
        let edges: Vec<_> = (0..10).map(|i| (i, (i + 1) % 10)).collect();
        let plan = Plan::new(&Graph::new(10, &edges), &[3], Some(0), 20).unwrap();
        assert!(plan.knots.is_empty());
        assert!(plan.keeps_target);
    }

    #[test]
    fn a_clique_is_refused_with_its_size() {
        let edges: Vec<_> = (0..12)
            .flat_map(|i| (0..12).filter(move |&j| j != i).map(move |j| (i, j)))
            .collect();
        let error = Plan::new(&Graph::new(12, &edges), &[0], None, 20).unwrap_err();
        assert_eq!(
            error,
            Error::GraphTooWide {
                component: 0,
                needed: 11,
                limit: MAX_BLOCK
            }
        );
    }
}
