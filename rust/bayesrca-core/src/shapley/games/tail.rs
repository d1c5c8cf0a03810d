//! Tail probabilities by counting samples, their logarithm and the error of a finite sample.

use crate::error::{Error, Result};

/// Which side of the target's distribution is the anomaly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// Large values.
    Upper,
    /// Small values.
    Lower,
}

impl Tail {
    /// Factor that turns the anomaly upwards.
    pub(super) fn sign(self) -> f64 {
        match self {
            Self::Upper => 1.0,
            Self::Lower => -1.0,
        }
    }
}

/// Distance of the threshold below the observed value, in standard deviations of the target: in the coalition of all
/// players every sample equals the observed value, and without a margin its count would be rounding noise.
pub const TAIL_MARGIN: f64 = 1e-3;
/// Groups of samples of the jackknife.
const GROUPS: usize = 16;
/// Most samples a game takes.
const MAX_SAMPLES: usize = 1 << 22;

/// The number of samples, given an array of samples by players.
pub(super) fn count_samples(noise: &[f64], n: usize) -> Result<usize> {
    let samples = noise.len() / n;
    if samples < 2 || samples * n != noise.len() || samples > MAX_SAMPLES {
        let message = format!(
            "needs 2 to {MAX_SAMPLES} rows of {n} entries, has {} entries",
            noise.len()
        );
        return Err(Error::evidence("baseline_noise", message));
    }
    Ok(samples)
}

/// Mean and standard deviation.
pub(super) fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (mean, (squares / (n - 1.0)).sqrt())
}

/// `ln((c + 1/2) / (m + 1/2))` for every count c of m samples.
#[derive(Debug, Clone)]
pub(super) struct LogShare(Vec<f64>);

impl LogShare {
    pub fn new(samples: usize) -> Self {
        let all = samples as f64 + 0.5;
        Self(
            (0..=samples)
                .map(|c| ((c as f64 + 0.5) / all).ln())
                .collect(),
        )
    }

    pub fn of(&self, count: u32) -> f64 {
        self.0[count as usize]
    }

    /// The values of no and of all samples.
    pub fn range(&self) -> (f64, f64) {
        (self.0[0], self.0[self.0.len() - 1])
    }
}

/// Groups for a number of tiles of samples; fewer than 2 give no error.
pub(super) fn n_groups(tiles: usize) -> usize {
    tiles.min(GROUPS)
}

/// Standard error of each Shapley value over the samples: the delete-a-group jackknife (Kott 2001) of the average
/// marginal along some orders, where `counts[(row * length + k) * groups + g]` is group g's count after k + 1 players
/// and `start[g]` that of the empty coalition.
pub(super) fn jackknife(
    n_players: usize,
    orders: &[u32],
    length: usize,
    counts: &[u32],
    start: &[u32],
    shares: &LogShare,
) -> Vec<f64> {
    let groups = start.len();
    let mut left_out = vec![0.0; n_players * groups];
    let value = |row: &[u32], g: usize| shares.of(row.iter().sum::<u32>() - row[g]);
    for g in 0..groups {
        for (order, rows) in orders
            .chunks_exact(length)
            .zip(counts.chunks_exact(length * groups))
        {
            let mut before = value(start, g);
            for (&player, row) in order.iter().zip(rows.chunks_exact(groups)) {
                let after = value(row, g);
                left_out[player as usize * groups + g] += after - before;
                before = after;
            }
        }
    }
    let n_orders = (orders.len() / length) as f64;
    left_out
        .chunks_exact(groups)
        .map(|row| {
            mean_and_deviation(row).1 / n_orders * (groups as f64 - 1.0) / (groups as f64).sqrt()
        })
        .collect()
}
