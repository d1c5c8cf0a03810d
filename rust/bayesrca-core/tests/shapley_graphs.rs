//! Call trees, excess flow and nonlinear models.

mod shapley_common;

use bayesrca_core::game::{Coalition, Game};
use bayesrca_core::shapley::games::{
    CallTreeGame, ExcessFlowGame, NonlinearTailGame, SampledTailGame, Span, Tail, flow_weights,
};
use bayesrca_core::shapley::{Options, Rule};
use proptest::prelude::*;
use shapley_common::{Random, assert_close, by_definition, check_game, exact, in_pool, sampled};

type Edges = Vec<(usize, usize, f64)>;

fn call_tree(seed: u64, n: usize) -> Vec<Span> {
    let mut r = Random(seed);
    (0..n)
        .map(|i| {
            let baseline = (0.6 * r.normal()).exp();
            let hot = if r.next() < 0.25 {
                (1.2 + 0.5 * r.normal()).exp()
            } else {
                1.0
            };
            Span {
                parent: (i > 0).then(|| (i - 1) / 3 + r.below(i / 2 + 1 - (i - 1) / 3)),
                stage: r.below(2),
                baseline,
                observed: baseline * r.between(0.85, 1.2) * hot,
            }
        })
        .collect()
}

fn latency(spans: &[Span], own: &[f64], i: usize) -> f64 {
    let stage = |s: usize| {
        let calls = (0..spans.len()).filter(|&c| spans[c].parent == Some(i) && spans[c].stage == s);
        calls.map(|c| latency(spans, own, c)).fold(0.0, f64::max)
    };
    own[i] + (0..5).map(stage).sum::<f64>()
}

#[test]
fn call_trees_match_their_recursion_and_enumeration() {
    for n in [1, 2, 10, 12] {
        let spans = call_tree(60 + n as u64, n);
        let game = CallTreeGame::new(&spans).unwrap();
        for s in (0..1usize << n).step_by(13) {
            let member = |i: usize| s >> i & 1 == 1;
            let own: Vec<f64> = (0..n)
                .map(|i| {
                    if member(i) {
                        spans[i].observed
                    } else {
                        spans[i].baseline
                    }
                })
                .collect();
            let value = game.value(&Coalition::of(n, (0..n).filter(|&i| member(i))));
            assert_close(&[value], &[latency(&spans, &own, 0)], 1e-12);
        }
        check_game(&game, 1e-12);
    }
    let game = CallTreeGame::new(&call_tree(20, 20)).unwrap();
    let (truth, e) = (exact(&game), sampled(&game, Options::new(1)));
    for i in 0..20 {
        assert!((truth.values[i] - e.values[i]).abs() <= 8.0 * e.std_err[i] + 1e-9);
    }
}

#[test]
fn calls_that_are_never_the_longest_are_null() {
    let span = |parent, stage, baseline, observed| Span {
        parent,
        stage,
        baseline,
        observed,
    };
    // Calls 1 and 2 race; 3 and its own call 4 take at most 3, less than 1 at its fastest; 5 is alone in its stage.
    let game = CallTreeGame::new(&[
        span(None, 0, 1.0, 2.0),
        span(Some(0), 7, 4.0, 6.0),
        span(Some(0), 7, 5.0, 3.0),
        span(Some(0), 7, 1.0, 2.0),
        span(Some(3), 0, 1.0, 0.5),
        span(Some(0), 9, 1.0, 0.5),
        span(Some(0), 9, 0.4, 0.4),
    ])
    .unwrap();
    assert_eq!(game.active_players(), [0, 1, 2, 5]);
    for s in 0..1usize << 7 {
        let value = |s: usize| game.value(&Coalition::of(7, (0..7).filter(|i| s >> i & 1 == 1)));
        assert_eq!(value(s).to_bits(), value(s & 0b10_0111).to_bits());
    }
    assert_close(&by_definition(&game), &exact(&game).values, 1e-12);
}

