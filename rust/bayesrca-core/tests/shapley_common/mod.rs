//! Helpers shared by the tests of the Shapley engine.
#![allow(dead_code, reason = "each test binary uses a part")]

use bayesrca_core::game::{Coalition, Game};
use bayesrca_core::shapley::{
    Estimate, Method, Options, compute_shapley, estimate_shapley, unwatched,
};

/// A small deterministic generator, so that a failing case is a seed.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ (x >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.next()
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() * n as f64) as usize
    }

    /// Roughly normal: the sum of 12 uniforms.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.next()).sum::<f64>() - 6.0
    }

    /// Up to 4 earlier parents per node; every node reaches the last one unless `loose`.
    pub fn dag(&mut self, n: usize, loose: bool) -> Vec<(usize, usize)> {
        let mut edges = Vec::new();
        for j in 1..n {
            for _ in 0..=self.below(3) {
                edges.push((self.below(j), j));
            }
        }
        for i in 0..n - 1 {
            if !loose && !edges.iter().any(|e| e.0 == i) {
                edges.push((i, i + 1 + self.below(n - 1 - i)));
            }
        }
        edges.sort_unstable();
        edges.dedup();
        edges
    }
}

/// Shapley values straight from the definition, one `value` call per coalition.
pub fn by_definition<G: Game>(game: &G) -> Vec<f64> {
    let n = game.n_players();
    let value: Vec<f64> = (0..1usize << n)
        .map(|s| game.value(&Coalition::of(n, (0..n).filter(|i| s >> i & 1 == 1))))
        .collect();
    let factorial = |k: usize| (1..=k).map(|x| x as f64).product::<f64>();
    (0..n)
        .map(|i| {
            (0..1usize << n)
                .filter(|s| s >> i & 1 == 0)
                .map(|s: usize| {
                    let size = s.count_ones() as usize;
                    let weight = factorial(size) * factorial(n - size - 1) / factorial(n);
                    weight * (value[s | 1 << i] - value[s])
                })
                .sum()
        })
        .collect()
}

pub fn exact<G: Game>(game: &G) -> Estimate {
    compute_shapley(game, &mut unwatched).unwrap()
}

pub fn sampled<G: Game>(game: &G, options: Options) -> Estimate {
    let options = Options {
        method: Method::Sampled,
        ..options
    };
    estimate_shapley(game, &options, &mut unwatched).unwrap()
}

pub fn in_pool<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap();
    pool.install(work)
}

pub fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits()).collect()
}

#[track_caller]
pub fn assert_close(a: &[f64], b: &[f64], tolerance: f64) {
    assert_eq!(a.len(), b.len());
    for (i, (x, y)) in a.iter().zip(b).enumerate() {
        assert!((x - y).abs() <= tolerance, "player {i}: {x} against {y}");
    }
}

/// Exact values agree with the definition; a sampled estimate covers them and is efficient.
#[track_caller]
pub fn check_game<G: Game>(game: &G, tolerance: f64) {
    let truth = by_definition(game);
    let estimate = exact(game);
    assert_close(&estimate.values, &truth, tolerance);
    let size = truth.iter().map(|v| v.abs()).sum::<f64>() + estimate.grand.abs();
    assert!(estimate.efficiency_gap().abs() <= 1e-11 * (1.0 + size));
    assert!((estimate.grand - game.grand()).abs() <= 1e-11 * (1.0 + size));
    let walks = 16 * 128 * game.active_players().len() as u64;
    let estimate = sampled(
        game,
        Options {
            budget: Some(walks),
            ..Options::new(5)
        },
    );
    assert!(
        estimate.efficiency_gap().abs() <= 1e-10 * (1.0 + size),
        "{estimate:?}"
    );
    for i in 0..truth.len() {
        // 16 units: 8 standard errors of a t with 15 degrees of freedom are beyond one in a million.
        let error = (estimate.values[i] - truth[i]).abs();
        assert!(
            error <= 8.0 * estimate.std_err[i] + 1e-9 * (1.0 + size),
            "player {i}: {error} {estimate:?}"
        );
    }
}
