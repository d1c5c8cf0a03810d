//! `LeverageSHAP`: weighted least squares over coalitions sampled by leverage (Musco & Witter 2025).

mod design;
mod equations;

use nalgebra::DVector;
use rayon::prelude::*;

use self::design::{Design, Pair, kernel_mass, population};
use self::equations::Equations;
use super::estimate::{Control, Estimate, Guarantee, Monitor, Options, Progress, Rule, not_finite};
use super::interval::t_quantile;
use super::units::FLOOR;
use crate::error::{Error, Result};
use crate::game::Game;

/// Most players: the normal equations of every group are held at once.
pub const MAX_LEVERAGE_PLAYERS: usize = 512;
/// Most evaluations; the sampled coalitions are held at once.
pub const MAX_LEVERAGE_BUDGET: u64 = 1 << 23;
/// Groups of the jackknife.
const GROUPS: usize = 16;
/// Fewest pairs per player: with 2 the regression's error is still far above its rate.
const PAIRS_PER_PLAYER: u64 = 4;
/// Pairs one task values, and tasks between two calls of the monitor.
const TASK: usize = 256;
const TASKS_PER_POLL: usize = 16;

/// `2^n`, or more than any budget.
pub(super) fn all_coalitions(n: usize) -> u64 {
    if n < 64 { 1 << n } else { u64::MAX }
}

/// Evaluations that `LeverageSHAP` needs at least for `n` players: all coalitions where those are fewer.
pub(super) fn least_budget(n: usize) -> u64 {
    all_coalitions(n).min(2 * PAIRS_PER_PLAYER * n as u64)
}

/// Estimate from pairs of a coalition and its complement. `active` has at least 3 players and the budget does not reach
/// all coalitions.
pub(super) fn by_leverage<G: Game>(
    game: &G,
    active: &[u32],
    options: &Options,
    budget: u64,
    monitor: Monitor<'_>,
) -> Result<Estimate> {
    let n = active.len();
    check(n, options, budget)?;
    let fewest = (PAIRS_PER_PLAYER as usize) * n;
    // One pair less than all: who can pay for all enumerates.
    let most = all_coalitions(n) / 2 - 2;
    let design = Design::new(n, (budget / 2).min(most) as usize, options.seed);
    let ends = (game.baseline(), game.grand());
    let mut rows: Vec<f64> = Vec::with_capacity(design.pairs.len());
    while rows.len() < design.pairs.len() {
        let from = rows.len();
        let to = design.pairs.len().min(from + TASK * TASKS_PER_POLL);
        let values: Vec<Vec<f64>> = design.pairs[from..to]
            .par_chunks(TASK)
            .map(|pairs| half_differences(game, active, pairs, ends))
            .collect();
        rows.extend(values.into_iter().flatten());
        if rows[from..].iter().any(|y| !y.is_finite()) {
            return Err(not_finite());
        }
        let control = monitor(&Progress {
            n_evaluations: 2 * rows.len() as u64,
            planned: Some(2 * design.pairs.len() as u64),
            half_width: f64::INFINITY,
            target: None,
        });
        match control {
            Control::Cancel => return Err(Error::Cancelled),
            Control::Finish if rows.len() >= fewest => break,
            _ => {}
        }
    }
    let (shares, std_err, degrees) = solve(&design, &rows)?;
    let scale = rows
        .iter()
        .fold(ends.0.abs().max(ends.1.abs()), |m, y| m.max(y.abs()));
    let quantile = t_quantile(degrees, 1.0 - options.confidence);
    let even = (ends.1 - ends.0) / n as f64;
    let mut estimate = Estimate {
        values: vec![0.0; game.n_players()],
        std_err: vec![0.0; game.n_players()],
        half_width: vec![0.0; game.n_players()],
        inner_std_err: None,
        n_evaluations: 2 * rows.len() as u64,
        n_surrogate_evaluations: 0,
        n_units: rows.len() as u64,
        converged: rows.len() == design.pairs.len(),
        baseline: ends.0,
        grand: ends.1,
        rule: Rule::LeverageJackknife,
        exact: false,
    };
    for (k, &player) in active.iter().enumerate() {
        let player = player as usize;
        estimate.values[player] = even + shares[k];
        estimate.std_err[player] = std_err[k];
        estimate.half_width[player] = (quantile * std_err[k]).max(FLOOR * scale);
    }
    Ok(estimate)
}

