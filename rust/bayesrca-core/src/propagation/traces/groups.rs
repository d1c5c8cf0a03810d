//! Who stands around the roots of a hypothesis in the calls that were seen.

use std::collections::VecDeque;

use super::profiles::{
    ABOVE, ANCESTORS, CALLEES, CALLERS, GAP, INTO, N_GROUPS, OUT, SIBLINGS, TERMINAL,
};
use crate::evidence::TraceEvidence;

/// Numbers of the cells: own patterns, own times, then gap, truncation and order by edge.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbering {
    pub n: usize,
    pub e: usize,
}

impl Numbering {
    /// Of a component's own patterns (0) or own times (1).
    pub fn own(self, which: usize, i: usize) -> usize {
        which * self.n + i
    }

    pub fn gap(self, edge: usize) -> usize {
        2 * self.n + edge
    }

    pub fn terminal(self, edge: usize) -> usize {
        2 * self.n + self.e + edge
    }

    pub fn order(self, edge: usize) -> usize {
        2 * self.n + 2 * self.e + edge
    }

    pub fn len(self) -> usize {
        2 * self.n + 3 * self.e
    }
}

/// A cell of a group, and the order of errors along its edges towards the roots, of which the mean counts.
#[derive(Debug, Clone)]
pub(super) struct Member {
    /// None where only the order is known.
    pub cell: Option<usize>,
    pub orders: Vec<usize>,
}

/// The members of each group that have something to tell.
pub(super) type Groups = [Vec<Member>; N_GROUPS];

/// The calls seen, by component.
#[derive(Debug, Clone)]
pub(super) struct Calls {
    edges: Vec<(usize, usize)>,
    /// Edges into and out of each component.
    into: Vec<Vec<usize>>,
    out: Vec<Vec<usize>>,
}

impl Calls {
    pub fn new(e: &TraceEvidence) -> Self {
        let n = e.own_pattern.len();
        let (mut into, mut out) = (vec![Vec::new(); n], vec![Vec::new(); n]);
        for (at, &(a, b)) in e.edges.iter().enumerate() {
            out[a].push(at);
            into[b].push(at);
        }
        Self {
            edges: e.edges.clone(),
            into,
            out,
        }
    }

    /// Edges of calls to a component.
    pub fn calls_to(&self, i: usize) -> &[usize] {
        &self.into[i]
    }

    /// Whom a component calls.
    pub fn callees(&self, i: usize) -> impl Iterator<Item = usize> + Clone {
        self.out[i].iter().map(|&edge| self.edges[edge].1)
    }

    /// The groups around these roots; every cell is in one at most. `known[cell]`: whether it has something to tell.
    pub fn groups(&self, roots: &[usize], known: &[bool], at: Numbering) -> Groups {
        let steps = self.steps_up(roots);
        let mut groups: Groups = std::array::from_fn(|_| Vec::new());
        let some = |cell: usize| known[cell].then_some(cell);
        let mut role = vec![None; at.n];
        for (i, role) in role.iter_mut().enumerate() {
            *role = match steps[i] {
                usize::MAX | 0 => None,
                1 => Some(CALLERS),
                _ => Some(ANCESTORS),
            };
        }
        let callers: Vec<usize> = (0..at.n).filter(|&i| steps[i] == 1).collect();
        for (from, group) in [(roots, CALLEES), (&callers[..], SIBLINGS)] {
            for &edge in from.iter().flat_map(|&i| &self.out[i]) {
                let callee = self.edges[edge].1;
                if steps[callee] == usize::MAX && role[callee].is_none() {
                    role[callee] = Some(group);
                }
            }
        }
        for (i, role) in role.into_iter().enumerate() {
            let Some(group) = role else { continue };
            let towards = |edge: &&usize| {
                let next = steps[self.edges[**edge].1];
                next != usize::MAX && steps[i] != usize::MAX && next + 1 == steps[i]
            };
            let orders: Vec<usize> = self.out[i]
                .iter()
                .filter(towards)
                .filter_map(|&edge| some(at.order(edge)))
                .collect();
            let cell = some(at.own(0, i));
            if cell.is_some() || !orders.is_empty() {
                groups[group].push(Member { cell, orders });
            }
        }
        for (edge, &(a, b)) in self.edges.iter().enumerate() {
            let place = match (steps[a], steps[b]) {
                (_, 0) => INTO,
                (0, _) => OUT,
                (_, 1) => ABOVE,
                _ => continue,
            };
            for (first, cell) in [(GAP, at.gap(edge)), (TERMINAL, at.terminal(edge))] {
                groups[first + place].extend(some(cell).map(|cell| Member {
                    cell: Some(cell),
                    orders: Vec::new(),
                }));
            }
        }
        groups
    }

    /// Calls from each component to the nearest root; `usize::MAX` where there is no way.
    fn steps_up(&self, roots: &[usize]) -> Vec<usize> {
        let mut steps = vec![usize::MAX; self.into.len()];
        let mut queue: VecDeque<usize> = roots.iter().copied().collect();
        for &root in roots {
            steps[root] = 0;
        }
        while let Some(i) = queue.pop_front() {
            for &edge in &self.into[i] {
                let caller = self.edges[edge].0;
                if steps[caller] == usize::MAX {
                    steps[caller] = steps[i] + 1;
                    queue.push_back(caller);
                }
            }
        }
        steps
    }
}
