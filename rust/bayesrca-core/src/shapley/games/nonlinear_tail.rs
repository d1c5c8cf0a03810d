//! Anomaly attribution in a structural model of leaky rectifiers, with the tail counted over fixed baseline samples.

use super::dag::{Dag, check_finite, check_nodes};
use super::tail::{
    LogShare, TAIL_MARGIN, Tail, count_samples, jackknife, mean_and_deviation, n_groups,
};
use crate::error::{Error, Result};
use crate::game::{Game, Walk};

/// Fewest samples in a group of the jackknife.
const GROUP: usize = 32;
/// Samples computed at once; short enough to stay in the nearest cache.
const LANES: usize = 128;

/// As [`SampledTailGame`](super::SampledTailGame), for mechanisms `x_j = max(h, slope_j h) + noise_j` of the weighted
/// parents `h = sum_i w_ij x_i`: a node that takes up an excess but not a relief of its parents. A slope of 1 is linear.
///
/// A joining player changes only its descendants; each is computed again from its parents in a fixed order, so a
/// coalition's value does not depend on the order of joining. Samples are single precision.
#[derive(Debug, Clone)]
pub struct NonlinearTailGame {
    dag: Dag,
    samples: usize,
    /// Chunks of samples of a row; the last one may have lanes to spare.
    chunks: usize,
    /// Row of each node among the target's ancestors.
    row: Vec<usize>,
    /// Weighted parents of each row.
    parents: Vec<Vec<(usize, f32)>>,
    slope: Vec<f32>,
    observed: Vec<f32>,
    /// Baseline noise, row by row.
    noise: Vec<[f32; LANES]>,
    /// Rows to compute again when a player joins.
    descendants: Vec<Vec<usize>>,
    /// Node values in the empty coalition, row by row.
    empty: Vec<[f32; LANES]>,
    sign: f32,
    threshold: f32,
    shares: LogShare,
}

impl NonlinearTailGame {
    /// `edges` are `(from, to, weight)`; `slope` and `observed_noise` have one entry per node; `baseline_noise` is
    /// row-major samples by nodes.
    ///
    /// # Errors
    /// `InvalidEvidence` for no nodes, a cycle, a wrong shape, a slope outside 0 to 1, fewer than 2 samples or an entry
    /// that is not finite.
    pub fn new(
        edges: &[(usize, usize, f64)],
        target: usize,
        slope: &[f64],
        observed_noise: &[f64],
        baseline_noise: &[f64],
        tail: Tail,
    ) -> Result<Self> {
        let n = slope.len();
        check_nodes(n, target)?;
        check_finite("slope", slope, n)?;
        if let Some(i) = slope.iter().position(|s| !(0.0..=1.0).contains(s)) {
            return Err(Error::evidence(
                "slope",
                format!("entry {i} is outside 0 to 1"),
            ));
        }
        check_finite("observed_noise", observed_noise, n)?;
        check_finite("baseline_noise", baseline_noise, baseline_noise.len())?;
        let samples = count_samples(baseline_noise, n)?;
        let dag = Dag::new(n, edges, target)?;
        let mut row = vec![usize::MAX; n];
        for (r, &i) in dag.order.iter().enumerate() {
            row[i] = r;
        }
        let rows = dag.order.len();
        let parents = dag.order.iter().map(|&j| {
            dag.parents[j]
                .iter()
                .map(|&(i, w)| (row[i], w as f32))
                .collect()
        });
        let chunks = samples.div_ceil(LANES);
        let mut noise = vec![[0.0; LANES]; rows * chunks];
        for (r, &i) in dag.order.iter().enumerate() {
            for k in 0..samples {
                noise[r * chunks + k / LANES][k % LANES] = baseline_noise[k * n + i] as f32;
            }
        }
        let descendants = dag.descendants();
        let mut game = Self {
            samples,
            parents: parents.collect(),
            slope: dag.order.iter().map(|&i| slope[i] as f32).collect(),
            observed: dag
                .order
                .iter()
                .map(|&i| observed_noise[i] as f32)
                .collect(),
            noise,
            chunks,
            descendants: descendants
                .into_iter()
                .map(|d| d.into_iter().map(|i| row[i]).collect())
                .collect(),
            empty: vec![[0.0; LANES]; rows * chunks],
            sign: tail.sign() as f32,
            threshold: 0.0,
            shares: LogShare::new(samples),
            row,
            dag,
        };
        let mut walk = game.walk();
        (0..rows).for_each(|r| walk.compute(r));
        let empty = walk.x.clone();
        walk.member.fill(true);
        (0..rows).for_each(|r| walk.compute(r));
        let observed = walk.target()[0];
        game.empty = empty;
        let usual: Vec<f64> = game.walk().target().iter().map(|&y| f64::from(y)).collect();
        let margin = TAIL_MARGIN * mean_and_deviation(&usual).1;
        game.threshold = (f64::from(game.sign * observed) - margin) as f32;
        check_finite("edges", &[f64::from(game.threshold)], 1)?;
        Ok(game)
    }

