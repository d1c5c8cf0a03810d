//! Cost of a marginal contribution in each Shapley kernel, on games with 20, 50 and 200 players.
//!
//! `cargo bench -p bayesrca-core --bench shapley` (or `make bench`). One iteration values 32 random orders, or 1,024
//! live-edge worlds; the throughput criterion prints is marginal contributions (for `live_edge`: worlds) per second.
//! The games: random graphs with up to 4 parents per node, every node an ancestor of the target; 1,024 baseline samples;
//! call trees of two stages. `orders` is the generation of Sobol orders by itself: an estimate of a game that costs
//! nothing. The `threads` group compares a whole estimate on one and two threads; `accuracy` prints how long each game
//! with 50 players takes to a relative error of 1%.
//!
//! Nanoseconds of CPU time per marginal contribution (per world for `live_edge`) on one thread of a shared, loaded
//! Zen 5 core with AVX-512, first deciles; in brackets the same kernels before they were compiled for the machine at
//! hand (SSE2), measured alternately in the same process:
//!
//! | kernel | 20 | 50 | 200 players |
//! |---|---|---|---|
//! | `sampled_tail` (1,024 samples) | 24 (72) | 23 (70) | 25 (73) |
//! | `gaussian_tail` | 5.1 (21) | 4.7 (19) | 4.6 (20) |
//! | `nonlinear_tail` (1,024 samples) | 750 (2,750) | 1,360 (4,980) | 3,460 (12,200) |
//! | `noisy_or` | 23 (23) | 43 (42) | 94 (200) |
//! | `interaction` (pairs and triples) | 15 (13) | 16 (18) | 33 (77) |
//! | `call_tree` | 14 (13) | 15 (15) | 31 (29) |
//! | `live_edge`, per world | 11 (34) | 15 (51) | 73 (362) |

use std::hint::black_box;
use std::time::Instant;

use bayesrca_core::game::{Game, Walk};
use bayesrca_core::shapley::games::{
    CallTreeGame, GaussianTailGame, InteractionGame, LiveEdgeGame, NoisyOrGame, NonlinearTailGame,
    SampledTailGame, Span, Tail,
};
use bayesrca_core::shapley::{
    Estimate, Method, Options, compute_shapley, estimate_shapley, unwatched,
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const SIZES: [usize; 3] = [20, 50, 200];
const ORDERS: usize = 32;
const SAMPLES: usize = 1024;

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

    fn below(&mut self, n: usize) -> usize {
        (self.next() * n as f64) as usize
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.next()).sum::<f64>() - 6.0
    }

    /// Node j has 1 to 4 parents among the earlier ones, 2 on average; everything reaches the last node.
    fn dag(&mut self, n: usize) -> Vec<(usize, usize)> {
        let mut edges = Vec::new();
        for j in 1..n {
            let parents = [1, 1, 1, 2, 2, 2, 3, 4][self.below(8)];
            edges.extend((0..parents.min(j)).map(|_| (self.below(j), j)));
        }
        for i in 0..n - 1 {
            if !edges.iter().any(|e| e.0 == i) {
                edges.push((i, i + 1 + self.below(n - 1 - i)));
            }
        }
        edges.sort_unstable();
        edges.dedup();
        edges
    }

    /// Weights between 0.4 and 1 over the root of the number of parents.
    fn linear_model(&mut self, n: usize) -> Vec<(usize, usize, f64)> {
        let edges = self.dag(n);
        let parents = |j: usize| edges.iter().filter(|e| e.1 == j).count() as f64;
        let weight = |r: &mut Self, j| (0.4 + 0.6 * r.next()) / parents(j).sqrt();
        edges
            .iter()
            .map(|&(i, j)| (i, j, weight(self, j)))
            .collect()
    }

    /// Observed noise with some root causes.
    fn observed(&mut self, n: usize) -> Vec<f64> {
        let mut noise: Vec<f64> = (0..n).map(|_| self.normal()).collect();
        for _ in 0..2.max(n / 10) {
            let i = self.below(n);
            noise[i] = 3.0 + 2.0 * self.next();
        }
        noise
    }

    fn noise(&mut self, n: usize) -> Vec<f64> {
        (0..n * SAMPLES).map(|_| self.normal()).collect()
    }
}

fn sampled_tail(n: usize) -> SampledTailGame {
    let mut r = Random(1000 + n as u64);
    let (edges, observed, noise) = (r.linear_model(n), r.observed(n), r.noise(n));
    SampledTailGame::new(n, &edges, n - 1, &observed, &noise, Tail::Upper).expect("a legal model")
}

