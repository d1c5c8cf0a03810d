//! The exact sum over affected sets of one set of roots, forwards (value) and backwards (gradient).
//!
//! For a set A of affected components among those the roots reach, `P(A)` is the probability that live-edge
//! reachability from the roots and the spontaneous components gives exactly A: leaky noisy-OR on an acyclic graph,
//! well defined on a cyclic one (eq. 6 of `docs/concepts.md`). The sum of `P(A) prod_{i in A} w1_i prod_{i not in A} w0_i`
//! runs over *lanes* at once: one per footprint, plus one with unit weights when the prior probability of the
//! target being affected is wanted.

use super::plan::{Block, Plan};

/// Weights of one root's components: `[(node * 2 + affected) * lanes + lane]`.
pub(crate) type Weights = Vec<f64>;

/// Sums over more components than this rescale their tables as they go.
const RESCALE_ABOVE: usize = 24;

/// Tables of one sum, kept for the backward pass. Reused between calls to avoid allocation.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    /// State tables before each block and after the last, `[state * lanes + lane]`.
    states: Vec<Vec<f64>>,
    /// Subset weights of each block with several members, `[subset * lanes + lane]`.
    subset_weights: Vec<Vec<f64>>,
    /// Factor put on each lane after each block of a long sum; empty for a short one.
    factors: Vec<Vec<f64>>,
    /// Logarithm of what the factors took out of each lane.
    pub log_scale: Vec<f64>,
    row: Vec<Dual>,
    adjoint: Vec<f64>,
    adjoint_next: Vec<f64>,
    subset_adjoint: Vec<f64>,
    lanes: usize,
    len: usize,
}

/// The affected-set prior at one theta, by number k of live parents.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    /// None of k live parents reaches a component.
    missed: Vec<Dual>,
    /// That, and the component is not affected spontaneously either.
    spared: Vec<Dual>,
}

impl Rates {
    /// Tabulate for up to `max_parents` parents.
    pub fn set(&mut self, transmission: f64, base: f64, max_parents: usize) {
        let quiet = Dual {
            v: 1.0 - base,
            t: 0.0,
            b: -1.0,
        };
        self.missed.clear();
        self.spared.clear();
        let mut power = 1.0;
        for k in 0..=max_parents {
            let slope = if k == 0 { 0.0 } else { -(k as f64) * power };
            power *= if k == 0 { 1.0 } else { 1.0 - transmission };
            let missed = Dual {
                v: power,
                t: slope,
                b: 0.0,
            };
            self.missed.push(missed);
            self.spared.push(missed.times(quiet));
        }
    }
}

/// A number with its partial derivatives in the transmission and the base rate.
#[derive(Debug, Clone, Copy)]
struct Dual {
    v: f64,
    t: f64,
    b: f64,
}

impl Dual {
    const ONE: Self = Self {
        v: 1.0,
        t: 0.0,
        b: 0.0,
    };

    fn times(self, o: Self) -> Self {
        Self {
            v: self.v * o.v,
            t: self.t * o.v + self.v * o.t,
            b: self.b * o.v + self.v * o.b,
        }
    }

    fn minus(self, o: Self) -> Self {
        Self {
            v: self.v - o.v,
            t: self.t - o.t,
            b: self.b - o.b,
        }
    }
}

impl Block {
    /// Probability that a member is not reached from outside the block, given the state before it.
    fn spared_from_outside(&self, m: usize, state: usize, rates: &Rates) -> Dual {
        let live = (state & self.outer[m]).count_ones() + self.from_roots[m];
        rates.spared[live as usize]
    }