#[test]
fn a_thousand_players_are_sampled_with_independent_pairs() {
    let game = CallTreeGame::new(&call_tree(5, 5000)).unwrap();
    let players = game.active_players().len() as u64;
    assert!((1000..3000).contains(&players), "{players}");
    let options = Options {
        budget: Some(64 * players),
        ..Options::new(1)
    };
    let e = sampled(&game, options);
    assert_eq!(
        (e.rule, e.n_units, e.n_evaluations),
        (Rule::ManyPlayersPairInterval, 32, 64 * players)
    );
    assert!(e.efficiency_gap().abs() < 1e-9 * e.grand);
}

#[test]
fn bad_call_trees_are_named() {
    let span = |parent, baseline| Span {
        parent,
        stage: 0,
        baseline,
        observed: 1.0,
    };
    let ok = |spans: &[Span]| CallTreeGame::new(spans).is_ok();
    assert!(ok(&[span(None, 1.0), span(Some(0), 1.0)]));
    assert!(!ok(&[]));
    assert!(!ok(&[span(None, 1.0), span(None, 1.0)]));
    assert!(!ok(&[span(None, f64::NAN)]));
    assert!(!ok(&[span(None, -1.0)]));
    assert!(!ok(&[span(None, 1.0), span(Some(2), 1.0)]));
    assert!(!ok(&[
        span(None, 1.0),
        span(Some(2), 1.0),
        span(Some(1), 1.0)
    ]));
}

#[test]
fn excess_flows_to_the_target_along_all_paths() {
    // 0 calls 1 and 2, both call 3; 4 calls 3 too, and nothing of 4 reaches 0.
    let calls = [(0, 1), (0, 2), (1, 3), (2, 3), (4, 3)];
    let weighted = flow_weights(&[100.0, 100.0, 50.0, 50.0, 50.0], &calls).unwrap();
    assert_close(
        &weighted.iter().map(|c| c.2).collect::<Vec<_>>(),
        &[1.0, 1.0, 0.5, 0.25, 0.25],
        1e-15,
    );
    let (dose, sd) = ([9.0, 5.0, 3.0, 8.0, 2.5], [1.0, 1.0, 1.0, 1.0, 2.0]);
    let game = ExcessFlowGame::new(&weighted, 0, &dose, &sd, 1.5).unwrap();
    // own: 9 - 5 - 3, 5 - 4, 3 - 2, 8, and 0 - 2 at 4, whose dose is within its noise and reaches nobody.
    let e = exact(&game);
    assert_eq!(e.rule, Rule::ClosedForm);
    assert_close(&e.values, &[1.0, 1.0, 1.0, 6.0, 0.0], 1e-12);
    assert_close(&[e.grand, e.baseline], &[9.0, 0.0], 1e-12);
    assert_close(&by_definition(&game), &e.values, 1e-12);
    // Only 3's stands 1.5 standard deviations above 0: the noises of the others are 3^.5, 1.25^.5 and 1.0625^.5.
    assert_close(&game.compute_shares(), &[0.0, 0.0, 0.0, 1.0, 0.0], 0.0);
    check_game(&game, 1e-12);

    let unfiltered = ExcessFlowGame::new(&weighted, 0, &dose, &sd, 0.0).unwrap();
    let parts = [1.0 / 9.0, 1.0 / 9.0, 1.0 / 9.0, 6.0 / 9.0, 0.0];
    assert_close(&unfiltered.compute_shares(), &parts, 1e-12);
    let shares = unfiltered.estimate_shares(4000, 3).unwrap();
    assert_eq!(
        shares,
        in_pool(1, || unfiltered.estimate_shares(4000, 3).unwrap())
    );
    // Linear: own_0 = d0 - d1 - d2, own_1 = d1 - d3 / 2, own_3's flow is 0.75.
    let truth = [3f64.sqrt(), 1.25f64.sqrt(), 1.0625f64.sqrt(), 0.75, 0.0];
    assert_close(&shares.value_std_err, &truth, 0.08);
    assert_close(&shares.shares, &unfiltered.compute_shares(), 0.0);
    assert!(shares.share_std_err[3] > 0.03 && shares.share_std_err[3] < 0.2);
}

