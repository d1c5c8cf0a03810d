//! Shapley values and interactions by enumeration of all coalitions.

use rayon::prelude::*;

use super::estimate::{Control, Estimate, Monitor, Progress, Rule};
use super::orders::inner_std_err;
use crate::error::{Error, Result};
use crate::game::{Game, Walk};

/// Most active players an enumeration takes (2^22 values fill 32 MiB).
pub const MAX_EXACT: usize = 22;
/// Players whose joining is enumerated inside one block; the others are fixed by the block's index.
const BLOCK_PLAYERS: usize = 10;
/// Blocks between two calls of the monitor.
const BLOCKS_PER_POLL: usize = 64;

/// Exact Shapley values: by the game's closed form, else by enumeration of its active players.
///
/// The sum runs over fixed blocks added in index order, so any number of threads gives the same bits, and over
/// differences, so a player that never changes the value gets exactly 0.
///
/// # Errors
/// `InvalidEvidence` for a game without players or with more than [`MAX_EXACT`] active ones and no closed form;
/// `Numerical` when a value is not finite; `Cancelled`.
pub fn compute_shapley<G: Game>(game: &G, monitor: Monitor<'_>) -> Result<Estimate> {
    let n = check_players(game)?;
    let mut estimate = if let Some(values) = game.closed_form() {
        Estimate::exact(values, Rule::ClosedForm, (game.baseline(), game.grand()), 0)?
    } else {
        let active = game.active_players();
        let table = tabulate(game, &active, monitor)?;
        let mut values = vec![0.0; n];
        for (&player, value) in active.iter().zip(sum_table(active.len(), &table)) {
            values[player as usize] = value;
        }
        let ends = (table[0], table[table.len() - 1]);
        Estimate::exact(values, Rule::Enumeration, ends, table.len() as u64)?
    };
    estimate.inner_std_err = inner_std_err(game, u64::MAX, 0)?;
    Ok(estimate)
}

/// Exact Shapley values of `n` players from a table of coalition values, `table[coalition as a bit set]`.
///
/// # Errors
/// `InvalidEvidence` for no players, more than [`MAX_EXACT`], or a table that has not `2^n` finite entries.
pub fn shapley_of_table(n: usize, table: &[f64]) -> Result<Estimate> {
    if n == 0 {
        return Err(no_players());
    }
    check_size(n)?;
    if table.len() != 1 << n || table.iter().any(|v| !v.is_finite()) {
        return Err(Error::evidence(
            "table",
            format!("needs 2^{n} finite values"),
        ));
    }
    let ends = (table[0], table[table.len() - 1]);
    Estimate::exact(
        sum_table(n, table),
        Rule::Enumeration,
        ends,
        table.len() as u64,
    )
}

/// Exact pairwise Shapley interaction indices (Grabisch & Roubens 1999), by the game's formula or by enumeration, row-major `n x n`, symmetric, 0 on the
/// diagonal: `I_ij = sum over S without i, j of s! (n - s - 2)! / (n - 1)! (v(S+i+j) - v(S+i) - v(S+j) + v(S))`.
///
/// # Errors
/// As [`compute_shapley`].
pub fn compute_interactions<G: Game>(game: &G, monitor: Monitor<'_>) -> Result<Vec<f64>> {
    let n = check_players(game)?;
    if let Some(indices) = game.closed_form_interactions() {
        return Ok(indices);
    }
    let active = game.active_players();
    let table = tabulate(game, &active, monitor)?;
    let m = active.len();
    let mut out = vec![0.0; n * n];
    if m < 2 {
        return Ok(out);
    }
    let by_size = size_weights(m - 1);
    let pairs: Vec<(usize, usize)> = (0..m).flat_map(|i| (0..i).map(move |j| (j, i))).collect();
    let indices: Vec<f64> = pairs
        .par_iter()
        .map(|&(i, j)| {
            let both = 1 << i | 1 << j;
            (0..1usize << (m - 2)).fold(0.0, |sum, rest| {
                // Open a gap at bit i, then at bit j > i.
                let s = insert_zero(insert_zero(rest, i), j);
                let delta = table[s | both] - table[s | 1 << i] - table[s | 1 << j] + table[s];
                sum + by_size[s.count_ones() as usize] * delta
            })
        })
        .collect();
    for (&(i, j), index) in pairs.iter().zip(indices) {
        let (i, j) = (active[i] as usize, active[j] as usize);
        out[i * n + j] = index;
        out[j * n + i] = index;
    }
    Ok(out)
}