    fn count(&self, y: &[f32]) -> u32 {
        y.iter()
            .map(|y| u32::from(self.sign * y >= self.threshold))
            .sum()
    }
}

impl Game for NonlinearTailGame {
    type Walk<'a> = NonlinearTailWalk<'a>;

    fn n_players(&self) -> usize {
        self.dag.n
    }

    fn walk(&self) -> NonlinearTailWalk<'_> {
        NonlinearTailWalk {
            game: self,
            x: self.empty.clone(),
            member: vec![false; self.dag.order.len()],
        }
    }

    fn active_players(&self) -> Vec<u32> {
        let mut active: Vec<u32> = self.dag.order.iter().map(|&i| i as u32).collect();
        active.sort_unstable();
        active
    }

    fn range(&self) -> Option<(f64, f64)> {
        Some(self.shares.range())
    }

    fn inner_std_err(&self, orders: &[u32]) -> Option<Vec<f64>> {
        let groups = n_groups(self.samples / GROUP);
        if groups < 2 {
            return None;
        }
        let part = self.samples.div_ceil(groups);
        let length = self.dag.order.len();
        let mut walk = self.walk();
        let mut counts = Vec::with_capacity(orders.len() * groups);
        for order in orders.chunks_exact(length) {
            walk.start();
            for &player in order {
                walk.add(player as usize);
                counts.extend(walk.target().chunks(part).map(|y| self.count(y)));
            }
        }
        walk.start();
        let start: Vec<u32> = walk.target().chunks(part).map(|y| self.count(y)).collect();
        Some(jackknife(
            self.dag.n,
            orders,
            length,
            &counts,
            &start,
            &self.shares,
        ))
    }
}

/// The growing coalition of a [`NonlinearTailGame`]: all node values in all samples.
#[derive(Debug, Clone)]
pub struct NonlinearTailWalk<'a> {
    game: &'a NonlinearTailGame,
    x: Vec<[f32; LANES]>,
    member: Vec<bool>,
}

impl NonlinearTailWalk<'_> {
    fn compute(&mut self, row: usize) {
        let game = self.game;
        let (chunks, slope) = (game.chunks, game.slope[row]);
        let (observed, member) = ([game.observed[row]; LANES], self.member[row]);
        for c in 0..chunks {
            let mut h = [0.0; LANES];
            for &(parent, weight) in &game.parents[row] {
                let x = &self.x[parent * chunks + c];
                for l in 0..LANES {
                    h[l] += weight * x[l];
                }
            }
            let at = row * chunks + c;
            let noise = if member { &observed } else { &game.noise[at] };
            let x = &mut self.x[at];
            for l in 0..LANES {
                let bent = slope * h[l];
                x[l] = if h[l] > bent { h[l] } else { bent } + noise[l];
            }
        }
    }

    fn target(&self) -> &[f32] {
        let row = self.game.row[self.game.dag.target] * self.game.chunks;
        &self.x[row..row + self.game.chunks].as_flattened()[..self.game.samples]
    }

    fn value(&self) -> f64 {
        self.game.shares.of(self.game.count(self.target()))
    }
}

impl Walk for NonlinearTailWalk<'_> {
    fn start(&mut self) -> f64 {
        self.x.copy_from_slice(&self.game.empty);
        self.member.fill(false);
        self.value()
    }

    fn add(&mut self, player: usize) -> f64 {
        if let Some(member) = self.member.get_mut(self.game.row[player]) {
            *member = true;
            for &row in &self.game.descendants[player] {
                self.compute(row);
            }
        }
        self.value()
    }

    fn copy_from(&mut self, other: &Self) {
        self.x.copy_from_slice(&other.x);
        self.member.copy_from_slice(&other.member);
    }
}
