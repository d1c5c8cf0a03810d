//! What an incident's telemetry says, as arrays: the input of the likelihood.

use crate::error::{Error, Result};
use crate::params::{N_FAMILIES, N_VITALS};
pub use crate::trace_evidence::TraceEvidence;

/// Marks a missing entry.
const MISSING: f64 = f64::NAN;
/// Largest contrast of a vital; powers of it stay in range.
const LARGEST_CONTRAST: f64 = 1e9;
/// Largest log density ratio of a series whose law is given.
const LARGEST_LOG_RATIO: f64 = 60.0;

/// Evidence of one family. Arrays of length `n * s` are row-major by component, then footprint.
#[derive(Debug, Clone, Default)]
pub struct FamilyEvidence {
    /// Directed pairs `(from, to)` along which a fault visible in this family travels.
    pub edges: Vec<(usize, usize)>,
    /// Component of each continuous series.
    pub series_component: Vec<usize>,
    /// Standardised contrast of each continuous series, length `series * s`, NaN where missing.
    pub z: Vec<f64>,
    /// Log probability of the count under its usual quiet law, length `n * s`, NaN where missing.
    pub log_quiet: Vec<f64>,
    /// The same under the wide quiet law.
    pub log_wide: Vec<f64>,
    /// The same for an affected component.
    pub log_affected: Vec<f64>,
    /// Log dose, length `n * s`, NaN where there is none.
    pub dose: Vec<f64>,
    /// Standard deviation of the dose's noise, in the dose's own unit.
    pub dose_noise: Vec<f64>,
    /// d(log dose)/d(z) of a continuous cell; ignored for counts.
    pub dose_jacobian: Vec<f64>,
    /// Log dose at the lower edge of the observed count (minus infinity for zero); of a continuous cell, at z = 2.
    pub dose_low: Vec<f64>,
    /// Log dose at the upper edge of the observed count (infinity when every request failed).
    pub dose_high: Vec<f64>,
}

/// Evidence of the components' own resource telemetry: load, cpu, memory, disk, network and anything else.
#[derive(Debug, Clone, Default)]
pub struct VitalEvidence {
    /// Component of each series, ascending.
    pub component: Vec<usize>,
    /// Family of each series, an index into `params::VITALS`, ascending within a component.
    pub family: Vec<usize>,
    /// Standardised signed contrast of each series, length `series * s`, at most 1e9 in size, NaN where missing.
    pub z: Vec<f64>,
    /// Log density ratio "at fault" to quiet of each series whose law does not depend on theta (discrete states), length
    /// `series * s`; NaN for the others, and where missing.
    pub log_fault: Vec<f64>,
    /// The same for "disturbed".
    pub log_disturbed: Vec<f64>,
    /// Edges along which demand travels: caller to callee.
    pub demand: Vec<(usize, usize)>,
    /// When each component began to change, in seconds, NaN where that is not known, length `n`; empty for none.
    pub onset: Vec<f64>,
    /// Width in seconds of the interval in which each lies, positive, laid out as `onset`.
    pub onset_error: Vec<f64>,
    /// Length of the incident window in seconds; read only with onsets.
    pub window: f64,
}

impl VitalEvidence {
    fn validate(&self, n: usize, s: usize) -> Result<()> {
        let m = self.component.len();
        let lengths = [&self.z, &self.log_fault, &self.log_disturbed];
        if self.family.len() != m || lengths.iter().any(|x| x.len() != m * s) {
            return Err(Error::evidence(
                "vitals",
                format!(
                    "needs a family, {s} contrasts and {s} fixed ratios for each of {m} series"
                ),
            ));
        }
        self.validate_onsets(n)?;
        let fixed = self.log_fault.iter().chain(&self.log_disturbed);
        if fixed.clone().any(|x| x.abs() > LARGEST_LOG_RATIO) {
            return Err(Error::evidence(
                "vitals.log_fault",
                format!("ratios must be NaN or at most {LARGEST_LOG_RATIO} in size"),
            ));
        }
        if self.demand.iter().any(|&(a, b)| a >= n || b >= n || a == b) {
            return Err(Error::evidence(
                "vitals.demand",
                "names a component that does not exist, or joins one to itself",
            ));
        }
        if self.component.iter().any(|&i| i >= n) || self.family.iter().any(|&v| v >= N_VITALS) {
            return Err(Error::evidence(
                "vitals",
                "names a component or family that does not exist",
            ));
        }
        let places: Vec<_> = self.component.iter().zip(&self.family).collect();
        if !places.is_sorted() {
            return Err(Error::evidence(
                "vitals",
                "must be sorted by component, then family",
            ));
        }
        if self.z.iter().any(|z| z.abs() > LARGEST_CONTRAST) {
            return Err(Error::evidence(
                "vitals.z",
                format!("must be NaN or at most {LARGEST_CONTRAST:e} in size"),
            ));
        }
        Ok(())
    }
}

