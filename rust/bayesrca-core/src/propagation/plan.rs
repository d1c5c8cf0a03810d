//! The order in which the exact sum over affected sets visits the components that a set of roots can reach.
//!
//! Components are visited sources first, strongly connected blocks whole. A component stays *open* from its
//! visit until all its dependents have been visited; the sum carries one state per subset of open components.

use crate::error::{Error, Result};
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
}

impl Plan {
    /// Plan the sum for `roots` (ascending), keeping `target` (when reachable) open to the end.
    pub fn new(
        graph: &Graph,
        roots: &[usize],
        target: Option<usize>,
        max_width: usize,
    ) -> Result<Self> {
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
        };
        walk(
            graph,
            roots,
            &nodes,
            target,
            &mut |open, knot, after| {
                let members = knot.members.len();
                out.width = out.width.max(open.len() + members);
                out.push(knot, 1 << open.len(), 1 << after);
            },
            max_width,
        )?;
        out.dependencies = union(
            roots,
            |r| graph.parents(r).to_vec(),
            |i| roots.contains(&i) || nodes.binary_search(&i).is_ok(),
        );
        out.nodes = nodes;
        Ok(out)
    }

    /// The plan's blocks again, with the components (positions in `nodes`) that are open before each.
    pub fn in_full(&self, graph: &Graph, target: Option<usize>) -> Vec<(Vec<usize>, Knot)> {
        let mut out = Vec::with_capacity(self.blocks.len());
        let mut push = |open: &[usize], knot, _| out.push((open.to_vec(), knot));
        walk(
            graph,
            &self.roots,
            &self.nodes,
            target,
            &mut push,
            self.width,
        )
        .expect("it was planned before");
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
        one.max(several) as usize
    }

    /// Whether component `i` is a root or reached by one.
    pub fn touches(&self, i: usize) -> bool {
        self.roots.contains(&i) || self.nodes.binary_search(&i).is_ok()
    }
}

