//! Products and sums that would leave the range of a double.

/// Move a factor that leaves the comfortable range of a double into its logarithm.
pub(crate) fn keep_in_range(factor: &mut f64, log: &mut f64) {
    if !(1e-100..1e100).contains(factor) {
        *log += factor.ln();
        *factor = 1.0;
    }
}

/// Put all lanes over one common `exp`; return its logarithm.
pub(crate) fn bring_together(out: &mut [f64], log: &[f64]) -> f64 {
    let common = log.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !common.is_finite() {
        out.fill(0.0);
        return 0.0;
    }
    if log.iter().any(|&l| l < common) {
        for (x, l) in out.iter_mut().zip(log) {
            *x *= (l - common).exp();
        }
    }
    common
}

/// Scales `(exp(-max(c, 0)), exp(min(c, 0)))` that bring `1` and `exp(c) g` to a common size.
pub(crate) fn split_scale(common: f64) -> (f64, f64) {
    if common == 0.0 {
        return (1.0, 1.0);
    }
    ((-common.max(0.0)).exp(), common.min(0.0).exp())
}

/// `ln(sum(exp(x)))`, minus infinity for an empty or all minus-infinite slice.
pub(crate) fn log_sum_exp(x: &[f64]) -> f64 {
    let max = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if max.is_finite() {
        max + x.iter().map(|v| (v - max).exp()).sum::<f64>().ln()
    } else {
        max
    }
}

/// Mean of logarithms, with one logarithm for many factors.
#[derive(Debug)]
pub(crate) struct LogMean {
    product: f64,
    total: f64,
    n: f64,
}

impl Default for LogMean {
    fn default() -> Self {
        Self {
            product: 1.0,
            total: 0.0,
            n: 0.0,
        }
    }
}

impl LogMean {
    pub fn push(&mut self, q: f64) {
        self.product *= q;
        self.n += 1.0;
        if !(1e-150..1e150).contains(&self.product) {
            self.total += self.product.ln();
            self.product = 1.0;
        }
    }

    /// 0 for no factor at all.
    pub fn value(&self) -> f64 {
        if self.n > 0.0 {
            (self.total + self.product.ln()) / self.n
        } else {
            0.0
        }
    }
}
