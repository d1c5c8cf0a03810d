//! Games whose coalitions are valued many at a time by a function of the caller.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};
use crate::game::{Coalition, Game, Walk};

/// Most coalitions of one call.
const MAX_ROWS: usize = 8192;
/// Most bytes of one call's matrix, and most values of one call that values samples.
const MAX_CELLS: usize = 1 << 24;
/// Coalitions one call should reach: the cost of the call itself is then spread thin.
const ENOUGH_ROWS: usize = 512;

/// Values coalitions: given a row-major matrix of members (1) and others (0) and its number of rows, one value per row
/// (or one per row and sample), or `None` when it failed. It may be called from several threads at once.
pub type Evaluator = Box<dyn Fn(&[u8], usize) -> Option<Vec<f64>> + Send + Sync>;

/// A game given by a function that values a matrix of coalitions, as one in another language must be: one call costs
/// more than one coalition. No call has one row where many are wanted.
///
/// Once the function fails (or returns an array of the wrong size), every value is NaN and the function is never called
/// again, so that whoever uses the game ends with `Error::Numerical`.
pub struct BatchGame {
    n: usize,
    evaluate: Evaluator,
    samples: Option<(usize, Evaluator)>,
    failed: AtomicBool,
    /// Values of nobody and of everybody.
    ends: OnceLock<[f64; 2]>,
    range: Option<(f64, f64)>,
}

impl BatchGame {
    /// A game of `n_players`; `evaluate` takes rows of `n_players` bytes and returns one value per row.
    ///
    /// # Errors
    /// `InvalidEvidence` for no players.
    pub fn new(n_players: usize, evaluate: Evaluator) -> Result<Self> {
        if n_players == 0 {
            return Err(Error::evidence("game", "has no players"));
        }
        Ok(Self {
            n: n_players,
            evaluate,
            samples: None,
            failed: AtomicBool::new(false),
            ends: OnceLock::new(),
            range: None,
        })
    }

    /// Say that a value is the mean over `n_samples` independent samples (a tabular game's background rows), which
    /// `evaluate` returns one by one, row-major `[rows, n_samples]`: estimates then carry the error of that average.
    ///
    /// # Errors
    /// `InvalidEvidence` for fewer than 2 samples.
    pub fn with_samples(mut self, n_samples: usize, evaluate: Evaluator) -> Result<Self> {
        if n_samples < 2 {
            return Err(Error::evidence("n_samples", "needs at least 2"));
        }
        self.samples = Some((n_samples, evaluate));
        Ok(self)
    }

    /// Say that every value lies between two bounds.
    ///
    /// # Errors
    /// `InvalidEvidence` for bounds that are not finite and ascending.
    pub fn with_range(mut self, low: f64, high: f64) -> Result<Self> {
        if !(low.is_finite() && high.is_finite() && low < high) {
            let message = format!("{low} to {high} is no range");
            return Err(Error::evidence("range", message));
        }
        self.range = Some((low, high));
        Ok(self)
    }

    /// Whether a call of a function failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// One call; `out` is NaN when it or an earlier one failed.
    fn call(&self, evaluate: &Evaluator, rows: &[u8], out: &mut [f64]) {
        if !self.has_failed() {
            match evaluate(rows, rows.len() / self.n) {
                Some(values) if values.len() == out.len() => {
                    out.copy_from_slice(&values);
                    return;
                }
                _ => self.failed.store(true, Ordering::Release),
            }
        }
        out.fill(f64::NAN);
    }

    fn ends(&self) -> [f64; 2] {
        *self.ends.get_or_init(|| {
            let mut rows = vec![0; self.n];
            rows.resize(2 * self.n, 1);
            let mut ends = [f64::NAN; 2];
            self.call(&self.evaluate, &rows, &mut ends);
            ends
        })
    }

    fn rows_per_call(&self, values_per_row: usize) -> usize {
        (MAX_CELLS / self.n.max(values_per_row)).clamp(1, MAX_ROWS)
    }
}

/// Append the coalitions of the first 1 to `length` players of each order.
fn push_prefixes(n: usize, orders: &[u32], length: usize, rows: &mut Vec<u8>) {
    for order in orders.chunks_exact(length) {
        let mut row = vec![0; n];
        for &player in order {
            row[player as usize] = 1;
            rows.extend_from_slice(&row);
        }
    }
}

