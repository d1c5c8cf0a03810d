//! Gauss-Legendre quadrature.

/// Nodes and weights on (0, 1); exact for polynomials of degree `2 n - 1`. Roots of the Legendre polynomial by Newton's
/// method from Chebyshev's angles.
pub(super) fn gauss_legendre(n: usize) -> Vec<(f64, f64)> {
    let size = n as f64;
    (0..n)
        .map(|k| {
            let mut x = (std::f64::consts::PI * (k as f64 + 0.75) / (size + 0.5)).cos();
            let mut slope = 1.0;
            for _ in 0..100 {
                let (mut p, mut before) = (1.0, 0.0);
                for j in 1..=n {
                    let j = j as f64;
                    (p, before) = (((2.0 * j - 1.0) * x * p - (j - 1.0) * before) / j, p);
                }
                slope = size * (x * p - before) / (x * x - 1.0);
                let step = p / slope;
                x -= step;
                if step.abs() < 1e-15 {
                    break;
                }
            }
            (0.5 * (1.0 + x), 1.0 / ((1.0 - x * x) * slope * slope))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integrates_polynomials_exactly() {
        for n in [1u8, 2, 5, 25, 128] {
            for degree in [0, 1, 2 * i32::from(n) - 1] {
                let sum: f64 = gauss_legendre(n.into())
                    .iter()
                    .map(|(t, w)| w * t.powi(degree))
                    .sum();
                let truth = 1.0 / (f64::from(degree) + 1.0);
                assert!(
                    (sum - truth).abs() < 1e-12,
                    "{n} nodes, degree {degree}: {sum}"
                );
            }
        }
    }
}
