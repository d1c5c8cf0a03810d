//! The shape of the tail of importance weights.

/// Pareto shape k-hat of the largest importance weights, from their logarithms.
///
/// Below 0.7 an importance-sampling estimate with these weights can be believed; above it its error is not under
/// control (Vehtari, Simpson, Gelman, Yao & Gabry 2024, "Pareto smoothed importance sampling"). The generalised Pareto
/// distribution is fitted by the profile posterior mean of Zhang & Stephens (2009), shrunk towards 0.5 with the weight
/// of ten observations. Infinity when fewer than five weights form the tail; minus infinity for a constant tail.
#[must_use]
pub fn pareto_k(log_weights: &[f64]) -> f64 {
    let n = log_weights.len();
    let tail = (n / 5).min((3.0 * (n as f64).sqrt()).ceil() as usize);
    if tail < 5 {
        return f64::INFINITY;
    }
    let max = log_weights
        .iter()
        .copied()
        .fold(f64::NEG_INFINITY, f64::max);
    if !max.is_finite() {
        return f64::INFINITY;
    }
    let mut weights: Vec<f64> = log_weights.iter().map(|l| (l - max).exp()).collect();
    weights.sort_unstable_by(f64::total_cmp);
    let cut = weights[n - tail - 1].max(f64::MIN_POSITIVE);
    let excess: Vec<f64> = weights[n - tail..].iter().map(|w| w - cut).collect();
    if excess[tail - 1] <= 0.0 {
        return f64::NEG_INFINITY;
    }
    let k = generalised_pareto_shape(&excess);
    let m = tail as f64;
    (k * m + 5.0) / (m + 10.0)
}

/// Posterior mean of the shape of a generalised Pareto distribution, from ascending non-negative excesses.
fn generalised_pareto_shape(x: &[f64]) -> f64 {
    let n = x.len();
    let grid = 30 + (n as f64).sqrt().floor() as usize;
    let quartile = x[((n as f64 / 4.0 + 0.5).floor() as usize).max(1) - 1].max(f64::MIN_POSITIVE);
    let largest = x[n - 1];
    let profile_k = |b: f64| x.iter().map(|v| (-b * v).ln_1p()).sum::<f64>() / n as f64;
    let candidates: Vec<f64> = (1..=grid)
        .map(|i| (1.0 - (grid as f64 / (i as f64 - 0.5)).sqrt()) / (3.0 * quartile) + 1.0 / largest)
        .collect();
    let log_likelihood: Vec<f64> = candidates
        .iter()
        .map(|&b| {
            let k = profile_k(b);
            n as f64 * ((-b / k).ln() - k - 1.0)
        })
        .collect();
    let max = log_likelihood
        .iter()
        .copied()
        .filter(|l| l.is_finite())
        .fold(f64::NEG_INFINITY, f64::max);
    let (mut total, mut mean) = (0.0, 0.0);
    for (b, l) in candidates.iter().zip(&log_likelihood) {
        if l.is_finite() {
            let w = (l - max).exp();
            total += w;
            mean += w * b;
        }
    }
    profile_k(mean / total)
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // Exact values are meant.
mod tests {
    use super::*;

    /// Log weights whose exponentials are exactly generalised Pareto quantiles of shape k.
    fn quantiles(k: f64, n: usize) -> Vec<f64> {
        (0..n)
            .map(|i| {
                let u = 1.0 - (i as f64 + 0.5) / n as f64;
                (1.0 + (u.powf(-k) - 1.0) / k).ln()
            })
            .collect()
    }

    #[test]
    fn recovers_the_shape_of_a_pareto_sample() {
        for k in [0.2, 0.5, 0.9] {
            let fitted = pareto_k(&quantiles(k, 40_000));
            assert!((fitted - k).abs() < 0.07, "{fitted} for {k}");
        }
    }

    #[test]
    fn says_so_when_it_cannot_tell() {
        assert_eq!(pareto_k(&[0.0; 10]), f64::INFINITY);
        assert_eq!(pareto_k(&[0.0; 100]), f64::NEG_INFINITY);
        assert_eq!(pareto_k(&[f64::NEG_INFINITY; 100]), f64::INFINITY);
    }
}