impl Game for BatchGame {
    type Walk<'a> = BatchWalk<'a>;

    fn n_players(&self) -> usize {
        self.n
    }

    fn walk(&self) -> BatchWalk<'_> {
        BatchWalk {
            game: self,
            members: vec![0; self.n],
        }
    }

    fn value(&self, coalition: &Coalition) -> f64 {
        let row: Vec<u8> = (0..self.n).map(|i| coalition.contains(i).into()).collect();
        let mut value = [f64::NAN];
        self.values_of(&row, &mut value);
        value[0]
    }

    fn values_of(&self, rows: &[u8], out: &mut [f64]) {
        let most = self.rows_per_call(1);
        for (rows, out) in rows.chunks(most * self.n).zip(out.chunks_mut(most)) {
            self.call(&self.evaluate, rows, out);
        }
    }

    fn preferred_orders(&self) -> Option<usize> {
        Some(ENOUGH_ROWS.div_ceil(self.n).next_multiple_of(2))
    }

    fn range(&self) -> Option<(f64, f64)> {
        self.range
    }

    fn baseline(&self) -> f64 {
        self.ends()[0]
    }

    fn grand(&self) -> f64 {
        self.ends()[1]
    }

    /// The samples share the orders, so a Shapley value is a mean over independent samples.
    fn inner_std_err(&self, orders: &[u32]) -> Option<Vec<f64>> {
        let (m, evaluate) = self.samples.as_ref()?;
        let n_orders = (orders.len() / self.n) as f64;
        let mut sums = vec![0.0; self.n * m];
        let per_call = (self.rows_per_call(*m) / (self.n + 1)).max(1) * self.n;
        for orders in orders.chunks(per_call) {
            let mut rows = vec![0; self.n];
            push_prefixes(self.n, orders, self.n, &mut rows);
            let mut values = vec![f64::NAN; rows.len() / self.n * m];
            self.call(evaluate, &rows, &mut values);
            let row = |k: usize| &values[k * m..(k + 1) * m];
            for (k, &player) in orders.iter().enumerate() {
                let before = if k % self.n == 0 { row(0) } else { row(k) };
                let sums = &mut sums[player as usize * m..][..*m];
                for ((sum, after), before) in sums.iter_mut().zip(row(k + 1)).zip(before) {
                    *sum += (after - before) / n_orders;
                }
            }
        }
        let errors = sums
            .chunks_exact(*m)
            .map(|of_samples| super::tail::mean_and_deviation(of_samples).1 / (*m as f64).sqrt());
        Some(errors.collect())
    }
}

/// The growing coalition of a [`BatchGame`].
#[derive(Clone)]
pub struct BatchWalk<'a> {
    game: &'a BatchGame,
    members: Vec<u8>,
}

impl Walk for BatchWalk<'_> {
    fn start(&mut self) -> f64 {
        self.members.fill(0);
        self.game.baseline()
    }

    fn add(&mut self, player: usize) -> f64 {
        self.members[player] = 1;
        let mut value = [f64::NAN];
        self.game.values_of(&self.members, &mut value);
        value[0]
    }

    /// One call for all orders; everybody's value is known.
    fn along(&mut self, orders: &[u32], length: usize, values: &mut [f64]) -> f64 {
        let n = self.game.n;
        let known = usize::from(length == n);
        let asked = length - known;
        let mut rows = Vec::with_capacity(orders.len() / length * asked * n);
        for order in orders.chunks_exact(length) {
            push_prefixes(n, &order[..asked], asked.max(1), &mut rows);
        }
        let mut out = vec![f64::NAN; rows.len() / n];
        self.game.values_of(&rows, &mut out);
        for (row, values) in values.chunks_exact_mut(length).enumerate() {
            values[..asked].copy_from_slice(&out[row * asked..][..asked]);
            values[asked..].fill(self.game.grand());
        }
        self.start()
    }

    fn block(&mut self, fixed: &[u32], free: &[u32], values: &mut [f64]) {
        let n = self.game.n;
        let mut rows = vec![0; values.len() * n];
        for (subset, row) in rows.chunks_exact_mut(n).enumerate() {
            for &player in fixed {
                row[player as usize] = 1;
            }
            for (k, &player) in free.iter().enumerate() {
                row[player as usize] = (subset >> k & 1) as u8;
            }
        }
        self.game.values_of(&rows, values);
    }
}