/// Visit the blocks of the sum over `nodes` in order, with what is open before and how many are after each.
fn walk(
    graph: &Graph,
    roots: &[usize],
    nodes: &[usize],
    target: Option<usize>,
    visit: &mut dyn FnMut(&[usize], Knot, usize),
    max_width: usize,
) -> Result<()> {
    let order = graph.components_in_order(nodes);
    let keep = target.and_then(|t| nodes.binary_search(&t).ok());
    let inside = |c: &&usize| nodes.binary_search(c).is_ok();
    let mut pending: Vec<usize> = nodes
        .iter()
        .map(|&i| graph.children(i).iter().filter(inside).count())
        .collect();
    let mut open: Vec<usize> = Vec::new();
    for members in schedule(graph, nodes, order) {
        let width = open.len() + members.len();
        if members.len() > MAX_BLOCK || width > max_width {
            let (needed, limit) = if members.len() > MAX_BLOCK {
                (members.len(), MAX_BLOCK)
            } else {
                (width, max_width)
            };
            return Err(Error::GraphTooWide {
                component: roots[0],
                needed,
                limit,
            });
        }
        let before = open.clone();
        let knot = build_knot(graph, roots, nodes, members, &mut open, &mut pending, keep);
        visit(&before, knot, open.len());
    }
    Ok(())
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

/// Among the blocks whose parents are all visited, visit first the one that leaves fewest components open.
fn schedule(graph: &Graph, nodes: &[usize], mut blocks: Vec<Vec<usize>>) -> Vec<Vec<usize>> {
    let at = |i: &usize| nodes.binary_search(i).ok();
    let mut block_of = vec![0; nodes.len()];
    for (b, block) in blocks.iter().enumerate() {
        for &m in block {
            block_of[m] = b;
        }
    }
    // Edges inside the reached part, from and to other blocks.
    let outside = |b: usize, ends: &[usize]| -> Vec<usize> {
        ends.iter()
            .filter_map(at)
            .filter(|&p| block_of[p] != b)
            .collect()
    };
    let parents: Vec<Vec<usize>> = (0..blocks.len())
        .map(|b| {
            blocks[b]
                .iter()
                .flat_map(|&m| outside(b, graph.parents(nodes[m])))
                .collect()
        })
        .collect();
    let opens: Vec<usize> = (0..blocks.len())
        .map(|b| {
            let stays = |m: &&usize| !outside(b, graph.children(nodes[**m])).is_empty();
            blocks[b].iter().filter(stays).count()
        })
        .collect();
    let mut unvisited_children = vec![0usize; nodes.len()];
    for &p in parents.iter().flatten() {
        unvisited_children[p] += 1;
    }
    let mut missing: Vec<usize> = parents.iter().map(Vec::len).collect();
    let mut ready: Vec<usize> = (0..blocks.len()).filter(|&b| missing[b] == 0).collect();
    let mut out = Vec::with_capacity(blocks.len());
    while !ready.is_empty() {
        let closes = |b: usize| {
            let mine = |p: usize| parents[b].iter().filter(|&&q| q == p).count();
            let mut distinct = parents[b].clone();
            distinct.sort_unstable();
            distinct.dedup();
            distinct
                .into_iter()
                .filter(|&p| mine(p) == unvisited_children[p])
                .count()
        };
        let cost = |b: usize| opens[b].cast_signed() - closes(b).cast_signed();
        let best = (0..ready.len()).min_by_key(|&r| (cost(ready[r]), ready[r]));
        let b = ready.swap_remove(best.expect("a block is ready"));
        for &p in &parents[b] {
            unvisited_children[p] -= 1;
        }
        for &m in &blocks[b] {
            for child in outside(b, graph.children(nodes[m])) {
                let c = block_of[child];
                missing[c] -= 1;
                if missing[c] == 0 {
                    ready.push(c);
                }
            }
        }
        out.push(std::mem::take(&mut blocks[b]));
    }
    out
}

impl Knot {
    fn most_live(&self) -> u32 {
        let masks = self.outer.iter().chain(&self.inner);
        masks.map(|m| m.count_ones()).sum::<u32>() + self.from_roots.iter().sum::<u32>()
    }
}

fn build_knot(
    graph: &Graph,
    roots: &[usize],
    nodes: &[usize],
    members: Vec<usize>,
    open: &mut Vec<usize>,
    pending: &mut [usize],
    keep: Option<usize>,
) -> Knot {
    let before = open.clone();
    let bit_of = |list: &[usize], parents: &[usize]| -> usize {
        parents
            .iter()
            .filter_map(|p| nodes.binary_search(p).ok())
            .filter_map(|p| list.iter().position(|&o| o == p))
            .fold(0, |mask, bit| mask | (1 << bit))
    };
    let outer = members
        .iter()
        .map(|&m| bit_of(&before, graph.parents(nodes[m])))
        .collect();
    let inner = members
        .iter()
        .map(|&m| bit_of(&members, graph.parents(nodes[m])))
        .collect();
    let is_root = |p: &&usize| roots.contains(p);
    let from_roots = members
        .iter()
        .map(|&m| graph.parents(nodes[m]).iter().filter(is_root).count() as u32)
        .collect();
    for &m in &members {
        for p in graph.parents(nodes[m]) {
            if let Ok(p) = nodes.binary_search(p) {
                pending[p] -= 1;
            }
        }
    }
    let stays = |p: usize| pending[p] > 0 || keep == Some(p);
    let after: Vec<usize> = before
        .iter()
        .chain(&members)
        .copied()
        .filter(|&p| stays(p))
        .collect();
    let remap = |list: &[usize], state: usize| -> u32 {
        (0..list.len())
            .filter(|bit| state >> bit & 1 == 1)
            .filter_map(|bit| after.iter().position(|&a| a == list[bit]))
            .fold(0, |mask, bit| mask | (1 << bit))
    };
    let carry = (0..1 << before.len())
        .map(|state| remap(&before, state))
        .collect();
    let added = (0..1 << members.len())
        .map(|subset| remap(&members, subset))
        .collect();
    open.clone_from(&after);
    Knot {
        members,
        outer,
        from_roots,
        inner,
        carry,
        added,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
