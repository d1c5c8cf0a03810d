//! Noisy-OR games in both readings: independent parents and live edges.

mod shapley_common;

use bayesrca_core::Error;
use bayesrca_core::game::{Coalition, Game};
use bayesrca_core::shapley::games::{LiveEdgeGame, NoisyOrGame};
use bayesrca_core::shapley::{Control, Estimate, Options, Rule, Tolerance, unwatched};
use shapley_common::{Random, assert_close, check_game, exact, in_pool, sampled};

type Edges = Vec<(usize, usize, f64)>;

fn noisy_or(seed: u64, n: usize, loose: bool) -> (Edges, Vec<f64>, Vec<f64>) {
    let mut r = Random(seed);
    let edges = r
        .dag(n, loose)
        .into_iter()
        .map(|(i, j)| (i, j, r.between(0.3, 0.9)))
        .collect();
    let activation = (0..n).map(|_| r.between(0.6, 0.95)).collect();
    (edges, vec![0.01; n], activation)
}

fn noisy_or_game(seed: u64, n: usize, loose: bool) -> NoisyOrGame {
    let (edges, leak, activation) = noisy_or(seed, n, loose);
    NoisyOrGame::new(n, &edges, n - 1, &leak, &activation).unwrap()
}

#[test]
fn noisy_or_matches_its_recursion_and_enumeration() {
    let (edges, leak, activation) = noisy_or(3, 10, false);
    let game = NoisyOrGame::new(10, &edges, 9, &leak, &activation).unwrap();
    for s in (0..1024usize).step_by(11) {
        let mut p = [0.0; 10];
        for j in 0..10 {
            let own = if s >> j & 1 == 1 {
                1.0 - activation[j]
            } else {
                1.0
            };
            let quiet: f64 = edges
                .iter()
                .filter(|e| e.1 == j)
                .map(|e| 1.0 - e.2 * p[e.0])
                .product();
            p[j] = 1.0 - (1.0 - leak[j]) * own * quiet;
        }
        let coalition = Coalition::of(10, (0..10).filter(|i| s >> i & 1 == 1));
        assert_close(&[game.value(&coalition)], &[p[9]], 1e-14);
    }
    // Shared ancestors: estimators that treat the graph as a tree are efficient and wrong here.
    for n in [10, 12] {
        check_game(&noisy_or_game(n as u64, n, n == 12), 1e-13);
    }
}

/// The same game without its control variate.
struct Plain(NoisyOrGame);

impl Game for Plain {
    type Walk<'a> = <NoisyOrGame as Game>::Walk<'a>;
    fn n_players(&self) -> usize {
        self.0.n_players()
    }
    fn walk(&self) -> Self::Walk<'_> {
        self.0.walk()
    }
}

#[test]
fn the_control_variate_cuts_the_error() {
    let game = noisy_or_game(20, 20, false);
    let with = sampled(&game, Options::new(1));
    let without = sampled(&Plain(game.clone()), Options::new(1));
    let size = |e: &Estimate| e.std_err.iter().map(|s| s * s).sum::<f64>();
    assert!(
        size(&with) * 10.0 < size(&without),
        "{} {}",
        size(&with),
        size(&without)
    );
    let truth = exact(&game);
    for i in 0..20 {
        assert!((with.values[i] - truth.values[i]).abs() <= 8.0 * with.std_err[i]);
    }
}

#[test]
fn bad_noisy_ors_are_named() {
    let p = [0.5, 0.5];
    let ok = |edges: &[(usize, usize, f64)], leak: &[f64], target| {
        let dp = NoisyOrGame::new(2, edges, target, leak, &p).is_ok();
        (dp, LiveEdgeGame::new(2, edges, target, leak, &p).is_ok())
    };
    assert_eq!(ok(&[(0, 1, 0.5)], &p, 1), (true, true));
    assert_eq!(ok(&[(0, 1, 0.5), (1, 0, 0.5)], &p, 1), (false, true));
    for edge in [(0, 1, 1.5), (0, 1, f64::NAN), (0, 2, 0.5)] {
        assert_eq!(ok(&[edge], &p, 1), (false, false));
    }
    assert_eq!(ok(&[], &[0.5, -0.1], 1), (false, false));
    assert_eq!(ok(&[], &[0.5], 1), (false, false));
    assert_eq!(ok(&[], &p, 2), (false, false));
}

