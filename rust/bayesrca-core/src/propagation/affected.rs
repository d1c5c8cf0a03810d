//! The exact sum over affected sets of one set of roots, forwards (value) and backwards (gradient).
//!
//! For a set A of affected components among those the roots reach, `P(A)` is the probability that live-edge
//! reachability from the roots and the spontaneous components gives exactly A: leaky noisy-OR on an acyclic graph,
//! well defined on a cyclic one (eq. 6 of `docs/concepts.md`). The sum of `P(A) prod_{i in A} w1_i prod_{i not in A} w0_i`
//! runs over a panel of `P` lanes at once, each with weights of its own. A weight lies at
//! `[(node * 2 + affected) * P + lane]`, a state of the table at `[state * P + lane]`, the tables one after the other.

use super::knot::{KnotScratch, Number};
use super::plan::{Block, Plan, What};

/// Sums over more components than this rescale their tables as they go.
const RESCALE_ABOVE: usize = 24;
/// Tables whose largest entry is in here are left as they are.
const IN_RANGE: std::ops::Range<f64> = 1e-20..1e20;

/// Whether the tables of a plan are rescaled as they go.
pub(crate) fn is_long(plan: &Plan) -> bool {
    plan.nodes.len() > RESCALE_ABOVE
}

/// The affected-set prior at one theta, by number k of live parents.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    base: f64,
    /// None of k live parents reaches a component, and the derivative of that in the transmission.
    pub missed: Vec<f64>,
    pub missed_slope: Vec<f64>,
    /// None reaches it and it is not affected spontaneously either; the opposite.
    pub spared: Vec<f64>,
    pub hit: Vec<f64>,
    /// Powers of one minus the base rate.
    pub quiet: Vec<f64>,
}

impl Rates {
    /// Tabulate for up to `most` live parents, and up to `members` components.
    pub fn set(&mut self, transmission: f64, base: f64, most: usize, members: usize) {
        self.base = base;
        let tables = [&mut self.missed, &mut self.missed_slope];
        for v in tables.into_iter().chain([&mut self.spared, &mut self.hit]) {
            v.clear();
        }
        let mut power = 1.0;
        for k in 0..=most {
            let slope = if k == 0 { 0.0 } else { -(k as f64) * power };
            power *= if k == 0 { 1.0 } else { 1.0 - transmission };
            self.missed.push(power);
            self.missed_slope.push(slope);
            self.spared.push(power * (1.0 - base));
            self.hit.push(1.0 - power * (1.0 - base));
        }
        self.quiet.clear();
        let mut power = 1.0;
        for _ in 0..=members {
            self.quiet.push(power);
            power *= 1.0 - base;
        }
    }
}

/// Run the sum forwards; `factors` are what was put on each lane after each block of a long sum.
#[inline(always)]
pub(crate) fn forward<const P: usize>(
    plan: &Plan,
    weights: &[f64],
    (rates, given): (&Rates, &[u32]),
    states: &mut [f64],
    factors: &mut [f64],
    knots: &mut KnotScratch,
) {
    let weights = weights.as_chunks::<P>().0;
    let states = states.as_chunks_mut::<P>().0;
    states[0] = [1.0; P];
    let mut at = 0;
    for (b, block) in plan.blocks.iter().enumerate() {
        let (from, rest) = states[at..].split_at_mut(block.before);
        let into = &mut rest[..block.after];
        at += block.before;
        step(plan, *block, weights, (rates, given), from, into, knots);
        if !factors.is_empty() {
            factors.as_chunks_mut::<P>().0[b] = rescale(into);
        }
    }
}

/// One block of the sum: add to the table after it what the table before it gives.
///
/// `given` is how many more parents than those of the state are affected, by node.
#[inline(always)]
pub(crate) fn step<const P: usize>(
    plan: &Plan,
    block: Block,
    weights: &[[f64; P]],
    (rates, given): (&Rates, &[u32]),
    from: &[[f64; P]],
    into: &mut [[f64; P]],
    knots: &mut KnotScratch,
) {
    into.fill([0.0; P]);
    match block.what {
        What::One { node, step } => {
            let steps = &plan.steps[step..step + block.before];
            let given = given[node];
            let (w_off, w_on) = (weights[node * 2], weights[node * 2 + 1]);
            for (f, step) in from.iter().zip(steps) {
                let spared = rates.spared[(step.live + given) as usize];
                let hit = rates.hit[(step.live + given) as usize];
                let off = &mut into[step.off as usize];
                for l in 0..P {
                    off[l] += spared * f[l] * w_off[l];
                }
                let on = &mut into[step.on as usize];
                for l in 0..P {
                    on[l] += hit * f[l] * w_on[l];
                }
            }
        }
        What::Several(knot) => {
            let knot = &plan.knots[knot];
            knot.products(weights, &mut knots.products);
            let products = knots.products.as_chunks::<P>().0;
            for (state, f) in from.iter().enumerate() {
                let row = knots.transition.row::<f64>(knot, state, rates, given);
                for ((subset, p), w) in row.iter().enumerate().zip(products) {
                    let to = &mut into[(knot.carry[state] | knot.added[subset]) as usize];
                    for l in 0..P {
                        to[l] += p * f[l] * w[l];
                    }
                }
            }
        }
    }
}