/// What arrives at the target of one unit at each component, by following it round until nothing is left; shares no
/// code with the game.
fn followed(n: usize, calls: &[(usize, usize, f64)], target: usize) -> Vec<f64> {
    let arrives = |i: usize| {
        let mut at = vec![0.0; n];
        at[i] = 1.0;
        let mut arrived = 0.0;
        for _ in 0..4000 {
            arrived += at[target];
            at[target] = 0.0;
            let mut next = vec![0.0; n];
            for &(caller, callee, w) in calls {
                next[caller] += w * at[callee];
            }
            at = next;
        }
        arrived
    };
    (0..n).map(arrives).collect()
}

/// Doses that own excesses bring about, the target's callers taking none of its dose, by repeated substitution.
fn doses(own: &[f64], calls: &[(usize, usize, f64)], target: usize) -> Vec<f64> {
    let mut dose = own.to_vec();
    for _ in 0..4000 {
        let mut next = own.to_vec();
        for &(caller, callee, w) in calls.iter().filter(|c| c.1 != target) {
            next[caller] += w * dose[callee];
        }
        dose = next;
    }
    dose
}

/// Calls with cycles: any component may call any other, and 3% of each dose is lost.
fn tangle(r: &mut Random, n: usize) -> Edges {
    let calls: Vec<(usize, usize)> = (0..2 * n).map(|_| (r.below(n), r.below(n))).collect();
    let requests: Vec<f64> = (0..n).map(|_| r.between(0.0, 9.0)).collect();
    let mut weighted = flow_weights(&requests, &calls).unwrap();
    for call in &mut weighted {
        call.2 *= 0.97;
    }
    weighted
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn values_sum_to_the_targets_dose_on_any_graph(seed in any::<u64>(), n in 1usize..14) {
        let mut r = Random(seed);
        let (calls, target) = (tangle(&mut r, n), r.below(n));
        let observed: Vec<f64> = (0..n)
            .map(|i| {
                let dose = 5.0 * r.normal().abs();
                if i != target && r.next() < 0.3 { f64::NAN } else { dose }
            })
            .collect();
        let game = ExcessFlowGame::new(&calls, target, &observed, &observed, 0.0).unwrap();
        let e = exact(&game);
        assert_close(&[e.values.iter().sum(), e.grand], &[observed[target]; 2], 1e-9);
        for i in 0..n {
            prop_assert!(!observed[i].is_nan() || e.values[i] == 0.0);
        }
    }

    #[test]
    fn own_excess_comes_back_from_the_doses_it_brings_about(seed in any::<u64>(), n in 1usize..14) {
        let mut r = Random(seed);
        let (calls, target) = (tangle(&mut r, n), r.below(n));
        let unobserved: Vec<bool> = (0..n).map(|i| i != target && r.next() < 0.3).collect();
        let own: Vec<f64> = unobserved
            .iter()
            .map(|&hidden| if hidden { 0.0 } else { r.between(0.0, 9.0) })
            .collect();
        let mut dose = doses(&own, &calls, target);
        for i in 0..n {
            if unobserved[i] {
                dose[i] = f64::NAN;
            }
        }
        let game = ExcessFlowGame::new(&calls, target, &dose, &vec![0.1; n], 0.0).unwrap();
        let flow = followed(n, &calls, target);
        let truth: Vec<f64> = own.iter().zip(&flow).map(|(x, h)| x * h).collect();
        assert_close(&exact(&game).values, &truth, 1e-9);
    }
}

