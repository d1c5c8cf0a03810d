//! The log factors of single components, one table per way of being reached.

use fearless_simd::dispatch;

use super::rates::{Reach, load_rate, wait_rate};
use super::reach::N_CLASSES;
use super::{AT_ROOT, CODE_AT_ROOT, VitalScratch, Vitals};
use crate::elementary::ln_all;
use crate::params::Natural;
use crate::propagation::range::keep_in_range;

impl Vitals {
    /// Fill the log factors of every component's own families; add the background's.
    pub(super) fn fill_own(&self, theta: &Natural, x: &mut VitalScratch, background: &mut [f64]) {
        let (a, s) = (theta.vital_rate, self.s);
        for at in 0..self.n * s {
            let (p, q, load) = (x.disturbed[at], x.fault[at], x.load_fault[at]);
            let h = 1.0 - a + a * p;
            x.log.resource[at] = p * q / h;
            x.log.load[at] = p * load / h;
            x.log.disturbed[at] = (1.0 - AT_ROOT) + AT_ROOT * p / h;
            x.log.code[at] = (1.0 - CODE_AT_ROOT) + CODE_AT_ROOT * p / h;
        }
        for (k, background) in background.iter_mut().enumerate() {
            let (mut product, mut log) = (1.0, 0.0);
            for at in (k..x.log_background.len()).step_by(s) {
                let h = 1.0 - a + a * x.disturbed[at];
                x.log_background[at] = h;
                let wait = self.egress(&x.ratios, at / s, k).unwrap_or(1.0);
                product *= h * (1.0 - a + a * wait);
                keep_in_range(&mut product, &mut log);
            }
            *background += log + product.ln();
        }
        let log = &mut x.log;
        for v in [
            &mut log.resource,
            &mut log.load,
            &mut log.disturbed,
            &mut log.code,
        ] {
            ln_all(v, self.level);
        }
    }

    /// Fill the log factors of every component in each class, and of an alarm that no fault explains.
    pub(super) fn fill_classes(&self, theta: &Natural, x: &mut VitalScratch) {
        let (a, s, known) = (theta.vital_rate, self.s, x.log_background.len());
        for class in (1..N_CLASSES).filter(|c| self.classes >> c & 1 == 1) {
            let rate = Reach::new(theta, class).rate;
            let out = &mut x.in_class[class * known..][..known];
            self.fill_class(rate, &x.disturbed, &x.log_background, out);
        }
        for steps in 1..3 {
            let out = &mut x.in_load_class[steps * known..][..known];
            self.fill_class(load_rate(a, steps), &x.disturbed, &x.log_background, out);
            let r = wait_rate(a, steps);
            for (at, out) in x.waits[steps * known..][..known].iter_mut().enumerate() {
                let wait = self.egress(&x.ratios, at / s, at % s).unwrap_or(1.0);
                *out = (1.0 - r + r * wait) / (1.0 - a + a * wait);
            }
        }
        if let Some(t) = self.alarm.filter(|&t| self.first[t] < self.first[t + 1]) {
            for (k, alone) in x.log.alone.iter_mut().enumerate() {
                let at = t * s + k;
                let mixed = self.mixed(t, a, x.disturbed[at]).0;
                *alone = (mixed / x.log_background[at]).ln();
            }
        }
        let tables = [&mut x.in_class, &mut x.in_load_class, &mut x.waits];
        for v in tables.into_iter().chain([&mut x.log_background]) {
            ln_all(v, self.level);
        }
    }

    /// Probability ratio of every component that is disturbed at a rate, over the background.
    fn fill_class(&self, rate: f64, disturbed: &[f64], background: &[f64], out: &mut [f64]) {
        let ratios = out.iter_mut().zip(disturbed.iter().zip(background));
        dispatch!(self.level, _ => ratios.for_each(|(out, (p, h))| *out = (1.0 - rate + rate * p) / h));
        for at in self
            .alarm
            .into_iter()
            .flat_map(|t| t * self.s..(t + 1) * self.s)
        {
            if let Some(out) = out.get_mut(at) {
                *out = self.mixed(at / self.s, rate, disturbed[at]).0 / background[at];
            }
        }
    }
}
