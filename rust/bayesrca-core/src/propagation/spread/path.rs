//! Whom a fault of one source has affected, and over which edges it went, given the data and theta.
//!
//! The alarm counts as in eq. 9. Both are exact: the tables of the sum over affected sets hold, for every state, what
//! comes before and after it, and an edge into an affected component is live unless that component would have been
//! affected without it.

use super::{Spread, SpreadScratch};
use crate::params::Natural;
use crate::propagation::affected::{self, Rates};
use crate::propagation::alarm::ALARM_TRUE;
use crate::propagation::knot::{KnotScratch, Transition};
use crate::propagation::plan::{Knot, Plan};

/// Probabilities of one source in one footprint.
#[derive(Debug, Clone, Default)]
pub struct PathProbabilities {
    /// Components that the source's roots can reach, ascending, and the probability that each is affected.
    pub nodes: Vec<usize>,
    pub affected: Vec<f64>,
    /// Edges among them and the roots, and the probability that the first end is affected or a root and the edge live.
    pub edges: Vec<(usize, usize)>,
    pub carried: Vec<f64>,
}

/// The state a walk back through the tables has reached.
struct Walk<'a> {
    weights: &'a [f64],
    rates: &'a Rates,
    /// Entries of the table before a block, and what each entry after it is worth.
    from: &'a [f64],
    next: &'a [f64],
}

impl Spread {
    /// Who is affected and which edges carry the fault, given `source`, the footprint and the theta of `start`.
    pub fn path_probabilities(
        &self,
        theta: &Natural,
        source: usize,
        footprint: usize,
        x: &mut SpreadScratch,
    ) -> PathProbabilities {
        let plan = &self.plans[self.sources[source].plan];
        let (weights, prior) = self.sum_once(theta, source, footprint, x);
        let (mut states, mut factors) = (vec![0.0; plan.states], Vec::new());
        if affected::is_long(plan) {
            factors.resize(plan.blocks.len(), 1.0);
        }
        let knots = &mut KnotScratch::default();
        affected::forward::<1>(plan, &weights, &x.rates, &mut states, &mut factors, knots);
        let (full, edges) = self.ground.in_full(plan);
        let mut out = PathProbabilities {
            affected: vec![0.0; plan.nodes.len()],
            carried: vec![0.0; edges.len()],
            nodes: plan.nodes.clone(),
            edges,
        };
        let mut next = last(plan, &states, prior);
        let mut at = plan.states - next.len();
        for (b, (open, knot)) in full.iter().enumerate().rev() {
            if let Some(factor) = factors.get(b) {
                next.iter_mut().for_each(|x| *x *= factor);
            }
            at -= knot.carry.len();
            let walk = Walk {
                weights: &weights,
                rates: &x.rates,
                from: &states[at..at + knot.carry.len()],
                next: &next,
            };
            walk.edges(plan, open, knot, &mut out);
            next = walk.back(knot, &mut out);
        }
        // An edge into a root tells nothing of itself.
        let rate = theta.transmission[self.f];
        for (&(from, to), p) in out.edges.iter().zip(&mut out.carried) {
            if plan.roots.contains(&to) {
                let tail = plan.nodes.binary_search(&from);
                *p = rate * tail.map_or(1.0, |at| out.affected[at]);
            }
        }
        out
    }
}

/// What each entry of the last table is worth, over the whole sum.
fn last(plan: &Plan, states: &[f64], prior: f64) -> Vec<f64> {
    let worth = if plan.keeps_target {
        vec![1.0 - ALARM_TRUE, ALARM_TRUE / prior + 1.0 - ALARM_TRUE]
    } else {
        vec![1.0]
    };
    let table = &states[plan.states - worth.len()..];
    let total: f64 = table.iter().zip(&worth).map(|(x, w)| x * w).sum();
    worth.iter().map(|w| w / total).collect()
}

impl Walk<'_> {
    /// What an entry before the block is worth if `subset` of it is affected, over the probability of that.
    fn worth(&self, knot: &Knot, state: usize, subset: usize) -> f64 {
        let weight: f64 = (0..knot.members.len())
            .map(|bit| self.weights[knot.members[bit] * 2 + (subset >> bit & 1)])
            .product();
        weight * self.next[(knot.carry[state] | knot.added[subset]) as usize]
    }

    /// Add the members' probabilities of being affected; return what each entry before the block is worth.
    fn back(&self, knot: &Knot, out: &mut PathProbabilities) -> Vec<f64> {
        let mut transition = Transition::default();
        let mut back = vec![0.0; self.from.len()];
        for state in 0..self.from.len() {
            let row = transition.row::<f64>(knot, state, self.rates);
            for (subset, p) in row.iter().enumerate() {
                let worth = p * self.worth(knot, state, subset);
                back[state] += worth;
                for (bit, &member) in knot.members.iter().enumerate() {
                    if subset >> bit & 1 == 1 {
                        out.affected[member] += self.from[state] * worth;
                    }
                }
            }
        }
        back
    }

    /// Fill the probabilities of the edges into a block.
    fn edges(&self, plan: &Plan, open: &[usize], knot: &Knot, out: &mut PathProbabilities) {
        let (mut whole, mut without) = (Transition::default(), Transition::default());
        for (bit, &member) in knot.members.iter().enumerate() {
            let into = |&e: &usize| out.edges[e].1 == plan.nodes[member];
            for e in (0..out.edges.len()).filter(into).collect::<Vec<_>>() {
                let tail = Tail::new(plan, open, knot, out.edges[e].0);
                let cut = tail.cut(knot, bit);
                for state in 0..self.from.len() {
                    let row = whole.row::<f64>(knot, state, self.rates);
                    let dead = without.row::<f64>(&cut, state, self.rates);
                    for subset in 0..row.len() {
                        if subset >> bit & 1 == 1 && tail.carries(state, subset) {
                            // Live, for all that happens less what happens with the edge dead.
                            let live = row[subset] - self.rates.missed[1] * dead[subset];
                            let worth = self.worth(knot, state, subset);
                            out.carried[e] += self.from[state] * live * worth;
                        }
                    }
                }
            }
        }
    }
}

/// Where an edge into a block begins.
enum Tail {
    Root,
    /// Bit in the state before the block.
    Open(usize),
    /// Bit in the block.
    Member(usize),
}

impl Tail {
    fn new(plan: &Plan, open: &[usize], knot: &Knot, from: usize) -> Self {
        let Ok(node) = plan.nodes.binary_search(&from) else {
            return Self::Root;
        };
        let bit = |list: &[usize]| list.iter().position(|&o| o == node);
        bit(&knot.members).map_or_else(
            || Self::Open(bit(open).expect("parents stay open")),
            Self::Member,
        )
    }

    fn carries(&self, state: usize, subset: usize) -> bool {
        match self {
            Self::Root => true,
            Self::Open(bit) => state >> bit & 1 == 1,
            Self::Member(bit) => subset >> bit & 1 == 1,
        }
    }

    /// The knot without this edge into `member`.
    fn cut(&self, knot: &Knot, member: usize) -> Knot {
        let mut knot = knot.clone();
        match self {
            Self::Root => knot.from_roots[member] -= 1,
            Self::Open(bit) => knot.outer[member] &= !(1 << bit),
            Self::Member(bit) => knot.inner[member] &= !(1 << bit),
        }
        knot
    }
}