#[test]
fn excess_goes_round_a_cycle_until_it_reaches_the_target() {
    // 0 calls 1, 1 and 2 call each other, 2 calls 3; 4 calls 0, and 3 calls the target back.
    let calls = [
        (0, 1, 0.5),
        (2, 1, 0.5),
        (1, 2, 1.0),
        (2, 3, 1.0),
        (4, 0, 0.5),
        (3, 0, 0.5),
    ];
    let dose = [4.0, 8.0, 6.0, 2.0, 9.0];
    let game = ExcessFlowGame::new(&calls, 0, &dose, &[0.0; 5], 1.5).unwrap();
    // A unit at 1 arrives surely: half at once, half after another round. Own excesses: 4 - 8/2, 8 - 6, 6 - 8/2 - 2, 2
    // (what the target hands back is not taken off), and 4 is no callee of the target's.
    let e = exact(&game);
    assert_close(&e.values, &[0.0, 2.0, 0.0, 2.0, 0.0], 1e-12);
    assert_close(&[e.grand], &[4.0], 1e-12);
    check_game(&game, 1e-12);

    // 2 does not report: it hands to 1 what 1 and 3 hand to it, half of 8 and 2.
    let hidden = [4.0, 8.0, f64::NAN, 2.0, 9.0];
    let game = ExcessFlowGame::new(&calls, 0, &hidden, &[0.1; 5], 1.5).unwrap();
    assert_close(&exact(&game).values, &[0.0, 2.0, 0.0, 2.0, 0.0], 1e-12);
    let shares = game.estimate_shares(64, 1).unwrap();
    let hidden = [&shares.shares, &shares.share_std_err, &shares.value_std_err].map(|a| a[2]);
    assert_close(&hidden, &[0.0; 3], 0.0);
    // Neither 1 nor 2: the cycle between them is solved, and all comes from 3.
    let hidden = [2.0, f64::NAN, f64::NAN, 2.0, 9.0];
    let game = ExcessFlowGame::new(
        &calls,
        0,
        &hidden,
        &[f64::NAN, 1.0, f64::NAN, 0.0, 0.0],
        0.0,
    );
    assert!(game.is_err(), "the deviation of a dose that is known");
    let game =
        ExcessFlowGame::new(&calls, 0, &hidden, &[0.1, f64::NAN, -1.0, 0.1, 0.1], 0.0).unwrap();
    assert_close(&exact(&game).values, &[0.0, 0.0, 0.0, 2.0, 0.0], 1e-12);
}

#[test]
fn noise_takes_little_from_a_share() {
    // A chain of 12: all excess began at its end, and all others report it with noise of a tenth.
    let n = 12;
    let calls: Edges = (1..n).map(|c| (c - 1, c, 1.0)).collect();
    let sd = vec![1.0; n];
    let mut r = Random(9);
    let (mut covered, mut low) = (0, 0.0);
    for repeat in 0..400 {
        let dose: Vec<f64> = (0..n).map(|_| 10.0 + r.normal()).collect();
        let game = ExcessFlowGame::new(&calls, 0, &dose, &sd, 1.5).unwrap();
        let e = game.estimate_shares(128, repeat).unwrap();
        assert_close(&e.shares, &game.compute_shares(), 0.0);
        // The noise of a difference of two doses is 2^.5.
        for i in 0..n - 1 {
            let own = dose[i] - dose[i + 1];
            assert_eq!(e.shares[i] > 0.0, own >= 1.5 * 2f64.sqrt(), "{own}");
        }
        covered += usize::from((1.0 - e.shares[n - 1]).abs() <= 1.96 * e.share_std_err[n - 1]);
        low += 1.0 - e.shares[n - 1];
    }
    // With every positive part in the sum it is low by .38, and standard deviations cover it 1 time in 500.
    assert!(covered >= 310, "{covered} of 400");
    assert!(low / 400.0 < 0.2, "{low}");
}