/// Bring lanes that leave the comfortable range back to a largest entry of 1; return the factors.
#[inline(always)]
fn rescale<const P: usize>(table: &mut [[f64; P]]) -> [f64; P] {
    let mut largest = [0.0f64; P];
    for row in table.iter() {
        for l in 0..P {
            largest[l] = largest[l].max(row[l]);
        }
    }
    let mut factors = [1.0; P];
    if largest.iter().all(|x| IN_RANGE.contains(x)) {
        return factors;
    }
    for l in 0..P {
        if largest[l] > 0.0 {
            factors[l] = 1.0 / largest[l];
        }
    }
    for row in table.iter_mut() {
        for l in 0..P {
            row[l] *= factors[l];
        }
    }
    factors
}

/// Adjoints of one backward run, reused between runs.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    next: Vec<f64>,
    back: Vec<f64>,
    /// Of each entry of `Rates::spared`, by lane.
    spared: Vec<f64>,
    /// Of the weight of each node being affected, `[node * P + lane]`.
    pub on: Vec<f64>,
}

/// Run the sum backwards from `last`, the adjoint of the final table; return the adjoints of the transmission and the
/// base rate and leave those of the weights in `sweep.on`.
///
/// The factors of a rescaled sum count as constants: they cancel from the gradient of a logarithm.
#[inline(always)]
#[allow(clippy::too_many_arguments)] // The mirror of `forward`.
pub(crate) fn backward<const P: usize>(
    plan: &Plan,
    weights: &[f64],
    (rates, given): (&Rates, &[u32]),
    states: &[f64],
    factors: &[f64],
    last: &[f64],
    knots: &mut KnotScratch,
    sweep: &mut Sweep,
) -> (f64, f64) {
    let weights = weights.as_chunks::<P>().0;
    let states = states.as_chunks::<P>().0;
    sweep.clear(plan, rates, P);
    sweep.next[..last.len()].copy_from_slice(last);
    let spared_adjoint = sweep.spared.as_chunks_mut::<P>().0;
    let on_adjoint = sweep.on.as_chunks_mut::<P>().0;
    let (mut next, mut back) = (
        sweep.next.as_chunks_mut::<P>().0,
        sweep.back.as_chunks_mut::<P>().0,
    );
    let (mut d_transmission, mut d_base) = (0.0, 0.0);
    let mut at = plan.states - plan.blocks.last().map_or(1, |b| b.after);
    for (b, block) in plan.blocks.iter().enumerate().rev() {
        if !factors.is_empty() {
            let factor = &factors.as_chunks::<P>().0[b];
            for row in &mut next[..block.after] {
                for l in 0..P {
                    row[l] *= factor[l];
                }
            }
        }
        at -= block.before;
        let from = &states[at..at + block.before];
        match block.what {
            What::One { node, step } => {
                let steps = &plan.steps[step..step + block.before];
                let (w_off, w_on) = (weights[node * 2], weights[node * 2 + 1]);
                let mut d_on = [0.0; P];
                for ((f, step), back) in from.iter().zip(steps).zip(back.iter_mut()) {
                    let live = (step.live + given[node]) as usize;
                    let (spared, hit) = (rates.spared[live], rates.hit[live]);
                    let (off, on) = (&next[step.off as usize], &next[step.on as usize]);
                    let d_spared = &mut spared_adjoint[live];
                    for l in 0..P {
                        let (g_off, g_on) = (w_off[l] * off[l], w_on[l] * on[l]);
                        back[l] = spared * g_off + hit * g_on;
                        d_on[l] += hit * f[l] * on[l];
                        d_spared[l] += f[l] * (g_off - g_on);
                    }
                }
                on_adjoint[node] = d_on;
            }
            What::Several(knot) => {
                let knot = &plan.knots[knot];
                knot.products(weights, &mut knots.products);
                let products = knots.products.as_chunks::<P>().0;
                knots.adjoint.clear();
                knots.adjoint.resize(knots.products.len(), 0.0);
                let d_products = knots.adjoint.as_chunks_mut::<P>().0;
                for (state, f) in from.iter().enumerate() {
                    let row = knots.transition.row::<Number>(knot, state, rates, given);
                    back[state] = [0.0; P];
                    for ((subset, p), w) in row.iter().enumerate().zip(products) {
                        let g = &next[(knot.carry[state] | knot.added[subset]) as usize];
                        let mut d_p = 0.0;
                        for l in 0..P {
                            back[state][l] += p.v * w[l] * g[l];
                            d_products[subset][l] += p.v * f[l] * g[l];
                            d_p += f[l] * w[l] * g[l];
                        }
                        d_transmission += d_p * p.t;
                        d_base += d_p * p.b;
                    }
                }
                knot.products_backward(weights, d_products, on_adjoint);
            }
        }
        std::mem::swap(&mut next, &mut back);
    }
    for (live, d) in spared_adjoint.iter().enumerate() {
        let d: f64 = d.iter().sum();
        d_transmission += d * rates.missed_slope[live] * (1.0 - rates.base);
        d_base -= d * rates.missed[live];
    }
    (d_transmission, d_base)
}

impl Sweep {
    fn clear(&mut self, plan: &Plan, rates: &Rates, lanes: usize) {
        // More than the widest table, and known without a look at all of them.
        let table = plan.states * lanes;
        for v in [&mut self.next, &mut self.back] {
            if v.len() < table {
                v.resize(table, 0.0);
            }
        }
        // Every component in a block of its own writes its number; only cycles add to theirs.
        let on = plan.nodes.len() * lanes;
        self.on.resize(on, 0.0);
        if !plan.knots.is_empty() {
            self.on.fill(0.0);
        }
        self.spared.clear();
        self.spared.resize(rates.spared.len() * lanes, 0.0);
    }
}