    /// Probability of each subset of members being affected, given the state before the block.
    fn transition(&self, state: usize, rates: &Rates, out: &mut Vec<Dual>) {
        out.clear();
        let m = self.members.len();
        if m == 1 {
            let q = self.spared_from_outside(0, state, rates);
            out.extend([q, Dual::ONE.minus(q)]);
            return;
        }
        let outside: Vec<Dual> = (0..m)
            .map(|i| self.spared_from_outside(i, state, rates))
            .collect();
        // No member of `rest` is reached, from outside or from the affected set `from`.
        let spared = |rest: usize, from: usize| {
            (0..m)
                .filter(|i| rest >> i & 1 == 1)
                .fold(Dual::ONE, |acc, i| {
                    let inside = (from & self.inner[i]).count_ones();
                    acc.times(outside[i]).times(rates.missed[inside as usize])
                })
        };
        // covered[x]: reachability inside x alone reaches all of x (recursion over the reached part).
        let mut covered = vec![Dual::ONE; 1 << m];
        for x in 1..1usize << m {
            let mut p = Dual::ONE;
            let mut reached = (x - 1) & x;
            loop {
                p = p.minus(covered[reached].times(spared(x & !reached, reached)));
                if reached == 0 {
                    break;
                }
                reached = (reached - 1) & x;
            }
            covered[x] = p;
        }
        let all = (1 << m) - 1;
        out.extend((0..1usize << m).map(|x| covered[x].times(spared(all & !x, x))));
    }

    /// Weights of one subset of members.
    fn weights<'a>(
        &self,
        subset: usize,
        weights: &'a Weights,
        products: &'a [f64],
        lanes: usize,
    ) -> &'a [f64] {
        if self.members.len() == 1 {
            let at = (self.members[0] * 2 + subset) * lanes;
            &weights[at..at + lanes]
        } else {
            &products[subset * lanes..(subset + 1) * lanes]
        }
    }
}

impl Tables {
    /// The final table of the last forward run: `[state * lanes + lane]` with `2^width_after` states
    /// (two when the plan keeps a target open, else one), each lane over `exp(log_scale[lane])`.
    pub fn last(&self) -> &[f64] {
        &self.states[self.len]
    }

    /// Run the sum forwards.
    pub fn forward(&mut self, plan: &Plan, weights: &Weights, lanes: usize, rates: &Rates) {
        self.lanes = lanes;
        self.len = plan.blocks.len();
        if self.states.len() <= self.len {
            self.states.resize_with(self.len + 1, Vec::new);
            self.subset_weights.resize_with(self.len + 1, Vec::new);
            self.factors.resize_with(self.len + 1, Vec::new);
        }
        self.states[0].clear();
        self.states[0].resize(lanes, 1.0);
        self.log_scale.clear();
        self.log_scale.resize(lanes, 0.0);
        for (b, block) in plan.blocks.iter().enumerate() {
            if block.members.len() > 1 {
                fill_subset_weights(block, weights, lanes, &mut self.subset_weights[b]);
            }
            let (head, tail) = self.states.split_at_mut(b + 1);
            let (before, after) = (&head[b], &mut tail[0]);
            after.clear();
            after.resize(lanes << block.width_after, 0.0);
            for (state, &carried) in block.carry.iter().enumerate() {
                block.transition(state, rates, &mut self.row);
                let from = &before[state * lanes..(state + 1) * lanes];
                for (subset, p) in self.row.iter().enumerate() {
                    let weight = block.weights(subset, weights, &self.subset_weights[b], lanes);
                    let to = carried | block.added[subset];
                    let into = &mut after[to * lanes..(to + 1) * lanes];
                    for ((x, f), w) in into.iter_mut().zip(from).zip(weight) {
                        *x += p.v * f * w;
                    }
                }
            }
            self.factors[b].clear();
            if plan.nodes.len() > RESCALE_ABOVE {
                rescale(after, lanes, &mut self.factors[b], &mut self.log_scale);
            }
        }
    }