#[test]
fn callees_hand_on_their_whole_dose() {
    let weights = |requests: &[f64], calls: &[(usize, usize)]| -> Vec<f64> {
        let weighted = flow_weights(requests, calls).unwrap();
        weighted.into_iter().map(|c| c.2).collect()
    };
    let calls = [(0, 2), (1, 2), (0, 1)];
    assert_eq!(weights(&[3.0, 1.0, 9.0], &calls), [0.75, 0.25, 1.0]);
    assert_eq!(weights(&[0.0, 0.0, 9.0], &calls), [0.5, 0.5, 1.0]);
    assert_eq!(weights(&[3.0, f64::NAN, 9.0], &calls), [0.5, 0.5, 1.0]);
    assert_eq!(weights(&[f64::NAN, 0.0, 9.0], &calls), [0.5, 0.5, 1.0]);
    assert_eq!(weights(&[3.0, 1.0, f64::NAN], &calls), [0.75, 0.25, 1.0]);
    assert_eq!(weights(&[2.0, 1.0], &[(0, 1), (0, 1)]), [0.5, 0.5]);
    assert!(flow_weights(&[1.0], &[(0, 1)]).is_err());
    for bad in [-1.0, f64::INFINITY] {
        assert!(flow_weights(&[bad], &[]).is_err());
    }
    assert!(flow_weights(&[1e308, 1e308, 0.0], &[(0, 2), (1, 2)]).is_err());
}

#[test]
fn bad_flows_are_named() {
    let new = |calls: &[(usize, usize, f64)], dose: &[f64], sd: &[f64]| {
        ExcessFlowGame::new(calls, 0, dose, sd, 1.5)
    };
    let ok = |calls: &[(usize, usize, f64)], dose: &[f64], sd: &[f64]| new(calls, dose, sd).is_ok();
    let two = [1.0, 1.0];
    assert!(ok(&[(0, 1, 0.5)], &two, &two));
    assert!(ok(&[(0, 1, 0.5), (1, 0, 0.5)], &two, &two));
    assert!(!ok(&[(0, 1, -0.5)], &two, &two));
    assert!(!ok(&[(0, 1, f64::INFINITY)], &two, &two));
    assert!(!ok(&[(0, 2, 0.5)], &two, &two));
    assert!(!ok(&[], &[], &[]));
    assert!(!ok(&[], &two, &[1.0]));
    assert!(!ok(&[], &two, &[1.0, -1.0]));
    assert!(!ok(&[], &two, &[1.0, f64::NAN]));
    assert!(!ok(&[], &[1.0, f64::INFINITY], &two));
    assert!(!ok(&[], &[f64::NAN, 1.0], &two));
    assert!(!ok(&[(0, 1, 1e308), (1, 2, 1e308)], &[1.0; 3], &[0.0; 3]));
    let game = new(&[], &two, &two).unwrap();
    assert!(game.estimate_shares(1, 0).is_err());
    assert_eq!(game.compute_shares(), [0.0, 0.0]);

    // 1 and 2 hand all they have to each other and half to the target besides: work would grow without end.
    let endless = [(0, 1, 0.5), (1, 2, 1.0), (2, 1, 1.0)];
    let error = new(&endless, &[1.0; 3], &[0.0; 3]).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("through component 1 never leaves"),
        "{error}"
    );
    // Nothing of such a cycle concerns a target that it does not reach.
    assert!(ok(&endless[1..], &[1.0; 3], &[0.0; 3]));
    assert!(ok(
        &[(0, 1, 0.0), (1, 2, 1.0), (2, 1, 1.0)],
        &[1.0; 3],
        &[0.0; 3]
    ));
}

struct Rectified {
    edges: Edges,
    slope: Vec<f64>,
    observed: Vec<f64>,
    baseline: Vec<f64>,
}

fn rectified(seed: u64, n: usize, samples: usize, slope: f64) -> Rectified {
    let mut r = Random(seed);
    let edges = r
        .dag(n, false)
        .into_iter()
        .map(|(i, j)| (i, j, r.between(0.3, 0.9)))
        .collect();
    let mut observed: Vec<f64> = (0..n).map(|_| r.normal()).collect();
    observed[1] = 4.0;
    Rectified {
        edges,
        slope: vec![slope; n],
        observed,
        baseline: (0..n * samples).map(|_| r.normal()).collect(),
    }
}

