//! The gradient against central finite differences, on random incidents with cycles, counts, doses, gaps, states, onsets,
//! spans and sets of several causes.

use bayesrca_core::{
    Evidence, FamilyEvidence, Likelihood, MAX_CAUSES, N_PARAMETERS, N_VITALS, STATE, TraceEvidence,
    VitalEvidence, Workspace,
};
use proptest::prelude::*;

/// A small deterministic generator, so that a failing case is a seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ (x >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.next()
    }
}

fn family(r: &mut Random, n: usize, s: usize, edges: &[(usize, usize)]) -> FamilyEvidence {
    let mut e = FamilyEvidence::silent(n, s, edges.to_vec());
    for i in 0..n {
        match (r.next() * 4.0).floor() as u32 {
            0 => {}
            1 => {
                for k in i * s..(i + 1) * s {
                    e.log_quiet[k] = r.between(-9.0, -0.1);
                    e.log_wide[k] = r.between(-9.0, -0.1);
                    e.log_affected[k] = r.between(-9.0, -0.1);
                    e.dose[k] = r.between(-1.0, 3.0);
                    e.dose_low[k] = if r.next() < 0.3 {
                        f64::NEG_INFINITY
                    } else {
                        e.dose[k] - 0.3
                    };
                    e.dose_high[k] = e.dose[k] + 0.2;
                    e.dose_noise[k] = r.between(0.1, 1.0);
                }
            }
            kind => {
                let series = if kind == 2 { 1 } else { 3 };
                for _ in 0..series {
                    e.series_component.push(i);
                    for _ in 0..s {
                        e.z.push(if r.next() < 0.1 {
                            f64::NAN
                        } else {
                            r.between(-3.0, 25.0)
                        });
                    }
                }
                if kind == 2 && r.next() < 0.8 {
                    for k in i * s..(i + 1) * s {
                        e.dose[k] = r.between(-1.0, 3.0);
                        e.dose_noise[k] = r.between(0.1, 1.0);
                        e.dose_jacobian[k] = r.between(0.1, 1.5);
                        e.dose_low[k] = r.between(-1.0, 0.5);
                    }
                }
            }
        }
    }
    e
}

fn vitals(r: &mut Random, n: usize, s: usize, demand: Vec<(usize, usize)>) -> VitalEvidence {
    let mut e = VitalEvidence {
        demand,
        window: 60.0,
        ..VitalEvidence::default()
    };
    if r.next() < 0.6 {
        for _ in 0..n {
            e.onset.push(if r.next() < 0.7 {
                r.between(0.0, 60.0)
            } else {
                f64::NAN
            });
            e.onset_error.push(r.between(0.5, 8.0));
        }
    }
    for i in 0..n {
        for v in 0..N_VITALS {
            let series = [0, 0, 1, 3][(r.next() * 4.0) as usize];
            for _ in 0..series {
                e.component.push(i);
                e.family.push(v);
                for _ in 0..s {
                    let missing = r.next() < 0.1;
                    let (mut z, mut fault, mut disturbed) = (f64::NAN, f64::NAN, f64::NAN);
                    if v == STATE && !missing {
                        (fault, disturbed) = (r.between(-3.0, 4.0), r.between(-2.0, 2.0));
                    } else if !missing {
                        let still = r.next() < 0.1;
                        z = if still { 0.0 } else { r.between(-20.0, 30.0) };
                    }
                    e.z.push(z);
                    e.log_fault.push(fault);
                    e.log_disturbed.push(disturbed);
                }
            }
        }
    }
    e
}

fn random_edges(r: &mut Random, n: usize) -> Vec<(usize, usize)> {
    let mut edges = Vec::new();
    for a in 0..n {
        for b in 0..n {
            if a != b && r.next() < 1.6 / n as f64 {
                edges.push((a, b));
            }
        }
    }
    edges
}