    /// Run the sum backwards from the adjoint of the final table.
    ///
    /// Adds the adjoints of the weights to `weight_adjoint` (laid out as `weights`) and returns those of the
    /// transmission and the base rate. The factors of a rescaled sum count as constants: they cancel from the
    /// gradient of a logarithm.
    pub fn backward(
        &mut self,
        plan: &Plan,
        weights: &Weights,
        rates: &Rates,
        final_adjoint: &[f64],
        weight_adjoint: &mut [f64],
    ) -> (f64, f64) {
        let lanes = self.lanes;
        let (mut d_transmission, mut d_base) = (0.0, 0.0);
        self.adjoint_next.clear();
        self.adjoint_next.extend_from_slice(final_adjoint);
        for (b, block) in plan.blocks.iter().enumerate().rev() {
            let subsets = block.added.len();
            for row in self.adjoint_next.chunks_exact_mut(lanes) {
                for (g, factor) in row.iter_mut().zip(&self.factors[b]) {
                    *g *= factor;
                }
            }
            let before = &self.states[b];
            self.adjoint.clear();
            self.adjoint.resize(before.len(), 0.0);
            self.subset_adjoint.clear();
            self.subset_adjoint.resize(subsets * lanes, 0.0);
            for (state, &carried) in block.carry.iter().enumerate() {
                block.transition(state, rates, &mut self.row);
                let from = &before[state * lanes..(state + 1) * lanes];
                let back = &mut self.adjoint[state * lanes..(state + 1) * lanes];
                for (subset, p) in self.row.iter().enumerate() {
                    let weight = block.weights(subset, weights, &self.subset_weights[b], lanes);
                    let to = carried | block.added[subset];
                    let g = &self.adjoint_next[to * lanes..(to + 1) * lanes];
                    let into = &mut self.subset_adjoint[subset * lanes..(subset + 1) * lanes];
                    let mut d_p = 0.0;
                    for lane in 0..lanes {
                        back[lane] += p.v * weight[lane] * g[lane];
                        into[lane] += p.v * from[lane] * g[lane];
                        d_p += from[lane] * weight[lane] * g[lane];
                    }
                    d_transmission += d_p * p.t;
                    d_base += d_p * p.b;
                }
            }
            spread_subset_adjoint(
                block,
                weights,
                lanes,
                &self.subset_weights[b],
                &self.subset_adjoint,
                weight_adjoint,
            );
            std::mem::swap(&mut self.adjoint, &mut self.adjoint_next);
        }
        (d_transmission, d_base)
    }
}

/// Bring the largest entry of every lane to 1.
fn rescale(table: &mut [f64], lanes: usize, factors: &mut Vec<f64>, log_scale: &mut [f64]) {
    for lane in 0..lanes {
        let largest = table
            .iter()
            .skip(lane)
            .step_by(lanes)
            .fold(0.0f64, |m, &x| m.max(x));
        let factor = if largest > 0.0 { 1.0 / largest } else { 1.0 };
        factors.push(factor);
        log_scale[lane] -= factor.ln();
    }
    for row in table.chunks_exact_mut(lanes) {
        for (x, factor) in row.iter_mut().zip(factors.iter()) {
            *x *= factor;
        }
    }
}

fn fill_subset_weights(block: &Block, weights: &Weights, lanes: usize, out: &mut Vec<f64>) {
    out.clear();
    out.resize(block.added.len() * lanes, 1.0);
    for (subset, row) in out.chunks_exact_mut(lanes).enumerate() {
        for (bit, &member) in block.members.iter().enumerate() {
            let at = (member * 2 + (subset >> bit & 1)) * lanes;
            for (x, w) in row.iter_mut().zip(&weights[at..at + lanes]) {
                *x *= w;
            }
        }
    }
}

fn spread_subset_adjoint(
    block: &Block,
    weights: &Weights,
    lanes: usize,
    subset_weights: &[f64],
    subset_adjoint: &[f64],
    weight_adjoint: &mut [f64],
) {
    for subset in 0..block.added.len() {
        for (bit, &member) in block.members.iter().enumerate() {
            let at = (member * 2 + (subset >> bit & 1)) * lanes;
            for lane in 0..lanes {
                let i = subset * lanes + lane;
                let others = if block.members.len() == 1 {
                    1.0
                } else {
                    subset_weights[i] / weights[at + lane]
                };
                weight_adjoint[at + lane] += subset_adjoint[i] * others;
            }
        }
    }
}
