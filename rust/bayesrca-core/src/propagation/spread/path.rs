//! Whom a fault of one source has affected, and over which edges it went, given the data and theta.
//!
//! The alarm counts as in eq. 9. Both are exact: the tables of the sum over affected sets hold, for every state, what
//! comes before and after it, and an edge into an affected component is live unless that component would have been
//! affected without it.

use super::estimate::Draw;
use super::{Spread, SpreadScratch};
use crate::params::Natural;
use crate::propagation::affected::{self, Rates};
use crate::propagation::alarm::ALARM_TRUE;
use crate::propagation::knot::{KnotScratch, Transition};
use crate::propagation::plan::{Knot, OpenKnot, Plan};

/// Probabilities of one source in one footprint.
#[derive(Debug, Clone, Default)]
pub struct PathProbabilities {
    /// Components that the source's roots can reach, ascending.
    pub nodes: Vec<usize>,
    /// Probability that each of them is affected.
    pub affected: Vec<f64>,
    /// Edges among them and the roots: one carries the fault when its first end is affected or a root, and it is live.
    pub edges: Vec<(usize, usize)>,
    /// Probability that each of them carried the fault.
    pub carried: Vec<f64>,
}

/// The state a walk back through the tables has reached.
struct Walk<'a> {
    plan: &'a Plan,
    draw: &'a Draw,
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
        let index = self.sources[source].plan;
        let plan = &self.plans[index];
        let (lane, prior) = self.sum_once(theta, source, footprint, x);
        let whole = self.lane_weights(index, lane, &x.sums);
        let (full, edges) = self.ground.in_full(plan);
        let empty = PathProbabilities {
            affected: vec![0.0; plan.nodes.len()],
            carried: vec![0.0; edges.len()],
            nodes: plan.nodes.clone(),
            edges,
        };
        let parts = self.parts(index, lane, &x.sums);
        let mut out = empty.clone();
        if parts.is_empty() {
            let draw = Draw::new(plan, Vec::new());
            walk_back(plan, &full, whole.clone(), &draw, &x.rates, prior, &mut out);
        }
        let total: f64 = parts.iter().map(|p| p.1).sum();
        for (draw, part) in parts.into_iter().filter(|p| p.1 > 0.0) {
            let mut one = empty.clone();
            walk_back(plan, &full, whole.clone(), draw, &x.rates, prior, &mut one);
            for (sum, p) in [
                (&mut out.affected, one.affected),
                (&mut out.carried, one.carried),
            ] {
                sum.iter_mut()
                    .zip(p)
                    .for_each(|(s, p)| *s += p * part / total);
            }
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

/// Add the probabilities given one draw's states of the clamped components, if any.
fn walk_back(
    plan: &Plan,
    full: &[OpenKnot],
    mut weights: Vec<f64>,
    draw: &Draw,
    rates: &Rates,
    prior: f64,
    out: &mut PathProbabilities,
) {
    draw.clamp(plan, &mut weights, 1);
    let (mut states, mut factors) = (vec![0.0; plan.states], Vec::new());
    if affected::is_long(plan) {
        factors.resize(plan.blocks.len(), 1.0);
    }
    let knots = &mut KnotScratch::default();
    let given = (rates, &draw.given[..]);
    affected::forward::<1>(plan, &weights, given, &mut states, &mut factors, knots);
    let mut next = last(plan, &states, prior);
    let mut at = plan.states - next.len();
    for (b, (open, knot)) in full.iter().enumerate().rev() {
        if let Some(factor) = factors.get(b) {
            for x in &mut next {
                *x *= factor;
            }
        }
        at -= knot.carry.len();
        let walk = Walk {
            plan,
            draw,
            weights: &weights,
            rates,
            from: &states[at..at + knot.carry.len()],
            next: &next,
        };
        walk.edges(open, knot, out);
        next = walk.back(knot, out);
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
            let row = transition.row::<f64>(knot, state, self.rates, &self.draw.given);
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
    fn edges(&self, open: &[usize], knot: &Knot, out: &mut PathProbabilities) {
        let (mut whole, mut without) = (Transition::default(), Transition::default());
        for (bit, &member) in knot.members.iter().enumerate() {
            let into = |&e: &usize| out.edges[e].1 == self.plan.nodes[member];
            for e in (0..out.edges.len()).filter(into).collect::<Vec<_>>() {
                let tail = self.tail(open, knot, out.edges[e].0);
                let cut = tail.cut(knot, bit);
                let given = &tail.given(&self.draw.given, member);
                for state in 0..self.from.len() {
                    let row = whole.row::<f64>(knot, state, self.rates, &self.draw.given);
                    let dead = without.row::<f64>(&cut, state, self.rates, given);
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

    /// Where an edge into the knot begins.
    fn tail(&self, open: &[usize], knot: &Knot, from: usize) -> Tail {
        let Ok(node) = self.plan.nodes.binary_search(&from) else {
            return Tail::Root;
        };
        let bit = |list: &[usize]| list.iter().position(|&o| o == node);
        let clamp = self.plan.clamps.iter().position(|c| c.node == node);
        match (bit(&knot.members), clamp, bit(open)) {
            (Some(bit), ..) => Tail::Member(bit),
            (None, Some(clamp), _) => Tail::Clamped(self.draw.on[clamp]),
            (None, None, bit) => Tail::Open(bit.expect("parents stay open")),
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
    /// Whether the clamped component is affected.
    Clamped(bool),
}

impl Tail {
    fn carries(&self, state: usize, subset: usize) -> bool {
        match self {
            Self::Root => true,
            Self::Open(bit) => state >> bit & 1 == 1,
            Self::Member(bit) => subset >> bit & 1 == 1,
            Self::Clamped(on) => *on,
        }
    }

    /// The knot without this edge into its member `bit`.
    fn cut(&self, knot: &Knot, bit: usize) -> Knot {
        let mut knot = knot.clone();
        match self {
            Self::Root => knot.from_roots[bit] -= 1,
            Self::Open(from) => knot.outer[bit] &= !(1 << from),
            Self::Member(from) => knot.inner[bit] &= !(1 << from),
            Self::Clamped(_) => {}
        }
        knot
    }

    /// The clamped parents that are affected, by node, without this edge into `node`.
    fn given(&self, given: &[u32], node: usize) -> Vec<u32> {
        let mut given = given.to_vec();
        if matches!(self, Self::Clamped(true)) {
            given[node] -= 1;
        }
        given
    }
}
