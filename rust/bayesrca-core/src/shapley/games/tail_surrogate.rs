//! The control variate of a sampled tail: the Gaussian tail with the samples' moments.

use statrs::function::erf::erfc;

use crate::game::{Game, Surrogate, SurrogateValues, Walk};
use crate::rng::{Purpose, Stream};
use crate::shapley::interval::Moments;
use crate::shapley::orders::push_pair;

/// Distance from the mean, in standard deviations, beyond which the tail counts as 0 or 1.
const MAX_Z: f64 = 10.0;
/// Cells of the table per standard deviation.
const CELLS: f64 = 128.0;
/// Marginals computed at once.
const LANES: usize = 32;
/// 2^52.
const ONES: f64 = 4_503_599_627_370_496.0;
/// Antithetic pairs of orders on which the surrogate is judged.
const TRIAL_PAIRS: u64 = 32;
/// Fewest players: below, Sobol orders of the game itself gain as much.
const MIN_PLAYERS: usize = 24;
/// Cost of a marginal of the surrogate, in samples of the game; placing a player in a Sobol order costs as much.
const COST: f64 = 200.0;
/// Orders of the surrogate per order of the game that are tried out.
const WALKS: [u32; 5] = [4, 8, 16, 32, 64];
/// Largest share of the game's own variance times time that makes the surrogate worth it.
const WORTH: f64 = 0.7;

/// `u(S) = ln((m P(y_S at least as extreme as observed) + 1/2) / (m + 1/2))` for a Gaussian target: the expected count
/// of m samples in place of the count. The tail is read from a table, which makes a marginal contribution several times
/// cheaper than one of the game; its Shapley values have no formula and come from many more orders.
#[derive(Debug, Clone)]
pub(super) struct TailSurrogate {
    /// What a joining player adds to the mean's distance to the threshold and to the variance.
    steps: Vec<(f64, f64)>,
    empty: (f64, f64),
    table: Vec<f64>,
    walks: u32,
}

impl TailSurrogate {
    /// `shift` is what a joining player adds to the target's mean, `variance` what it takes from its variance; the
    /// threshold lies `margin` below the sum of shifts. `None` where the surrogate, judged on a few orders, does not
    /// save time.
    pub fn new<G: Game>(
        game: &G,
        samples: usize,
        shift: &[f64],
        variance: &[f64],
        margin: f64,
    ) -> Option<Self> {
        let m = samples as f64;
        let cells = (2.0 * MAX_Z * CELLS) as usize;
        let value = |cell: usize| {
            let z = cell as f64 / CELLS - MAX_Z;
            let tail = 0.5 * erfc(z * std::f64::consts::FRAC_1_SQRT_2);
            ((m * tail + 0.5) / (m + 0.5)).ln()
        };
        let mut surrogate = Self {
            steps: shift.iter().zip(variance).map(|(s, v)| (*s, -v)).collect(),
            empty: (margin - shift.iter().sum::<f64>(), variance.iter().sum()),
            table: (0..=cells).map(value).collect(),
            walks: 0,
        };
        surrogate.walks = surrogate.judge(game, m)?;
        Some(surrogate)
    }

    /// Orders per order of the game with the least variance times time.
    fn judge<G: Game>(&self, game: &G, samples: f64) -> Option<u32> {
        let players = game.active_players();
        let n = players.len();
        if n < MIN_PLAYERS {
            return None;
        }
        let mut orders = Vec::new();
        for unit in 0..TRIAL_PAIRS {
            // The same orders for every seed of an estimate: the choice does not depend on what is averaged later.
            push_pair(
                &mut Stream::new(0, Purpose::Trial, unit),
                &players,
                &mut orders,
            );
        }
        let mut values = vec![0.0; orders.len()];
        let empty = game.walk().along(&orders, n, &mut values);
        let mut own = Moments::new(game.n_players());
        let (mut left, mut surrogate) = (own.clone(), own.clone());
        let mut marginals = vec![0.0; n];
        for (pair, values) in orders.chunks_exact(2 * n).zip(values.chunks_exact(2 * n)) {
            let mut rows = vec![vec![0.0; game.n_players()]; 2];
            for (order, values) in pair.chunks_exact(n).zip(values.chunks_exact(n)) {
                self.marginals(order, &mut marginals);
                let mut before = empty;
                for ((&player, marginal), &value) in order.iter().zip(&marginals).zip(values) {
                    rows[0][player as usize] += 0.5 * (value - before);
                    rows[1][player as usize] += 0.5 * marginal;
                    before = value;
                }
            }
            own.push(&rows[0]);
            surrogate.push(&rows[1]);
            let rest: Vec<f64> = rows[0].iter().zip(&rows[1]).map(|(v, u)| v - u).collect();
            left.push(&rest);
        }
        let variance = |m: &Moments| {
            (0..game.n_players())
                .map(|i| m.deviation(i).powi(2))
                .sum::<f64>()
        };
        let (own, left, surrogate) = (variance(&own), variance(&left), variance(&surrogate));
        let effort = |walks: f64| (left + surrogate / walks) * (samples + COST * (walks + 2.0));
        let best = WALKS
            .into_iter()
            .min_by(|a, b| effort((*a).into()).total_cmp(&effort((*b).into())))?;
        (effort(best.into()) < WORTH * own * (samples + COST)).then_some(best)
    }
}

impl Surrogate for TailSurrogate {
    fn shapley(&self) -> SurrogateValues<'_> {
        SurrogateValues::ByWalks(self.walks)
    }

    fn range(&self) -> (f64, f64) {
        (self.table[self.table.len() - 1], self.table[0])
    }

    fn marginals(&self, order: &[u32], out: &mut [f64]) {
        let mut state = self.empty;
        let mut before = self.table[cell_of(&[state.0; LANES], &[state.1; LANES])[0] as usize];
        let mut distance = [0.0; LANES];
        let mut variance = [0.0; LANES];
        for (players, out) in order.chunks(LANES).zip(out.chunks_mut(LANES)) {
            for (k, &player) in players.iter().enumerate() {
                let step = self.steps[player as usize];
                state = (state.0 + step.0, state.1 + step.1);
                (distance[k], variance[k]) = state;
            }
            let cells = cell_of(&distance, &variance);
            for (out, cell) in out.iter_mut().zip(cells) {
                let after = self.table[cell as usize];
                *out = after - before;
                before = after;
            }
        }
    }
}

/// Nearest cell of the table: the number of standard deviations from the mean to the threshold.
#[inline]
fn cell_of(distance: &[f64; LANES], variance: &[f64; LANES]) -> [u32; LANES] {
    let mut cells = [0; LANES];
    for k in 0..LANES {
        // The last player's variance may leave a little less than nothing.
        let variance = if variance[k] > f64::MIN_POSITIVE {
            variance[k]
        } else {
            f64::MIN_POSITIVE
        };
        let z = -CELLS * distance[k] / variance.sqrt();
        let z = if z > -MAX_Z * CELLS {
            z
        } else {
            -MAX_Z * CELLS
        };
        let z = if z < MAX_Z * CELLS { z } else { MAX_Z * CELLS };
        // At this size a double's last bits count in ones.
        cells[k] = (z + (MAX_Z * CELLS + ONES)).to_bits() as u32;
    }
    cells
}
