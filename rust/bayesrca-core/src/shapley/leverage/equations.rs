//! The weighted least squares.

use nalgebra::{DMatrix, DVector};

use super::design::Pair;

/// Smallest ratio of pivots of a regular matrix.
const SINGULAR: f64 = 1e-7;

/// Normal equations of the weighted regression of the pairs' values on their members.
#[derive(Debug, Clone)]
pub(super) struct Equations {
    n: usize,
    /// Weight of the pairs that hold two players together: lower triangle, row-major.
    gram: Vec<f64>,
    right: Vec<f64>,
}

impl Equations {
    pub fn new(n: usize) -> Self {
        Self {
            n,
            gram: vec![0.0; n * n],
            right: vec![0.0; n],
        }
    }

    pub fn add(&mut self, pair: &Pair, value: f64, weight: f64) {
        let members: Vec<usize> = (0..self.n).filter(|&k| pair.contains(k)).collect();
        for (at, &i) in members.iter().enumerate() {
            self.right[i] += weight * value;
            let row = &mut self.gram[i * self.n..(i + 1) * self.n];
            members[..=at].iter().for_each(|&j| row[j] += weight);
        }
    }

    pub fn add_scaled(&mut self, other: &Self, scale: f64) {
        let mine = self.gram.iter_mut().chain(&mut self.right);
        for (mine, theirs) in mine.zip(other.gram.iter().chain(&other.right)) {
            *mine += scale * theirs;
        }
    }

    /// The solution whose entries sum to 0; `None` when the pairs do not determine it.
    pub fn solve(&self) -> Option<DVector<f64>> {
        let n = self.n;
        let full = |i: usize, j: usize| self.gram[i.max(j) * n + i.min(j)];
        let row_mean: Vec<f64> = (0..n)
            .map(|i| (0..n).map(|j| full(i, j)).sum::<f64>() / n as f64)
            .collect();
        let mean = row_mean.iter().sum::<f64>() / n as f64;
        let trace: f64 = (0..n).map(|i| full(i, i)).sum();
        // Projected off the vector of ones, along which the regression is fixed; any weight there keeps it regular.
        let along = trace / (n * n) as f64;
        let matrix = DMatrix::from_fn(n, n, |i, j| {
            full(i, j) - row_mean[i] - row_mean[j] + mean + along
        });
        let right = DVector::from_column_slice(&self.right);
        let cholesky = matrix.cholesky()?;
        let pivots = cholesky.l_dirty().diagonal();
        if pivots.min() < SINGULAR * pivots.max() {
            return None;
        }
        let solution = cholesky.solve(&right.add_scalar(-right.mean()));
        let rest = solution.mean();
        Some(solution.add_scalar(-rest))
    }
}

#[cfg(test)]
mod tests {
    use super::super::design::{Design, kernel_mass, population};
    use super::*;

    #[test]
    fn all_pairs_give_the_shapley_values() {
        // Everybody needs player 0: v = x0 (x1 + 2 x2 x3).
        let n = 4;
        let mut equations = Equations::new(n);
        for pair in &Design::new(n, 7, 1).pairs {
            let value = |inside: bool| {
                let x = |k: usize| f64::from(u8::from(pair.contains(k) == inside));
                x(0) * (x(1) + 2.0 * x(2) * x(3))
            };
            let sum = 0.5 * (value(true) + 3.0 - value(false)) - 0.75 * pair.size as f64;
            let weight = kernel_mass(n, pair.size) / population(n, pair.size);
            equations.add(pair, sum, weight);
        }
        let values = equations.solve().unwrap();
        let truth = [0.5 + 2.0 / 3.0, 0.5, 2.0 / 3.0, 2.0 / 3.0];
        for k in 0..n {
            assert!((values[k] + 0.75 - truth[k]).abs() < 1e-12);
        }
    }
}