fn check(n: usize, options: &Options, budget: u64) -> Result<()> {
    if options.tolerance.is_some() {
        let message = "the regression on sampled coalitions takes a budget";
        return Err(Error::evidence("tolerance", message));
    }
    if options.guarantee != Guarantee::Asymptotic {
        let message = "the jackknife of the regression is asymptotic";
        return Err(Error::evidence("guarantee", message));
    }
    if n > MAX_LEVERAGE_PLAYERS {
        let message = format!(
            "{n} players can change the value, the regression takes {MAX_LEVERAGE_PLAYERS}"
        );
        return Err(Error::evidence("game", message));
    }
    let least = least_budget(n);
    if budget < least || budget > MAX_LEVERAGE_BUDGET {
        let message = format!(
            "{budget} evaluations; the regression on {n} players needs at least {least} and takes at most \
             {MAX_LEVERAGE_BUDGET}"
        );
        return Err(Error::evidence("budget", message));
    }
    Ok(())
}

/// For each pair, `(v(S) - v(empty) + v(all) - v(complement)) / 2`, what its two equations ask of the sum of S's Shapley
/// values, minus S's even share.
fn half_differences<G: Game>(
    game: &G,
    active: &[u32],
    pairs: &[Pair],
    ends: (f64, f64),
) -> Vec<f64> {
    let n = game.n_players();
    let mut rows = vec![0; 2 * pairs.len() * n];
    for (pair, rows) in pairs.iter().zip(rows.chunks_exact_mut(2 * n)) {
        let (here, complement) = rows.split_at_mut(n);
        for (k, &player) in active.iter().enumerate() {
            let side = if pair.contains(k) {
                &mut *here
            } else {
                &mut *complement
            };
            side[player as usize] = 1;
        }
    }
    let mut values = vec![f64::NAN; 2 * pairs.len()];
    game.values_of(&rows, &mut values);
    let share = (ends.1 - ends.0) / active.len() as f64;
    let sums = values.chunks_exact(2).zip(pairs);
    sums.map(|(v, pair)| 0.5 * (v[0] - ends.0 + ends.1 - v[1]) - share * pair.size as f64)
        .collect()
}

/// Solve for each player's Shapley value minus the even share, with the jackknife's standard errors and degrees of
/// freedom, given the pairs' half differences in the design's order.
fn solve(design: &Design, rows: &[f64]) -> Result<(Vec<f64>, Vec<f64>, u64)> {
    let n = design.n;
    let pairs = &design.pairs[..rows.len()];
    let mut counts = vec![0; n / 2 + 1];
    for pair in pairs {
        counts[pair.size] += 1;
    }
    // Sizes that are complete have no sampling error and stay in every replicate.
    let sampled = |size: usize| (counts[size] as f64) < population(n, size);
    let n_sampled: usize = (1..=n / 2).filter(|&s| sampled(s)).map(|s| counts[s]).sum();
    let groups = GROUPS.min(n_sampled);
    let mut members = vec![Vec::new(); groups + 1];
    let mut next = vec![0; n / 2 + 1];
    for (k, pair) in pairs.iter().enumerate() {
        // Every group gets its part of every size.
        next[pair.size] += 1;
        let group = (pair.size + next[pair.size]) % groups;
        members[if sampled(pair.size) { group } else { groups }].push(k);
    }
    let parts: Vec<Equations> = members
        .par_iter()
        .map(|members| {
            let mut part = Equations::new(n);
            for &k in members {
                let size = pairs[k].size;
                part.add(
                    &pairs[k],
                    rows[k],
                    kernel_mass(n, size) / counts[size] as f64,
                );
            }
            part
        })
        .collect();
    let mut all = Equations::new(n);
    for part in &parts {
        all.add_scaled(part, 1.0);
    }
    let values = all.solve().ok_or_else(|| singular(n))?;
    let kept = (groups as f64 - 1.0) / groups as f64;
    let replicates: Option<Vec<DVector<f64>>> = parts[..groups]
        .par_iter()
        .map(|left_out| {
            let mut rest = all.clone();
            rest.add_scaled(left_out, -1.0);
            // The other groups stand for the one left out; only the ratio to the complete sizes matters.
            rest.add_scaled(&parts[groups], kept - 1.0);
            rest.solve()
        })
        .collect();
    let replicates = replicates.ok_or_else(|| singular(n))?;
    let mean = replicates.iter().sum::<DVector<f64>>() / groups as f64;
    let std_err = (0..n).map(|k| {
        let squares: f64 = replicates.iter().map(|r| (r[k] - mean[k]).powi(2)).sum();
        (squares * kept).sqrt()
    });
    let std_err = std_err.collect();
    Ok((values.as_slice().to_vec(), std_err, groups as u64 - 1))
}

fn singular(n: usize) -> Error {
    let message = format!(
        "too few different coalitions for the regression on {n} players, give more than {} evaluations",
        least_budget(n)
    );
    Error::evidence("budget", message)
}
