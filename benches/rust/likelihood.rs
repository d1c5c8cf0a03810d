//! Cost of the likelihood: value and gradient, by number of components and of footprints.
//!
//! `cargo bench -p bayesrca-core` (or `make bench`). Incidents are synthetic: a call graph in which every component
//! calls up to three later ones, latency series on three quarters of the components, failure counts on half,
//! all of them with doses or none. What a dose factor costs is the difference of the two over their number.

use std::hint::black_box;

use bayesrca_core::{
    Evidence, FamilyEvidence, Graph, Likelihood, N_PARAMETERS, VitalEvidence, Workspace,
};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

/// A small deterministic generator (`SplitMix64`).
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ (x >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn incident(n: usize, s: usize, doses: bool) -> Evidence {
    let mut r = Random(n as u64);
    let mut edges = Vec::new();
    for callee in 1..n {
        // Callers lie close before their callees, as in layered systems.
        for _ in 0..=usize::from(r.next() < 0.15) {
            let back = 1 + (r.next() * r.next() * callee as f64) as usize;
            edges.push((callee, callee - back.min(callee)));
        }
    }
    let mut families = [
        FamilyEvidence::silent(n, s, edges.clone()),
        FamilyEvidence::silent(n, s, edges),
    ];
    for i in 0..n {
        if r.next() < 0.75 {
            let e = &mut families[0];
            e.series_component.push(i);
            for k in i * s..(i + 1) * s {
                let z = if r.next() < 0.1 {
                    20.0 * r.next()
                } else {
                    2.0 * r.next() - 1.0
                };
                e.z.push(z);
                let noise = 0.2 + r.next();
                if doses {
                    (e.dose[k], e.dose_noise[k]) = (0.3 * z, noise);
                    (e.dose_jacobian[k], e.dose_low[k]) = (0.3, 0.6);
                }
            }
        }
        if r.next() < 0.5 {
            let e = &mut families[1];
            for k in i * s..(i + 1) * s {
                (e.log_quiet[k], e.log_wide[k], e.log_affected[k]) =
                    (-0.5 - r.next(), -2.0, -3.0 * r.next());
                if doses {
                    (e.dose[k], e.dose_noise[k]) = (-1.0, 0.7);
                    (e.dose_low[k], e.dose_high[k]) = (f64::NEG_INFINITY, 0.0);
                }
            }
        }
    }
    Evidence {
        n_components: n,
        footprint_log_prior: vec![-(s as f64).ln(); s],
        target: Some(0),
        alarm_family: Some(0),
        alarm_in_vitals: false,
        crash_log_ratio: Vec::new(),
        root_log_prior: Vec::new(),
        root_log_factor: vec![0.0; n * s],
        families,
        vitals: VitalEvidence::default(),
        traces: None,
        alert_log_ratio: Vec::new(),
    }
}

/// Doses compared with a root's, over all roots, families and footprints.
fn dose_factors(e: &Evidence) -> usize {
    let s = e.n_footprints();
    let of_family = |f: &FamilyEvidence| -> usize {
        let graph = Graph::new(e.n_components, &f.edges);
        let dosed = |i: &usize| !f.dose[i * s].is_nan();
        (0..e.n_components)
            .filter(dosed)
            .map(|root| graph.reachable(root).iter().filter(|i| dosed(i)).count() * s)
            .sum()
    };
    e.families.iter().map(of_family).sum()
}

fn logp_grad(c: &mut Criterion) {
    let mut group = c.benchmark_group("logp_grad");
    let sizes = [
        (50, 1, true),
        (50, 1, false),
        (44, 14, true),
        (44, 14, false),
        (200, 14, true),
        (1000, 1, true),
    ];
    for (n, s, doses) in sizes {
        let evidence = incident(n, s, doses);
        let likelihood = Likelihood::new(&evidence, 0.05, 16).expect("a legal incident");
        let without = if doses { "" } else { "_without_doses" };
        println!(
            "{n} components, {s} footprints: {} dose factors",
            dose_factors(&evidence)
        );
        let mut w = Workspace::default();
        let theta = [-1.0; N_PARAMETERS];
        group.bench_function(
            BenchmarkId::from_parameter(format!("{n}_components_{s}_footprints{without}")),
            |b| {
                b.iter(|| likelihood.logp_grad(black_box(&theta), &mut w));
            },
        );
    }
    group.finish();
}

criterion_group!(benches, logp_grad);
criterion_main!(benches);
