//! The order in which a sum over affected sets visits components, and what stays open between them.

use super::plan::{Knot, MAX_BLOCK};
use crate::error::Error;
use crate::graph::Graph;

/// Why a sum cannot be planned, and the open component (a position) whose clamping would save most.
pub(crate) struct Stop {
    needed: usize,
    limit: usize,
    pub worst: Option<usize>,
}

impl Stop {
    pub fn error(self, component: usize) -> Error {
        Error::GraphTooWide {
            component,
            needed: self.needed,
            limit: self.limit,
        }
    }
}

/// Visit the blocks of the sum over `nodes` in order, with what is open before and how many are after each.
pub(crate) fn walk(
    graph: &Graph,
    roots: &[usize],
    nodes: &[usize],
    (target, max_width): (Option<usize>, usize),
    clamped: &[usize],
    visit: &mut dyn FnMut(&[usize], Knot, usize),
) -> Result<(), Stop> {
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
        if members.len() > MAX_BLOCK {
            return Err(Stop {
                needed: members.len(),
                limit: MAX_BLOCK,
                worst: None,
            });
        }
        if width > max_width {
            let candidates = open.iter().chain(&members).copied();
            let free = candidates.filter(|p| keep != Some(*p) && !clamped.contains(p));
            return Err(Stop {
                needed: width,
                limit: max_width,
                worst: free.max_by_key(|&p| pending[p]),
            });
        }
        let before = open.clone();
        let knot = build_knot(
            graph,
            roots,
            nodes,
            members,
            &mut open,
            &mut pending,
            |p| keep == Some(p),
            clamped,
        );
        visit(&before, knot, open.len());
    }
    Ok(())
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

#[allow(clippy::too_many_arguments)] // One call site, split out for length.
fn build_knot(
    graph: &Graph,
    roots: &[usize],
    nodes: &[usize],
    members: Vec<usize>,
    open: &mut Vec<usize>,
    pending: &mut [usize],
    keep: impl Fn(usize) -> bool,
    clamped: &[usize],
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
    let stays = |p: usize| (pending[p] > 0 || keep(p)) && !clamped.contains(&p);
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