pub(super) fn check_players<G: Game>(game: &G) -> Result<usize> {
    match game.n_players() {
        0 => Err(no_players()),
        n => Ok(n),
    }
}

fn no_players() -> Error {
    Error::evidence("game", "has no players")
}

fn check_size(n: usize) -> Result<()> {
    if n > MAX_EXACT {
        return Err(Error::evidence(
            "game",
            format!(
                "{n} players can change the value, enumeration takes at most {MAX_EXACT}: estimate instead"
            ),
        ));
    }
    Ok(())
}

fn insert_zero(bits: usize, at: usize) -> usize {
    let low = bits & ((1 << at) - 1);
    (bits ^ low) << 1 | low
}

/// `s! (n - s - 1)! / n!` for s = 0 to n - 1.
fn size_weights(n: usize) -> Vec<f64> {
    let mut weights = vec![1.0 / n as f64; n];
    for s in 1..n {
        weights[s] = weights[s - 1] * s as f64 / (n - s) as f64;
    }
    weights
}

/// Value of every coalition of the active players.
fn tabulate<G: Game>(game: &G, active: &[u32], monitor: Monitor<'_>) -> Result<Vec<f64>> {
    let n = active.len();
    check_size(n)?;
    let low = n.min(BLOCK_PLAYERS);
    let mut table = vec![0.0; 1 << n];
    let mut done = 0;
    for (batch, part) in table.chunks_mut(BLOCKS_PER_POLL << low).enumerate() {
        part.par_chunks_mut(1 << low)
            .enumerate()
            .for_each(|(block, values)| {
                let index = batch * BLOCKS_PER_POLL + block;
                let fixed: Vec<u32> = (0..n - low)
                    .filter(|k| index >> k & 1 == 1)
                    .map(|k| active[low + k])
                    .collect();
                game.walk().block(&fixed, &active[..low], values);
            });
        if part.iter().any(|v| !v.is_finite()) {
            return Err(super::estimate::not_finite());
        }
        done += part.len() as u64;
        let progress = Progress {
            n_evaluations: done,
            planned: Some(1 << n),
            half_width: f64::INFINITY,
            target: None,
        };
        if monitor(&progress) != Control::Continue {
            return Err(Error::Cancelled);
        }
    }
    Ok(table)
}

/// The Shapley sum over a full table.
fn sum_table(n: usize, table: &[f64]) -> Vec<f64> {
    if n == 0 {
        return Vec::new();
    }
    let by_size = size_weights(n);
    let block = 1usize << n.min(12);
    let partial: Vec<Vec<f64>> = (0..table.len() / block)
        .into_par_iter()
        .map(|b| {
            let start = b * block;
            // The coalition of all players precedes nobody: its weight is never used.
            let weights: Vec<f64> = (start..start + block)
                .map(|s| by_size.get(s.count_ones() as usize).copied().unwrap_or(0.0))
                .collect();
            (0..n)
                .map(|i| {
                    let bit = 1 << i;
                    (0..block)
                        .filter(|s| (start + s) & bit == 0)
                        .map(|s| weights[s] * (table[(start + s) | bit] - table[start + s]))
                        .sum()
                })
                .collect()
        })
        .collect();
    let mut values = vec![0.0; n];
    for row in &partial {
        for (value, part) in values.iter_mut().zip(row) {
            *value += part;
        }
    }
    values
}