fn nonlinear(c: &Rectified, tail: Tail) -> NonlinearTailGame {
    let n = c.slope.len();
    NonlinearTailGame::new(&c.edges, n - 1, &c.slope, &c.observed, &c.baseline, tail).unwrap()
}

#[test]
fn nonlinear_tails_match_simulation_and_enumeration() {
    let c = rectified(2, 10, 64, 0.3);
    let game = nonlinear(&c, Tail::Upper);
    let solve = |noise: &dyn Fn(usize) -> f64| {
        let mut x = [0.0f64; 10];
        for j in 0..10 {
            let h: f64 = c
                .edges
                .iter()
                .filter(|e| e.1 == j)
                .map(|&(i, _, w)| w * x[i])
                .sum();
            x[j] = h.max(0.3 * h) + noise(j);
        }
        x[9]
    };
    let observed = solve(&|i| c.observed[i]);
    for s in (0..1024usize).step_by(29) {
        let member = |i: usize| s >> i & 1 == 1;
        let count = (0..64)
            .filter(|k| {
                let noise = |i| {
                    if member(i) {
                        c.observed[i]
                    } else {
                        c.baseline[k * 10 + i]
                    }
                };
                // The margin of a thousandth of a standard deviation, between 1 and 5 here.
                solve(&noise) >= observed - 3e-3
            })
            .count();
        let value = game.value(&Coalition::of(10, (0..10).filter(|&i| member(i))));
        assert_close(
            &[value],
            &[((count as f64 + 0.5) / 64.5).ln()],
            0.3 / (count as f64 + 0.5),
        );
    }
    assert_close(&[game.grand()], &[0.0], 1e-12);
    check_game(&nonlinear(&rectified(3, 10, 100, 0.3), Tail::Upper), 1e-11);
    check_game(&nonlinear(&rectified(4, 12, 50, 0.0), Tail::Lower), 1e-11);
}

#[test]
fn a_slope_of_one_is_the_linear_model() {
    let c = rectified(5, 10, 400, 1.0);
    let linear =
        SampledTailGame::new(10, &c.edges, 9, &c.observed, &c.baseline, Tail::Upper).unwrap();
    let (a, b) = (exact(&nonlinear(&c, Tail::Upper)), exact(&linear));
    assert_close(&a.values, &b.values, 0.02);
    // Both group the samples: by blocks here, by tiles of 32 there.
    let (a, b) = (a.inner_std_err.unwrap(), b.inner_std_err.unwrap());
    assert!(
        (0..10).all(|i| a[i] < 2.0 * b[i] + 0.01 && b[i] < 2.0 * a[i] + 0.01),
        "{a:?} {b:?}"
    );
}

#[test]
fn bad_nonlinear_models_are_named() {
    let noise = [1.0, 1.0];
    let new = |edges: &[(usize, usize, f64)], slope: &[f64], noise: &[f64], baseline: &[f64]| {
        NonlinearTailGame::new(edges, 0, slope, noise, baseline, Tail::Upper).is_ok()
    };
    assert!(new(&[(1, 0, 1.0)], &[0.3; 2], &noise, &[0.5; 4]));
    assert!(!new(
        &[(1, 0, 1.0), (0, 1, 1.0)],
        &[0.3; 2],
        &noise,
        &[0.5; 4]
    ));
    assert!(!new(&[], &[1.3, 0.0], &noise, &[0.5; 4]));
    assert!(!new(&[], &[0.3; 2], &noise, &[0.5; 3]));
    assert!(!new(&[], &[0.3; 2], &[f64::NAN, 0.0], &[0.5; 4]));
    assert!(!new(&[], &[], &[], &[]));
    assert!(!new(&[(1, 0, 1e300)], &[0.3; 2], &noise, &[0.5; 4]));
}
