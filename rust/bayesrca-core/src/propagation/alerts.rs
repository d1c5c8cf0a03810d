//! Alerts in the likelihood: fixed log Bayes factors of roots against "none of these" (eq. 30).

/// Log factors of the alerts that fired; all 0 where none were told of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Alerts {
    /// By component; empty for none.
    single: Vec<f64>,
    /// By set of several causes.
    set: Vec<f64>,
}

impl Alerts {
    pub fn new(log_ratio: &[f64]) -> Self {
        Self {
            single: log_ratio.to_vec(),
            set: Vec::new(),
        }
    }

    /// Log factor of a single cause, whatever its kind.
    pub fn of_root(&self, root: usize) -> f64 {
        self.single.get(root).copied().unwrap_or(0.0)
    }

    /// Log factor of a set. Which of its members the alerts are due to is not known, and the factors of single causes
    /// already weigh all alerts: they are averaged, as a product would count every alert once for each member.
    pub fn of_set(&self, position: usize) -> f64 {
        self.set[position]
    }

    /// Prepare a further set of roots.
    pub fn add_set(&mut self, roots: &[usize]) {
        let logs = || roots.iter().map(|&i| self.of_root(i));
        let most = logs().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = logs().map(|l| (l - most).exp()).sum();
        let log_mean = most + (sum / roots.len() as f64).ln();
        self.set.push(log_mean);
    }

    /// Forget the sets added since.
    pub fn drop_sets(&mut self) {
        self.set.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_the_mean_factor_of_its_members() {
        let mut alerts = Alerts::new(&[50.0, -50.0, 3.0_f64.ln(), 5.0_f64.ln()]);
        alerts.add_set(&[2, 3]);
        alerts.add_set(&[0, 1]);
        assert!((alerts.of_set(0) - 4.0_f64.ln()).abs() < 1e-12);
        assert!((alerts.of_set(1) - (50.0 - 2.0_f64.ln())).abs() < 1e-12);
        alerts.drop_sets();
        alerts.add_set(&[1, 2, 3]);
        assert!((alerts.of_set(0) - (8.0_f64 / 3.0).ln()).abs() < 1e-12);
    }

    #[test]
    fn nothing_is_told_without_alerts() {
        let mut alerts = Alerts::new(&[]);
        alerts.add_set(&[0, 1]);
        assert!(alerts.of_root(1).abs() + alerts.of_set(0).abs() < 1e-15);
    }
}
