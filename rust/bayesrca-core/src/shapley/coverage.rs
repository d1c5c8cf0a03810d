//! How often the stopping rules' intervals hold the truth: many antithetic pairs of a game serve as the population, whose
//! mean is known, and the rules run on pairs drawn from it.

use std::ops::Range;

use super::estimate::{Guarantee, Tolerance};
use super::games::{NoisyOrGame, SampledTailGame, Tail};
use super::orders::push_pair;
use super::units::{Plan, Units, run};
use super::unwatched;
use crate::error::Result;
use crate::game::{Game, Walk};
use crate::rng::{Purpose, Stream};

struct Pool {
    rows: Vec<f64>,
    width: usize,
    truth: Vec<f64>,
    /// Width of the range of a row.
    range: f64,
}

impl Pool {
    fn of<G: Game>(game: &G, pairs: u64) -> Self {
        let players = game.active_players();
        let n = players.len();
        let mut orders = Vec::new();
        for unit in 0..pairs {
            let mut stream = Stream::new(1, Purpose::Pairs, unit);
            push_pair(&mut stream, &players, &mut orders);
        }
        let mut values = vec![0.0; orders.len()];
        let empty = game.walk().along(&orders, n, &mut values);
        let mut rows = vec![0.0; pairs as usize * n];
        for (k, (&player, &value)) in orders.iter().zip(&values).enumerate() {
            let before = if k % n == 0 { empty } else { values[k - 1] };
            let place = players.partition_point(|&p| p < player);
            rows[k / (2 * n) * n + place] += 0.5 * (value - before);
        }
        let mean = |i: usize| rows.iter().skip(i).step_by(n).sum::<f64>() / pairs as f64;
        let (low, high) = game.range().unwrap();
        Self {
            truth: (0..n).map(mean).collect(),
            width: n,
            range: 2.0 * (high - low),
            rows,
        }
    }
}

/// Pairs drawn from a pool, with replacement.
struct Draws<'a> {
    pool: &'a Pool,
    seed: u64,
}

impl Units for Draws<'_> {
    fn width(&self) -> usize {
        self.pool.width
    }

    fn tested(&self) -> usize {
        self.pool.width
    }

    fn cost(&self) -> u64 {
        2 * self.pool.width as u64
    }

    fn range(&self) -> Result<f64> {
        Ok(self.pool.range)
    }

    fn draw(&self, units: Range<u64>, rows: &mut Vec<f64>) -> f64 {
        let size = (self.pool.rows.len() / self.pool.width) as u32;
        for unit in units {
            let drawn = Stream::new(self.seed, Purpose::Trial, unit).below(size) as usize;
            rows.extend_from_slice(&self.pool.rows[drawn * self.pool.width..][..self.pool.width]);
        }
        0.0
    }
}

/// Shares of players and of runs (all players at once) whose intervals hold the truth, and the mean number of pairs.
fn coverage(pool: &Pool, plan: Plan, runs: u64) -> (f64, f64, f64) {
    let (mut players, mut all, mut pairs) = (0, 0, 0);
    for seed in 0..runs {
        let outcome = run(&Draws { pool, seed }, plan, &mut unwatched).unwrap();
        let misses = (0..pool.width)
            .filter(|&i| (outcome.moments.mean[i] - pool.truth[i]).abs() > outcome.half_width[i])
            .count();
        players += pool.width - misses;
        all += usize::from(misses == 0);
        pairs += outcome.drawn;
    }
    let runs = runs as f64;
    (
        players as f64 / (runs * pool.width as f64),
        all as f64 / runs,
        pairs as f64 / runs,
    )
}

fn plan(tolerance: Option<f64>, max_units: u64, guarantee: Guarantee) -> Plan {
    Plan {
        tolerance: tolerance.map(Tolerance::Relative),
        max_units,
        alpha: 0.05,
        scale: 1.0,
        guarantee,
    }
}

fn edges(n: usize, stream: &mut Stream) -> Vec<(usize, usize, f64)> {
    let mut uniform = |low: f64, high: f64| {
        low + (high - low) * f64::from(stream.below(1 << 20)) / f64::from(1 << 20)
    };
    let mut edges = Vec::new();
    for i in 0..n - 1 {
        let next = i + 1 + uniform(0.0, (n - 1 - i).min(5) as f64) as usize;
        edges.push((i, next, uniform(0.3, 0.9)));
        if next + 1 < n {
            edges.push((i, next + 1, uniform(0.3, 0.9)));
        }
    }
    edges
}

fn noisy_or(n: usize) -> NoisyOrGame {
    let edges = edges(n, &mut Stream::new(2, Purpose::Trial, n as u64));
    NoisyOrGame::new(n, &edges, n - 1, &vec![0.002; n], &vec![0.8; n]).unwrap()
}

fn sampled_tail(n: usize, samples: usize) -> SampledTailGame {
    let mut stream = Stream::new(3, Purpose::Trial, n as u64);
    let edges = edges(n, &mut stream);
    let mut observed: Vec<f64> = (0..n).map(|_| stream.normal()).collect();
    observed[n / 2] = 4.0;
    let noise: Vec<f64> = (0..n * samples).map(|_| stream.normal()).collect();
    SampledTailGame::new(n, &edges, n - 1, &observed, &noise, Tail::Upper).unwrap()
}

/// The confidence sequence at a tolerance must hold all players in 95% of the runs, the t-interval at a budget each
/// player in about 95%, the Bernstein bound practically always.
fn check(name: &str, pool: &Pool, tolerance: f64, runs: u64) {
    let sequence = coverage(
        pool,
        plan(Some(tolerance), u64::MAX, Guarantee::Asymptotic),
        runs,
    );
    let interval = coverage(pool, plan(None, 256, Guarantee::Asymptotic), runs);
    let bernstein = coverage(
        pool,
        plan(Some(2.0 * tolerance), 1 << 14, Guarantee::Bernstein),
        runs,
    );
    println!("{name}: players, all, pairs: {sequence:?} {interval:?} {bernstein:?}");
    // Three standard errors of a share of 95% below.
    let least = 0.95 - 3.0 * (0.05 * 0.95 / runs as f64).sqrt();
    assert!(
        sequence.1 >= least && sequence.0 >= 0.98,
        "{name}: {sequence:?}"
    );
    assert!((0.93..=0.97).contains(&interval.0), "{name}: {interval:?}");
    assert!(bernstein.1 >= least, "{name}: {bernstein:?}");
}

#[test]
fn stopping_rules_cover_as_often_as_they_say() {
    check("noisy-or", &Pool::of(&noisy_or(12), 2000), 0.3, 150);
    check(
        "sampled tail",
        &Pool::of(&sampled_tail(10, 64), 2000),
        0.2,
        150,
    );
}

/// `cargo test --release -p bayesrca-core --lib coverage -- --ignored --nocapture`: seconds when
/// optimised, minutes when not.
#[test]
#[ignore = "minutes without optimisation"]
fn stopping_rules_cover_in_large_pools() {
    check(
        "noisy-or, 50 players",
        &Pool::of(&noisy_or(50), 60_000),
        0.2,
        1000,
    );
    check(
        "sampled tail, 20 players",
        &Pool::of(&sampled_tail(20, 1024), 60_000),
        0.2,
        1000,
    );
}
