//! Which sets of several causes are weighed: pairs among the best candidates, and greedy triples.
//!
//! All sets of up to `max_causes` components have a prior; those left out here count as impossible given the data. They
//! hold a component that is no candidate on its own, or lost against many others at the prior's centre.

use super::likelihood::{Likelihood, Workspace};
use super::range::log_sum_exp;
use crate::error::Result;
use crate::params::{N_KINDS, N_PARAMETERS, Natural};

/// Pairs and triples kept.
const PAIRS: usize = 24;
const TRIPLES: usize = 8;
/// Best pairs that are extended by a third component.
const EXTENDED: usize = 6;
/// A set this much less probable than the best hypothesis, in nats, is not kept.
const HOPELESS: f64 = 14.0;

impl Likelihood {
    /// Choose and prepare the sets to weigh: up to `max_causes` of the `candidates` components that are the most
    /// probable single causes at `centre`.
    ///
    /// # Errors
    /// `GraphTooWide` past the width limit.
    pub fn consider_sets(
        &mut self,
        centre: &[f64; N_PARAMETERS],
        max_causes: usize,
        candidates: usize,
    ) -> Result<()> {
        if max_causes < 2 || candidates < 2 || self.n < 2 {
            return Ok(());
        }
        let mut w = Workspace::default();
        let natural = Natural::from_unconstrained(centre);
        self.forward(&natural, &mut w);
        let single: Vec<f64> = w.joint[..N_KINDS * self.n]
            .chunks_exact(N_KINDS)
            .map(log_sum_exp)
            .collect();
        let mut order: Vec<usize> = (0..self.n).collect();
        order.sort_by(|&a, &b| single[b].total_cmp(&single[a]).then(a.cmp(&b)));
        order.truncate(candidates);
        order.sort_unstable();
        let mut pairs = Vec::new();
        for (j, &a) in order.iter().enumerate() {
            pairs.extend(order[j + 1..].iter().map(|&b| vec![a, b]));
        }
        self.add_sets(pairs, max_causes)?;
        let mut kept = self.best_sets(&natural, &mut w, 2, PAIRS);
        if max_causes > 2 {
            let mut all = self.sets().to_vec();
            all.extend(extend(&kept, &order));
            self.add_sets(all, max_causes)?;
            let triples = self.best_sets(&natural, &mut w, 3, TRIPLES);
            for triple in &triples {
                for left_out in 0..3 {
                    let mut pair = triple.clone();
                    pair.remove(left_out);
                    kept.push(pair);
                }
            }
            kept.extend(triples);
        }
        kept.sort_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
        kept.dedup();
        self.add_sets(kept, max_causes)
    }

    /// The most probable sets of a size, best first.
    fn best_sets(
        &self,
        theta: &Natural,
        w: &mut Workspace,
        size: usize,
        most: usize,
    ) -> Vec<Vec<usize>> {
        self.forward(theta, w);
        let best = w.joint.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let joint = &w.joint[N_KINDS * self.n..];
        let mut found: Vec<usize> = (0..self.sets().len())
            .filter(|&p| self.sets()[p].len() == size && joint[p] > best - HOPELESS)
            .collect();
        found.sort_by(|&a, &b| joint[b].total_cmp(&joint[a]).then(a.cmp(&b)));
        found.truncate(most);
        found.into_iter().map(|p| self.sets()[p].clone()).collect()
    }
}

/// The best pairs with each further candidate, ascending and once each.
fn extend(pairs: &[Vec<usize>], candidates: &[usize]) -> Vec<Vec<usize>> {
    let mut out: Vec<Vec<usize>> = Vec::new();
    for pair in pairs.iter().take(EXTENDED) {
        for &c in candidates.iter().filter(|c| !pair.contains(c)) {
            let mut triple = pair.clone();
            triple.push(c);
            triple.sort_unstable();
            out.push(triple);
        }
    }
    out.sort();
    out.dedup();
    out
}