/// Evidence of one incident.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// Number of components n (at least 1).
    pub n_components: usize,
    /// Log prior of each footprint; its length is the number of footprints s (at least 1).
    pub footprint_log_prior: Vec<f64>,
    /// Index of the component that raised the alarm.
    pub target: Option<usize>,
    /// Family in which the target raised the alarm; required with a target.
    pub alarm_family: Option<usize>,
    /// Whether the alarm was raised on the target's vitals, `alarm_family` then being where it would show in the graph.
    pub alarm_in_vitals: bool,
    /// Log factor on a component being the root in a footprint, length `n * s`, at most 0.
    pub root_log_factor: Vec<f64>,
    /// Log prior weight of each component as a root against the others, length `n`; empty for equal weights.
    pub root_log_prior: Vec<f64>,
    /// Log ratio of "crashed" to "as usual" for the presence of a component's telemetry, length `n * s`; empty for none.
    pub crash_log_ratio: Vec<f64>,
    /// One entry per family, in the order of `params::FAMILIES`.
    pub families: [FamilyEvidence; N_FAMILIES],
    /// The components' own resource telemetry.
    pub vitals: VitalEvidence,
    /// What spans and logs say; None where nothing was traced.
    pub traces: Option<TraceEvidence>,
    /// Log Bayes factor of the alerts that fired, for each component as the root against "none of these", length `n`;
    /// empty where none were told of.
    pub alert_log_ratio: Vec<f64>,
}

impl Evidence {
    /// Number of footprints.
    #[must_use]
    pub fn n_footprints(&self) -> usize {
        self.footprint_log_prior.len()
    }

    /// Check shapes, ranges and values.
    ///
    /// # Errors
    /// `InvalidEvidence` naming the first offending array.
    pub fn validate(&self) -> Result<()> {
        let (n, s) = (self.n_components, self.n_footprints());
        if n == 0 || s == 0 {
            return Err(Error::evidence(
                "evidence",
                "needs at least one component and one footprint",
            ));
        }
        if self.footprint_log_prior.iter().any(|p| !p.is_finite()) {
            return Err(Error::evidence("footprint_log_prior", "must be finite"));
        }
        if self.root_log_factor.len() != n * s
            || self
                .root_log_factor
                .iter()
                .any(|r| !(r.is_finite() && *r <= 0.0))
        {
            return Err(Error::evidence(
                "root_log_factor",
                format!("needs {n} x {s} finite entries of at most 0"),
            ));
        }
        for (name, values, length) in [
            ("root_log_prior", &self.root_log_prior, n),
            ("crash_log_ratio", &self.crash_log_ratio, n * s),
            ("alert_log_ratio", &self.alert_log_ratio, n),
        ] {
            let fits = values.is_empty() || values.len() == length;
            if !fits
                || values
                    .iter()
                    .any(|x| !x.is_finite() || x.abs() > LARGEST_LOG_RATIO)
            {
                return Err(Error::evidence(
                    name,
                    format!("needs {length} entries of at most {LARGEST_LOG_RATIO} in size"),
                ));
            }
        }
        if self.target.is_some() != self.alarm_family.is_some() {
            return Err(Error::evidence(
                "target",
                "target and alarm_family come together",
            ));
        }
        if self.target.is_some_and(|t| t >= n) || self.alarm_family.is_some_and(|f| f >= N_FAMILIES)
        {
            return Err(Error::evidence(
                "target",
                "target or alarm_family is out of range",
            ));
        }
        for (f, family) in self.families.iter().enumerate() {
            family.validate(n, s, crate::params::FAMILIES[f])?;
        }
        if let Some(traces) = &self.traces {
            traces.validate(n)?;
        }
        self.vitals.validate(n, s)
    }
}