fn incident(seed: u64) -> Evidence {
    let mut r = Random(seed);
    let n = 2 + (r.next() * 7.0) as usize;
    let s = 1 + (r.next() * 3.0) as usize;
    let edges = random_edges(&mut r, n);
    let demand = random_edges(&mut r, n);
    let target = if r.next() < 0.8 {
        Some((r.next() * n as f64) as usize)
    } else {
        None
    };
    Evidence {
        n_components: n,
        footprint_log_prior: vec![-(s as f64).ln(); s],
        target,
        alarm_family: target.map(|_| (r.next() * 2.0) as usize),
        alarm_in_vitals: target.is_some() && r.next() < 0.4,
        root_log_factor: (0..n * s)
            .map(|_| {
                if r.next() < 0.2 {
                    -r.between(0.0, 3.0)
                } else {
                    0.0
                }
            })
            .collect(),
        root_log_prior: (0..n).map(|_| r.between(-2.0, 2.0)).collect(),
        crash_log_ratio: (0..n * s)
            .map(|_| {
                if r.next() < 0.3 {
                    r.between(-3.0, 3.0)
                } else {
                    0.0
                }
            })
            .collect(),
        families: [family(&mut r, n, s, &edges), family(&mut r, n, s, &edges)],
        vitals: if r.next() < 0.7 {
            vitals(&mut r, n, s, demand)
        } else {
            VitalEvidence::default()
        },
        traces: (r.next() < 0.6).then(|| traces(&mut r, n)),
        alert_log_ratio: if r.next() < 0.5 {
            (0..n).map(|_| r.between(-4.0, 8.0)).collect()
        } else {
            Vec::new()
        },
    }
}

fn traces(r: &mut Random, n: usize) -> TraceEvidence {
    let edges = random_edges(r, n);
    let cells = |r: &mut Random, length: usize| -> Vec<f64> {
        let mut one = || {
            if r.next() < 0.2 {
                f64::NAN
            } else {
                r.between(-6.0, 15.0)
            }
        };
        (0..length).map(|_| one()).collect()
    };
    TraceEvidence {
        own_pattern: cells(r, n),
        own_self_time: cells(r, n),
        gap: cells(r, edges.len()),
        terminal: cells(r, edges.len()),
        order: cells(r, edges.len()),
        edges,
    }
}

/// The pairs among the first three components, and all three.
fn sets(n: usize) -> Vec<Vec<usize>> {
    let all = [vec![0, 1], vec![0, 2], vec![1, 2], vec![0, 1, 2]];
    all.into_iter()
        .filter(|set| set.iter().all(|&i| i < n))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn gradient_matches_finite_differences(seed in any::<u64>()) {
        let evidence = incident(seed);
        let mut likelihood = Likelihood::new(&evidence, 0.05, 14).unwrap();
        if seed % 3 > 0 {
            likelihood.add_sets(sets(evidence.n_components), MAX_CAUSES).unwrap();
        }
        let mut w = Workspace::default();
        let mut r = Random(seed ^ 1);
        let mut theta = [0.0; N_PARAMETERS];
        for u in &mut theta {
            *u = r.between(-1.5, 1.5);
        }
        let (logp, gradient) = likelihood.logp_grad(&theta, &mut w);
        prop_assert!(logp.is_finite());
        for i in 0..N_PARAMETERS {
            let at = |d: f64, w: &mut Workspace| {
                let mut t = theta;
                t[i] += d;
                likelihood.logp(&t, w)
            };
            let h = 1e-5;
            let fd = (at(h, &mut w) - at(-h, &mut w)) / (2.0 * h);
            prop_assert!((fd - gradient[i]).abs() < 1e-6 * (1.0 + fd.abs()) + 1e-8 * logp.abs(), "theta[{i}]: {fd} against {}", gradient[i]);
        }
    }

    #[test]
    fn root_posterior_is_a_distribution(seed in any::<u64>()) {
        let likelihood = Likelihood::new(&incident(seed), 0.05, 14).unwrap();
        let mut out = vec![0.0; likelihood.n_hypotheses()];
        let logp = likelihood.root_log_posterior(&[0.2; N_PARAMETERS], &mut Workspace::default(), &mut out);
        prop_assert!((out.iter().map(|l| l.exp()).sum::<f64>() - 1.0).abs() < 1e-12);
        prop_assert_eq!(logp.to_bits(), likelihood.logp(&[0.2; N_PARAMETERS], &mut Workspace::default()).to_bits());
    }
}
