//! Which method computes an estimate.

use super::estimate::{Control, Estimate, Guarantee, Method, Monitor, Options, Progress, Rule};
use super::exact::{check_players, compute_shapley};
use super::leverage::{
    MAX_LEVERAGE_BUDGET, MAX_LEVERAGE_PLAYERS, all_coalitions, by_leverage, least_budget,
};
use super::orders::inner_std_err;
use super::permutations::{DEFAULT_WALKS, SCRAMBLES, by_walks};
use crate::error::{Error, Result};
use crate::game::Game;
use crate::rng::{Purpose, Stream};

/// Enumeration may replace sampling up to here, whatever the budget.
const MAX_AUTOMATIC: usize = 20;
/// Up to here leverage sampling needs no trial.
const SURE_PLAYERS: usize = 20;
/// Share of the budget each trial gets, and most walks.
const PILOT_SHARE: u64 = 16;
const PILOT_WALKS: u64 = 128;
/// Sobol orders gain on leverage sampling as the budget grows: it has to win a trial by this factor of the variance.
const PILOT_MARGIN: f64 = 1.5;

/// Estimate Shapley values by sampling, or exactly where that costs no more.
///
/// Only the active players are sampled; the others get exactly 0. `n_evaluations` counts the coalitions that were
/// valued, and never exceeds the budget; the empty coalition and that of all players outside a walk, and the orders along
/// which a sampled game judges its inner error (a sixteenth of the walks, but 4 to 32), come on top. A tolerance without
/// a budget runs until it is met: let the monitor watch the clock.
///
/// # Errors
/// `InvalidEvidence` for a game without players, a budget smaller than one walk or than the regression of
/// [`Method::Leverage`] needs, that method with a tolerance, a guarantee that the game or method cannot give, or a tolerance or confidence outside its range;
/// `Numerical` when a value is not finite; `Cancelled`.
pub fn estimate_shapley<G: Game>(
    game: &G,
    options: &Options,
    monitor: Monitor<'_>,
) -> Result<Estimate> {
    check_players(game)?;
    options.check()?;
    let active = game.active_players();
    let n = active.len();
    if active.is_empty() {
        let values = vec![0.0; game.n_players()];
        let ends = (game.baseline(), game.grand());
        return Estimate::exact(values, Rule::ClosedForm, ends, 0);
    }
    let usual = DEFAULT_WALKS * n as u64;
    let affordable = options.budget.unwrap_or(u64::MAX);
    if affordable < n as u64 {
        let message = format!("{affordable} evaluations are fewer than one walk over {n} players");
        return Err(Error::evidence("budget", message));
    }
    let budget = options.budget.unwrap_or(usual);
    let exact = match options.method {
        Method::Automatic => {
            let cheap = n <= MAX_AUTOMATIC && all_coalitions(n) <= affordable.min(usual);
            cheap || game.closed_form().is_some()
        }
        Method::Leverage => n == 1 || all_coalitions(n) <= budget,
        Method::Sampled => false,
    };
    let mut out_of_time = false;
    if exact {
        let mut watch = |progress: &Progress| {
            let control = monitor(progress);
            out_of_time |= control == Control::Finish;
            control
        };
        match compute_shapley(game, &mut watch) {
            // Walks have something to return after their first block, an enumeration has not.
            Err(Error::Cancelled) if out_of_time => {}
            outcome => return outcome,
        }
    }
    let mut estimate = match options.method {
        _ if out_of_time => by_walks(game, active, options, monitor)?,
        Method::Leverage => by_leverage(game, &active, options, budget, monitor)?,
        Method::Sampled => by_walks(game, active, options, monitor)?,
        Method::Automatic => by_the_better(game, active, options, budget, monitor)?,
    };
    estimate.inner_std_err = inner_std_err(game, estimate.n_evaluations, options.seed)?;
    Ok(estimate)
}

/// Walks, or leverage sampling where evaluations are what counts and it promises the smaller error.
fn by_the_better<G: Game>(
    game: &G,
    active: Vec<u32>,
    options: &Options,
    budget: u64,
    monitor: Monitor<'_>,
) -> Result<Estimate> {
    let n = active.len();
    let possible = game.preferred_orders().is_some()
        && options.guarantee == Guarantee::Asymptotic
        && options.tolerance.is_none()
        && n <= MAX_LEVERAGE_PLAYERS
        && (least_budget(n)..=MAX_LEVERAGE_BUDGET).contains(&budget);
    let trial = (budget / PILOT_SHARE).min(PILOT_WALKS * n as u64);
    if possible && n <= SURE_PLAYERS {
        return by_leverage(game, &active, options, budget, monitor);
    }
    if !possible || trial < 2 * SCRAMBLES * n as u64 {
        return by_walks(game, active, options, monitor);
    }
    let mut spent = 0;
    let mut watch = |progress: &Progress, spent: u64| {
        monitor(&Progress {
            n_evaluations: spent + progress.n_evaluations,
            planned: Some(budget),
            ..*progress
        })
    };
    let pilot = Options {
        budget: Some(trial),
        seed: Stream::new(options.seed, Purpose::Pilot, 0).bits(),
        ..*options
    };
    let walks = by_walks(game, active.clone(), &pilot, &mut |p| watch(p, spent))?;
    if !walks.converged {
        return Ok(walks);
    }
    spent += walks.n_evaluations;
    let regression = by_leverage(game, &active, &pilot, trial, &mut |p| watch(p, spent))?;
    spent += regression.n_evaluations;
    if !regression.converged {
        return Ok(Estimate {
            n_evaluations: spent,
            ..regression
        });
    }
    let rest = Options {
        budget: Some(budget - spent),
        ..*options
    };
    let better = PILOT_MARGIN * variance(&regression) < variance(&walks);
    let mut estimate = if better {
        by_leverage(game, &active, &rest, budget - spent, &mut |p| {
            watch(p, spent)
        })?
    } else {
        by_walks(game, active, &rest, &mut |p| watch(p, spent))?
    };
    estimate.n_evaluations += spent;
    Ok(estimate)
}

fn variance(estimate: &Estimate) -> f64 {
    estimate.std_err.iter().map(|s| s * s).sum()
}