fn gaussian_tail(n: usize) -> GaussianTailGame {
    let mut r = Random(1000 + n as u64);
    let (edges, observed) = (r.linear_model(n), r.observed(n));
    let (zero, one) = (vec![0.0; n], vec![1.0; n]);
    GaussianTailGame::new(n, &edges, n - 1, &observed, &zero, &one, Tail::Upper)
        .expect("a legal model")
}

fn nonlinear_tail(n: usize) -> NonlinearTailGame {
    let mut r = Random(1000 + n as u64);
    let (edges, observed, noise) = (r.linear_model(n), r.observed(n), r.noise(n));
    NonlinearTailGame::new(&edges, n - 1, &vec![0.3; n], &observed, &noise, Tail::Upper)
        .expect("a legal model")
}

type NoisyOr = (Vec<(usize, usize, f64)>, Vec<f64>, Vec<f64>);

fn noisy_or_model(n: usize) -> NoisyOr {
    let mut r = Random(2000 + n as u64);
    let edges = r
        .dag(n)
        .into_iter()
        .map(|(i, j)| (i, j, 0.3 + 0.6 * r.next()))
        .collect();
    let activation = (0..n).map(|_| 0.6 + 0.35 * r.next()).collect();
    (edges, vec![0.002; n], activation)
}

fn noisy_or(n: usize) -> NoisyOrGame {
    let (edges, leak, activation) = noisy_or_model(n);
    NoisyOrGame::new(n, &edges, n - 1, &leak, &activation).expect("a legal model")
}

fn live_edge(n: usize) -> LiveEdgeGame {
    let (edges, leak, activation) = noisy_or_model(n);
    LiveEdgeGame::new(n, &edges, n - 1, &leak, &activation).expect("a legal model")
}

fn interaction(n: usize) -> InteractionGame {
    let mut r = Random(3000 + n as u64);
    let single = (0..n).map(|_| -r.next().ln()).collect();
    let mut pair = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..i {
            pair[i * n + j] = r.normal() / (n as f64).sqrt();
            pair[j * n + i] = pair[i * n + j];
        }
    }
    let triples = (0..2 * n)
        .map(|_| {
            let (i, j) = (r.below(n - 2), 1 + r.below(n / 2));
            (i, (i + j) % n, (i + j + n / 2 - 1) % n, 0.5 * r.normal())
        })
        .filter(|&(i, j, k, _)| i != j && j != k && i != k)
        .collect();
    InteractionGame::new(0.0, single, pair, triples).expect("a legal game")
}

fn call_tree(n: usize) -> CallTreeGame {
    let mut r = Random(4000 + n as u64);
    let spans: Vec<Span> = (0..n)
        .map(|i| {
            let baseline = (0.6 * r.normal()).exp();
            let hot = if r.next() < 0.2 {
                (1.2 + 0.5 * r.normal()).exp()
            } else {
                1.0
            };
            Span {
                parent: (i > 0).then(|| (i - 1) / 3 + r.below(i / 2 + 1 - (i - 1) / 3)),
                stage: r.below(2),
                baseline,
                observed: baseline * (0.85 + 0.35 * r.next()) * hot,
            }
        })
        .collect();
    CallTreeGame::new(&spans).expect("a legal tree")
}

fn random_orders(players: &[u32]) -> Vec<u32> {
    let mut r = Random(7);
    let mut orders = Vec::new();
    for _ in 0..ORDERS {
        let mut order = players.to_vec();
        for i in (1..order.len()).rev() {
            order.swap(i, r.below(i + 1));
        }
        orders.extend(order);
    }
    orders
}

fn walks<G: Game>(c: &mut Criterion, name: &str, build: impl Fn(usize) -> G) {
    let mut group = c.benchmark_group(name);
    for n in SIZES {
        let game = build(n);
        let orders = random_orders(&game.active_players());
        let mut values = vec![0.0; orders.len()];
        let mut walk = game.walk();
        group.throughput(Throughput::Elements(orders.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(n), |b| {
            b.iter(|| walk.along(black_box(&orders), orders.len() / ORDERS, &mut values));
        });
    }
    group.finish();
}

fn kernels(c: &mut Criterion) {
    walks(c, "sampled_tail", sampled_tail);
    walks(c, "gaussian_tail", gaussian_tail);
    walks(c, "nonlinear_tail", nonlinear_tail);
    walks(c, "noisy_or", noisy_or);
    walks(c, "interaction", interaction);
    walks(c, "call_tree", call_tree);
}

fn in_pool<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .expect("a pool");
    pool.install(work)
}

