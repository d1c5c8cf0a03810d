//! The components of one cycle, summed as a whole: probabilities of each subset of them being affected.

use super::affected::Rates;
use super::plan::{Knot, MAX_BLOCK};

/// A probability with its partial derivatives in the transmission and the base rate.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Number {
    pub v: f64,
    pub t: f64,
    pub b: f64,
}

/// What the recursion computes with: a value alone, or one with its derivatives.
pub(crate) trait Arithmetic: Copy {
    const ONE: Self;
    /// Probability that none of `members` components is affected, by themselves or over any of `edges` live edges.
    fn spared(members: usize, edges: usize, rates: &Rates) -> Self;
    fn times(self, o: Self) -> Self;
    fn minus(self, o: Self) -> Self;
    /// Where rows of this kind are kept.
    fn rows(x: &mut Transition) -> (&mut [Self; SUBSETS], &mut [Self; SUBSETS]);
}

const SUBSETS: usize = 1 << MAX_BLOCK;

/// Scratch of the sum over one knot's subsets.
#[derive(Debug, Default)]
pub(crate) struct KnotScratch {
    pub transition: Transition,
    /// Products of the members' weights, `[subset * P + lane]`, and their adjoints.
    pub products: Vec<f64>,
    pub adjoint: Vec<f64>,
}

/// Scratch of one knot's probabilities.
#[derive(Debug)]
pub(crate) struct Transition {
    values: Box<[[f64; SUBSETS]; 2]>,
    numbers: Box<[[Number; SUBSETS]; 2]>,
}

impl Default for Transition {
    fn default() -> Self {
        Self {
            values: Box::new([[0.0; SUBSETS]; 2]),
            numbers: Box::new([[Number::default(); SUBSETS]; 2]),
        }
    }
}

impl Arithmetic for f64 {
    const ONE: Self = 1.0;

    fn spared(members: usize, edges: usize, rates: &Rates) -> Self {
        rates.quiet[members] * rates.missed[edges]
    }

    fn times(self, o: Self) -> Self {
        self * o
    }

    fn minus(self, o: Self) -> Self {
        self - o
    }

    fn rows(x: &mut Transition) -> (&mut [Self; SUBSETS], &mut [Self; SUBSETS]) {
        let [a, b] = &mut *x.values;
        (a, b)
    }
}

impl Arithmetic for Number {
    const ONE: Self = Self {
        v: 1.0,
        t: 0.0,
        b: 0.0,
    };

    fn spared(members: usize, edges: usize, rates: &Rates) -> Self {
        let (quiet, missed) = (rates.quiet[members], rates.missed[edges]);
        let slope = match members {
            0 => 0.0,
            m => -(m as f64) * rates.quiet[m - 1],
        };
        Self {
            v: quiet * missed,
            t: quiet * rates.missed_slope[edges],
            b: slope * missed,
        }
    }

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

    fn rows(x: &mut Transition) -> (&mut [Self; SUBSETS], &mut [Self; SUBSETS]) {
        let [a, b] = &mut *x.numbers;
        (a, b)
    }
}

impl Transition {
    /// Probability of each subset of members being affected, given the state before the knot.
    pub fn row<N: Arithmetic>(&mut self, knot: &Knot, state: usize, rates: &Rates) -> &[N] {
        let m = knot.members.len();
        let mut live = [0; MAX_BLOCK];
        for i in 0..m {
            live[i] = (state & knot.outer[i]).count_ones() + knot.from_roots[i];
        }
        // No member of `rest` is reached, from outside or from the affected set `from`.
        let spared = |rest: usize, from: usize| {
            let (mut left, mut edges) = (rest, 0);
            while left != 0 {
                let i = left.trailing_zeros() as usize;
                edges += (from & knot.inner[i]).count_ones() + live[i];
                left &= left - 1;
            }
            N::spared(rest.count_ones() as usize, edges as usize, rates)
        };
        let (covered, out) = N::rows(self);
        // covered[x]: reachability inside x alone reaches all of x (recursion over the reached part).
        covered[0] = N::ONE;
        for x in 1..1usize << m {
            let mut p = N::ONE;
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
        for x in 0..=all {
            out[x] = covered[x].times(spared(all & !x, x));
        }
        &out[..=all]
    }
}

impl Knot {
    /// Product of the members' weights in each subset.
    #[inline(always)]
    pub fn products<const P: usize>(&self, weights: &[[f64; P]], out: &mut Vec<f64>) {
        out.clear();
        out.resize(self.added.len() * P, 1.0);
        for (subset, row) in out.as_chunks_mut::<P>().0.iter_mut().enumerate() {
            for (bit, &member) in self.members.iter().enumerate() {
                let w = &weights[member * 2 + (subset >> bit & 1)];
                for l in 0..P {
                    row[l] *= w[l];
                }
            }
        }
    }

    /// Add the adjoints of the weights of being affected, given those of the products.
    #[inline(always)]
    pub fn products_backward<const P: usize>(
        &self,
        weights: &[[f64; P]],
        d_products: &[[f64; P]],
        on: &mut [[f64; P]],
    ) {
        for (subset, d) in d_products.iter().enumerate() {
            for (bit, &member) in self.members.iter().enumerate() {
                if subset >> bit & 1 == 0 {
                    continue;
                }
                let mut d = *d;
                for (other, &o) in self.members.iter().enumerate() {
                    if other != bit {
                        let w = &weights[o * 2 + (subset >> other & 1)];
                        for l in 0..P {
                            d[l] *= w[l];
                        }
                    }
                }
                for l in 0..P {
                    on[member][l] += d[l];
                }
            }
        }
    }
}
