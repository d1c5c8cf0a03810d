//! Sums past the width limit against exact ones.

use super::*;

/// Sources of one case, exact and with sums past a narrow limit clamped.
fn narrow(case: &Case, width: usize, seed: u64) -> [Spread; 2] {
    let (n, s) = (case.n, case.s);
    let set = vec![vec![0, 1], vec![0, n - 1]];
    let limits = (width, seed);
    let mut clamped =
        Spread::estimating(&case.e, F, (n, s), case.alarm, case.target, limits).unwrap();
    clamped.add_links();
    clamped.add_sets(&set).unwrap();
    [case.spread(&set), clamped]
}

#[test]
fn few_clamped_components_leave_the_sum_exact() {
    let mut clamps = 0;
    for seed in 0..30 {
        let case = Case::wide(seed, 7);
        let [exact, clamped] = narrow(&case, 3, 1);
        clamps += clamped.plans.iter().map(|p| p.clamps.len()).sum::<usize>();
        let (mut x, mut y) = (SpreadScratch::default(), SpreadScratch::default());
        exact.start(&case.theta, &mut x, &mut vec![0.0; case.s]);
        clamped.start(&case.theta, &mut y, &mut vec![0.0; case.s]);
        for source in 0..2 * case.n + 2 {
            assert!(!clamped.is_estimated(source));
            let (mut a, mut b) = (vec![0.0; case.s], vec![0.0; case.s]);
            let log = exact.forward(&case.theta, source, &mut x, &mut a)
                - clamped.forward(&case.theta, source, &mut y, &mut b);
            for k in 0..case.s {
                assert!(
                    (a[k] / b[k]).ln() + log < 1e-10,
                    "seed {seed}, source {source}"
                );
                assert!(
                    (b[k] / a[k]).ln() - log < 1e-10,
                    "seed {seed}, source {source}"
                );
            }
            let want = exact.path_probabilities(&case.theta, source, 0, &mut x);
            let got = clamped.path_probabilities(&case.theta, source, 0, &mut y);
            let both = want.affected.iter().zip(&got.affected);
            for (a, b) in both.chain(want.carried.iter().zip(&got.carried)) {
                assert!(
                    (a - b).abs() < 1e-10,
                    "seed {seed}, source {source}: {a} {b}"
                );
            }
        }
        check_gradient(&case, &clamped, 2 * case.n + 2, &mut Random(seed));
    }
    assert!(clamps > 100, "{clamps}");
}

#[test]
fn estimated_sums_are_right_within_their_errors() {
    let (mut squares, mut n, mut largest) = (0.0, 0.0, 0.0f64);
    for seed in 0..12 {
        let case = Case::wide(seed, 18);
        let [exact, clamped] = narrow(&case, 3, seed);
        let (mut x, mut y) = (SpreadScratch::default(), SpreadScratch::default());
        exact.start(&case.theta, &mut x, &mut vec![0.0; case.s]);
        clamped.start(&case.theta, &mut y, &mut vec![0.0; case.s]);
        for source in (0..2 * case.n + 2).filter(|&i| clamped.is_estimated(i)) {
            let (mut a, mut b) = (vec![0.0; case.s], vec![0.0; case.s]);
            let log = clamped.forward(&case.theta, source, &mut y, &mut b)
                - exact.forward(&case.theta, source, &mut x, &mut a);
            for (k, error) in clamped.log_std_err(source, &y).iter().enumerate() {
                let off = (b[k] / a[k]).ln() + log;
                assert!(
                    off.abs() < 6.0 * error + 1e-9,
                    "seed {seed}, {source}: {off} ({error})"
                );
                squares += (off / error).powi(2);
                n += 1.0;
                largest = largest.max(*error);
            }
        }
        if seed < 2 {
            check_gradient(&case, &clamped, 2 * case.n + 2, &mut Random(seed));
        }
    }
    println!(
        "{n} sums, mean square {}, largest error {largest}",
        squares / n
    );
    assert!(n > 20.0 && squares / n < 4.0, "{n} sums, {}", squares / n);
}

#[test]
fn clamped_parents_of_a_cycle_count_for_each_of_its_members() {
    let mut edges = vec![(0, 1), (0, 2), (0, 3), (4, 5), (5, 6), (6, 4)];
    edges.extend((1..4).flat_map(|hub| (4..7).map(move |member| (hub, member))));
    let e = FamilyEvidence::silent(7, 1, edges);
    let clamped = Spread::estimating(&e, F, (7, 1), None, None, (4, 1)).unwrap();
    assert!(clamped.plans[0].clamps.len() > 1);
    let (theta, mut x) = (
        Natural::from_unconstrained(&[0.0; N_PARAMETERS]),
        SpreadScratch::default(),
    );
    clamped.start(&theta, &mut x, &mut [0.0]);
    let mut gain = [0.0];
    let log = clamped.forward(&theta, 0, &mut x, &mut gain);
    assert!((gain[0].ln() + log).abs() < 1e-12); // nothing is seen
}