/// Shapley values, baseline and grand value of a live-edge game, from all worlds and the definition.
fn all_worlds(
    n: usize,
    edges: &Edges,
    target: usize,
    leak: &[f64],
    activation: &[f64],
) -> (Vec<f64>, f64, f64) {
    let mut table = vec![0.0; 1 << n];
    for live in 0..1usize << edges.len() {
        let chance: f64 = (0..edges.len())
            .map(|e| {
                if live >> e & 1 == 1 {
                    edges[e].2
                } else {
                    1.0 - edges[e].2
                }
            })
            .product();
        let mut reach = 1usize << target;
        for _ in 0..n {
            for (e, &(from, to, _)) in edges.iter().enumerate() {
                reach |= (live >> e & reach >> to & 1) << from;
            }
        }
        for (s, value) in table.iter_mut().enumerate() {
            let spared: f64 = (0..n)
                .filter(|i| reach >> i & 1 == 1)
                .map(|i| {
                    (1.0 - leak[i])
                        * if s >> i & 1 == 1 {
                            1.0 - activation[i]
                        } else {
                            1.0
                        }
                })
                .product();
            *value += chance * (1.0 - spared);
        }
    }
    let e = bayesrca_core::shapley::shapley_of_table(n, &table).unwrap();
    (e.values, e.baseline, e.grand)
}

#[test]
fn live_edges_match_all_worlds_even_in_cycles() {
    let cyclic = vec![
        (0, 1, 0.7),
        (1, 2, 0.5),
        (2, 0, 0.6),
        (2, 3, 0.8),
        (3, 4, 0.4),
        (4, 3, 0.9),
        (3, 5, 0.5),
        (1, 4, 0.3),
        (5, 2, 0.35),
        (0, 1, 0.2),
        (5, 5, 0.5),
        (3, 6, 0.9),
    ];
    let (acyclic, ..) = noisy_or(4, 7, true);
    for (seed, edges) in [(1, cyclic), (2, acyclic)] {
        let mut r = Random(seed);
        let leak: Vec<f64> = (0..7)
            .map(|i| if i == 4 { 0.0 } else { r.between(0.0, 0.1) })
            .collect();
        let activation: Vec<f64> = (0..7)
            .map(|i| if i == 1 { 0.0 } else { r.between(0.5, 1.0) })
            .collect();
        let (truth, baseline, grand) = all_worlds(7, &edges, 5, &leak, &activation);
        let game = LiveEdgeGame::new(7, &edges, 5, &leak, &activation).unwrap();
        let options = Options {
            budget: Some(1 << 18),
            ..Options::new(seed)
        };
        let e = game.estimate_shapley(&options, &mut unwatched).unwrap();
        assert_eq!(
            (e.rule, e.n_evaluations, e.n_units),
            (Rule::WorldInterval, 1 << 18, 1 << 12)
        );
        for i in 0..7 {
            assert!(
                (e.values[i] - truth[i]).abs() <= 5.0 * e.std_err[i],
                "{i}: {e:?} {truth:?}"
            );
        }
        assert_eq!((e.values[1].to_bits(), e.values[6].to_bits()), (0, 0));
        assert!(e.efficiency_gap().abs() < 1e-12);
        assert!((e.baseline - baseline).abs() < 0.005 && (e.grand - grand).abs() < 0.005);
    }
}

#[test]
fn certain_worlds_are_exact() {
    // 0 -> 2 <- 1, all certain: 0, 1 and 2 always reach.
    let game = LiveEdgeGame::new(3, &[(0, 2, 1.0), (1, 2, 1.0)], 2, &[0.0; 3], &[1.0; 3]).unwrap();
    let e = game
        .estimate_shapley(&Options::new(1), &mut unwatched)
        .unwrap();
    assert_close(&e.values, &[1.0 / 3.0; 3], 1e-13);
    assert_eq!((e.baseline, e.grand), (0.0, 1.0));
    assert!(e.std_err.iter().all(|&s| s < 1e-15));
}

#[test]
fn live_edges_stop_by_tolerance_and_give_the_same_bits() {
    let (edges, leak, activation) = noisy_or(6, 30, false);
    let game = LiveEdgeGame::new(30, &edges, 29, &leak, &activation).unwrap();
    let options = Options {
        tolerance: Some(Tolerance::Absolute(0.01)),
        ..Options::new(3)
    };
    let run = |threads| {
        in_pool(threads, || {
            game.estimate_shapley(&options, &mut unwatched).unwrap()
        })
    };
    let e = run(1);
    assert_eq!(e, run(4));
    assert!(
        e.converged && e.rule == Rule::WorldSequence && e.half_width.iter().all(|&h| h <= 0.01)
    );
    let cancelled = game.estimate_shapley(&options, &mut |_| Control::Cancel);
    assert_eq!(cancelled.unwrap_err(), Error::Cancelled);
    let short = Options {
        budget: Some(63),
        ..Options::new(3)
    };
    assert!(matches!(
        game.estimate_shapley(&short, &mut unwatched),
        Err(Error::InvalidEvidence { .. })
    ));
}