fn worlds(c: &mut Criterion) {
    let mut group = c.benchmark_group("live_edge");
    for n in SIZES {
        let game = live_edge(n);
        let options = Options {
            budget: Some(1024),
            ..Options::new(1)
        };
        group.throughput(Throughput::Elements(1024));
        group.bench_function(BenchmarkId::from_parameter(n), |b| {
            in_pool(1, || {
                b.iter(|| game.estimate_shapley(black_box(&options), &mut unwatched));
            });
        });
    }
    group.finish();
}

/// A game that costs nothing.
struct Free(usize);

#[derive(Clone)]
struct FreeWalk(f64);

impl Game for Free {
    type Walk<'a> = FreeWalk;
    fn n_players(&self) -> usize {
        self.0
    }
    fn walk(&self) -> FreeWalk {
        FreeWalk(0.0)
    }
}

impl Walk for FreeWalk {
    fn start(&mut self) -> f64 {
        self.0 = 0.0;
        0.0
    }
    fn add(&mut self, _: usize) -> f64 {
        self.0 += 1.0;
        self.0
    }
}

/// Whole estimates at the default effort: orders, walks and errors.
fn estimates(c: &mut Criterion) {
    let sampled = Options {
        method: Method::Sampled,
        ..Options::new(1)
    };
    let mut group = c.benchmark_group("orders");
    for n in SIZES {
        group.throughput(Throughput::Elements(16 * 64 * n as u64));
        group.bench_function(BenchmarkId::from_parameter(n), |b| {
            in_pool(1, || {
                b.iter(|| estimate_shapley(&Free(n), black_box(&sampled), &mut unwatched));
            });
        });
    }
    group.finish();
    let mut group = c.benchmark_group("estimate_sampled_tail");
    let game = sampled_tail(200);
    group.throughput(Throughput::Elements(16 * 64 * 200));
    for threads in [1, 2] {
        group.bench_function(BenchmarkId::new("threads", threads), |b| {
            in_pool(threads, || {
                b.iter(|| estimate_shapley(&game, black_box(&sampled), &mut unwatched));
            });
        });
    }
    group.finish();
    let mut group = c.benchmark_group("enumerate_call_tree");
    let game = call_tree(16);
    group.throughput(Throughput::Elements(1 << 16));
    group.bench_function("16", |b| {
        in_pool(1, || {
            b.iter(|| compute_shapley(&game, &mut unwatched));
        });
    });
    group.finish();
}

/// One estimate with about 16 times the default effort, on one thread: error relative to the root mean square of the
/// values, and the time to 1% if the error falls with the root of the effort.
fn report(name: &str, run: impl Fn() -> bayesrca_core::Result<Estimate> + Sync) {
    let (estimate, seconds) = in_pool(1, || {
        let start = Instant::now();
        (run().expect("a legal game"), start.elapsed().as_secs_f64())
    });
    let rms = |values: &[f64]| values.iter().map(|v| v * v).sum::<f64>().sqrt();
    let error = rms(&estimate.std_err) / rms(&estimate.values);
    println!(
        "accuracy/{name}/50: {:.2}% after {:.1} ms, 1% after {:.3} ms ({})",
        100.0 * error,
        1e3 * seconds,
        1e3 * seconds * (100.0 * error).powi(2),
        estimate.rule
    );
}

fn accuracy(_: &mut Criterion) {
    fn sampled<G: Game>(name: &str, game: &G) {
        let budget = Some(16 * 1024 * game.active_players().len() as u64);
        let options = Options {
            budget,
            method: Method::Sampled,
            ..Options::new(1)
        };
        report(name, || estimate_shapley(game, &options, &mut unwatched));
    }
    sampled("sampled_tail", &sampled_tail(50));
    sampled("gaussian_tail", &gaussian_tail(50));
    sampled("noisy_or", &noisy_or(50));
    sampled("interaction", &interaction(50));
    sampled("call_tree", &call_tree(50));
    let options = Options {
        budget: Some(1 << 20),
        ..Options::new(1)
    };
    report("live_edge", || {
        live_edge(50).estimate_shapley(&options, &mut unwatched)
    });
}

criterion_group!(benches, kernels, worlds, estimates, accuracy);
criterion_main!(benches);