impl VitalEvidence {
    fn validate_onsets(&self, n: usize) -> Result<()> {
        let (time, error) = (&self.onset, &self.onset_error);
        if time.is_empty() && error.is_empty() {
            return Ok(());
        }
        let known = |i: &usize| !time[*i].is_nan();
        let fits = time.len() == n
            && error.len() == n
            && (0..n)
                .filter(known)
                .all(|i| time[i].is_finite() && error[i].is_finite() && error[i] > 0.0);
        let window = self.window.is_finite() && self.window > 0.0;
        if fits && (window || !(0..n).any(|i| known(&i))) {
            Ok(())
        } else {
            Err(Error::evidence(
                "vitals.onset",
                format!("needs {n} finite or missing times with positive errors, and a window"),
            ))
        }
    }
}

impl FamilyEvidence {
    /// Evidence of a family nobody reports: every cell missing.
    #[must_use]
    pub fn silent(n: usize, s: usize, edges: Vec<(usize, usize)>) -> Self {
        let missing = vec![MISSING; n * s];
        Self {
            edges,
            series_component: Vec::new(),
            z: Vec::new(),
            log_quiet: missing.clone(),
            log_wide: missing.clone(),
            log_affected: missing.clone(),
            dose: missing.clone(),
            dose_noise: missing.clone(),
            dose_jacobian: missing.clone(),
            dose_low: missing.clone(),
            dose_high: missing,
        }
    }

    fn validate(&self, n: usize, s: usize, name: &str) -> Result<()> {
        let bad =
            |array: &str, message: &str| Err(Error::evidence(format!("{name}.{array}"), message));
        for (array, values) in [
            ("log_quiet", &self.log_quiet),
            ("log_wide", &self.log_wide),
            ("log_affected", &self.log_affected),
            ("dose", &self.dose),
            ("dose_noise", &self.dose_noise),
            ("dose_jacobian", &self.dose_jacobian),
            ("dose_low", &self.dose_low),
            ("dose_high", &self.dose_high),
        ] {
            if values.len() != n * s {
                return bad(
                    array,
                    &format!("has {} entries, expected {n} x {s}", values.len()),
                );
            }
        }
        if self.z.len() != self.series_component.len() * s {
            return bad("z", "needs one row of footprints per series");
        }
        if self.z.iter().any(|z| z.is_infinite()) {
            return bad("z", "must be finite or NaN");
        }
        if self.series_component.iter().any(|&i| i >= n) {
            return bad("series_component", "names a component that does not exist");
        }
        if self.edges.iter().any(|&(a, b)| a >= n || b >= n || a == b) {
            return bad(
                "edges",
                "names a component that does not exist, or joins one to itself",
            );
        }
        let mut series = vec![0usize; n];
        for &i in &self.series_component {
            series[i] += 1;
        }
        for at in 0..n * s {
            self.validate_cell(at, at / s, series[at / s], name)?;
        }
        Ok(())
    }

    fn validate_cell(&self, at: usize, component: usize, series: usize, name: &str) -> Result<()> {
        let bad = |array: &str, message: &str| {
            Err(Error::evidence(
                format!("{name}.{array}"),
                format!("component {component}: {message}"),
            ))
        };
        let count = !self.log_quiet[at].is_nan();
        if count {
            for (array, v) in [
                ("log_quiet", self.log_quiet[at]),
                ("log_wide", self.log_wide[at]),
                ("log_affected", self.log_affected[at]),
            ] {
                if !(v.is_finite() && v <= 1e-9) {
                    return bad(array, "a log probability must be finite and at most 0");
                }
            }
            if series > 0 {
                return bad(
                    "log_quiet",
                    "a cell holds a count or continuous series, not both",
                );
            }
        }
        if self.dose[at].is_nan() {
            return Ok(());
        }
        let ok = self.dose[at].is_finite()
            && self.dose_noise[at].is_finite()
            && self.dose_noise[at] > 0.0;
        let shape_ok = if count {
            self.dose_high[at] > f64::NEG_INFINITY && self.dose_low[at] < self.dose_high[at]
        } else {
            series == 1
                && self.dose_jacobian[at].is_finite()
                && self.dose_jacobian[at] > 0.0
                && self.dose_low[at].is_finite()
        };
        if ok && shape_ok {
            Ok(())
        } else {
            bad(
                "dose",
                "needs positive noise and either one continuous series with a jacobian or a count with ordered edges",
            )
        }
    }
}
