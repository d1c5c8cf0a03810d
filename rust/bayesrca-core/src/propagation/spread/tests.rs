//! Sources against enumeration of every live edge and every spontaneous component, and against finite differences.
//!
//! Cells are not what is tested here: their ratios are taken as computed, everything built of them is written anew.

use super::*;
use crate::params::N_PARAMETERS;

mod clamped;

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

    fn below(&mut self, n: usize) -> usize {
        (self.next() * n as f64) as usize
    }
}

/// A random incident of one family.
struct Case {
    n: usize,
    s: usize,
    e: FamilyEvidence,
    alarm: Option<usize>,
    target: Option<usize>,
    unconstrained: [f64; N_PARAMETERS],
    theta: Natural,
}

const F: usize = 0;

/// What happened, and how probable it and the data are together.
struct Outcome {
    weight: f64,
    hit: Vec<bool>,
    live: Vec<bool>,
}

impl Case {
    fn new(seed: u64) -> Self {
        let mut r = Random(seed);
        let n = 3 + r.below(3);
        let mut edges = Vec::new();
        for _ in 0..3 + r.below(5) {
            let (a, b) = (r.below(n), r.below(n));
            if a != b {
                edges.push((a, b));
            }
        }
        Self::on(n, edges, &mut r)
    }

    /// Components that are each a child of any three before it, two of them in a cycle.
    fn wide(seed: u64, n: usize) -> Self {
        let mut r = Random(seed);
        let edges = (3..3 * n).map(|e| (r.below(e / 3), e / 3));
        let mut edges: Vec<_> = edges.collect();
        edges.extend([(3, 4), (4, 3)]);
        Self::on(n, edges, &mut r)
    }

    fn on(n: usize, mut edges: Vec<(usize, usize)>, r: &mut Random) -> Self {
        let s = 1 + r.below(3);
        edges.sort_unstable();
        edges.dedup();
        let mut e = FamilyEvidence::silent(n, s, edges);
        for i in 0..n {
            let (kind, dosed) = (r.below(5), r.next() < 0.85);
            for k in i * s..(i + 1) * s {
                let dose = r.between(-1.0, 2.0);
                let z = r.between(-1.0, 12.0);
                if kind == 0 {
                    continue;
                }
                if dosed && (kind == 1 || r.next() < 0.9) {
                    (e.dose[k], e.dose_noise[k]) = (dose, r.between(0.1, 1.0));
                    (e.dose_low[k], e.dose_high[k]) = (dose - r.between(0.1, 0.6), dose + 0.3);
                    e.dose_jacobian[k] = r.between(0.1, 1.0);
                }
                if kind == 1 {
                    (e.log_quiet[k], e.log_wide[k]) = (-r.between(0.1, 5.0), -2.0);
                    e.log_affected[k] = -r.between(0.1, 5.0);
                } else {
                    e.z.push(z);
                }
            }
            if kind > 1 {
                e.series_component.push(i);
            }
        }
        let target = (r.next() < 0.8).then(|| r.below(n));
        let alarm = target.filter(|_| r.next() < 0.7);
        let mut unconstrained = [0.0; N_PARAMETERS];
        unconstrained.fill_with(|| r.between(-1.5, 1.0));
        Self {
            n,
            s,
            e,
            alarm,
            target,
            unconstrained,
            theta: Natural::from_unconstrained(&unconstrained),
        }
    }

    /// Singles, links, and the sets of the components in `sets`.
    fn spread(&self, sets: &[Vec<usize>]) -> Spread {
        let (n, s) = (self.n, self.s);
        let mut out = Spread::new(&self.e, F, (n, s), self.alarm, self.target, 14).unwrap();
        out.add_links();
        out.add_sets(sets).unwrap();
        out
    }

    fn edges(&self) -> &[(usize, usize)] {
        &self.e.edges
    }

    fn reach(&self, root: usize) -> Vec<bool> {
        let mut seen = vec![false; self.n];
        seen[root] = true;
        for _ in 0..self.n {
            for &(a, b) in self.edges() {
                seen[b] |= seen[a];
            }
        }
        seen
    }

    /// Roots whose doses add up at `i`: those that reach it, less those that reach another of them first.
    fn arriving(&self, roots: &[usize], i: usize) -> Vec<usize> {
        let reaches = |a: usize, b: usize| self.reach(a)[b];
        let before =
            |r: usize, o: usize| o != r && reaches(r, o) && !reaches(o, r) && reaches(o, i);
        let at = roots.iter().copied().filter(|&r| reaches(r, i));
        at.filter(|&r| !roots.iter().any(|&o| before(r, o)))
            .collect()
    }

    /// Log dose ratio of `i` to the sum of the roots', and its squared noise.
    fn relative(&self, roots: &[usize], i: usize, k: usize) -> Option<(f64, f64)> {
        let at = |i: usize| i * self.s + k;
        let sum: f64 = roots.iter().map(|&r| self.e.dose[at(r)].exp()).sum();
        let noise: f64 = roots
            .iter()
            .chain([&i])
            .map(|&r| self.e.dose_noise[at(r)].powi(2))
            .sum();
        let l = self.e.dose[at(i)] - sum.ln();
        (!roots.is_empty() && !l.is_nan()).then_some((l, noise / (sum * sum)))
    }

    fn path_ratio(&self, r: &Ratios, roots: &[usize], i: usize, k: usize) -> f64 {
        let (e, theta, at) = (&self.e, &self.theta, i * self.s + k);
        let generic = r.affected[at];
        let Some((l, noise)) = self.relative(&self.arriving(roots, i), i, k) else {
            return generic;
        };
        let spread = (theta.dose_spread[F].powi(2) + noise).sqrt();
        let part = |l: f64| partial(l, noise);
        let full = |l: f64| student(l, spread);
        let (full, part) = if e.log_quiet[at].is_nan() {
            (full(l) * r.jacobian[at], part(l) * r.jacobian[at])
        } else {
            let (low, high) = (
                e.dose_low[at] - e.dose[at] + l,
                e.dose_high[at] - e.dose[at] + l,
            );
            (
                integral(low, high, full) * r.jacobian[at],
                integral(low, high, part) * r.jacobian[at],
            )
        };
        let phi = if self.target == Some(i) {
            theta.full_dose_target
        } else {
            theta.full_dose_path
        };
        let u = theta.unrelated_dose;
        (1.0 - u) * (phi * full + (1.0 - phi) * part) + u * generic
    }

    fn untraced_ratio(&self, r: &Ratios, roots: &[usize], j: usize, k: usize) -> f64 {
        let (e, theta, at) = (&self.e, &self.theta, j * self.s + k);
        let row = e.series_component.iter().position(|&i| i == j);
        let moved = row.is_some_and(|row| e.z[row * self.s + k] > 2.0);
        let Some((l, noise)) = self.relative(roots, j, k).filter(|_| moved) else {
            return r.affected[at];
        };
        let cut = l + e.dose_low[at] - e.dose[at];
        let beyond = integral(cut, cut.max(0.0) + 9.0 * (0.16 + noise).sqrt(), |x| {
            partial(x, noise)
        });
        let m = theta.effect_size[F];
        let mass = 0.95 * m / (m + 2.0);
        let g = theta.untraced_dose;
        (1.0 - g) * r.affected[at] + g * mass * partial(l, noise) / beyond * r.jacobian[at]
    }

    /// `G` of eq. 8 and 9; `own` is false for a link.
    fn gain(&self, r: &Ratios, roots: &[usize], own: bool, k: usize) -> f64 {
        let (theta, a) = (&self.theta, self.theta.base_rate[F]);
        let at = |i: usize| i * self.s + k;
        let h = |i: usize| 1.0 - a + a * r.affected[at(i)];
        let is_root = |i: usize| roots.contains(&i);
        let reached = |i: usize| !is_root(i) && roots.iter().any(|&r| self.reach(r)[i]);
        let mut out = self.sum_over_sets(r, roots, own, k);
        for i in 0..self.n {
            if reached(i) {
                continue;
            }
            if is_root(i) {
                let v = theta.own_visible;
                out *= if own {
                    1.0 - v + v * r.root[at(i)]
                } else if self.alarm == Some(i) {
                    0.9 * r.affected[at(i)] + 0.1
                } else {
                    1.0
                } / h(i);
                continue;
            }
            let dependency = self
                .edges()
                .iter()
                .any(|&(from, to)| from == i && is_root(to));
            let rate = if dependency { 0.1 * a } else { a };
            let ratio = if dependency || !own {
                r.affected[at(i)]
            } else {
                self.untraced_ratio(r, roots, i, k)
            };
            let mut factor = 1.0 - rate + rate * ratio;
            if self.alarm == Some(i) {
                factor = 0.9 * ratio + 0.1 * factor;
            }
            out *= factor / h(i);
        }
        out
    }

    fn sum_over_sets(&self, r: &Ratios, roots: &[usize], own: bool, k: usize) -> f64 {
        let outcomes = self.outcomes(r, roots, own, k);
        outcomes.iter().map(|o| o.weight).sum()
    }

    /// Edges between components that are roots or reached.
    fn inside(&self, roots: &[usize]) -> Vec<(usize, usize)> {
        let inside = |i: usize| roots.iter().any(|&r| self.reach(r)[i]);
        let edges = self.edges().iter().copied();
        edges.filter(|e| inside(e.0) && inside(e.1)).collect()
    }

    /// Every combination of live edges and spontaneous components.
    fn outcomes(&self, r: &Ratios, roots: &[usize], own: bool, k: usize) -> Vec<Outcome> {
        let (a, rho) = (self.theta.base_rate[F], self.theta.transmission[F]);
        let reached = |i: &usize| !roots.contains(i) && roots.iter().any(|&r| self.reach(r)[*i]);
        let nodes: Vec<usize> = (0..self.n).filter(reached).collect();
        let edges = self.inside(roots);
        let w: Vec<f64> = (0..self.n)
            .map(|i| {
                if own {
                    self.path_ratio(r, roots, i, k)
                } else {
                    r.affected[i * self.s + k]
                }
            })
            .collect();
        let target = self.alarm.filter(|t| nodes.contains(t));
        let (mut outcomes, mut prior) = (Vec::new(), 0.0);
        for switches in 0..1u32 << (edges.len() + nodes.len()) {
            let on = |bit: usize| switches >> bit & 1 == 1;
            let live: Vec<bool> = (0..edges.len()).map(|j| on(nodes.len() + j)).collect();
            let mut weight = 1.0;
            let mut hit: Vec<bool> = (0..self.n).map(|i| roots.contains(&i)).collect();
            for (j, &i) in nodes.iter().enumerate() {
                weight *= if on(j) { a } else { 1.0 - a };
                hit[i] |= on(j);
            }
            for &live in &live {
                weight *= if live { rho } else { 1.0 - rho };
            }
            for _ in 0..self.n {
                for (&(from, to), &live) in edges.iter().zip(&live) {
                    hit[to] |= hit[from] && live;
                }
            }
            if target.is_some_and(|t| hit[t]) {
                prior += weight;
            }
            for &i in &nodes {
                let h = 1.0 - a + a * r.affected[i * self.s + k];
                weight *= if hit[i] { w[i] / h } else { 1.0 / h };
            }
            outcomes.push(Outcome { weight, hit, live });
        }
        for o in &mut outcomes {
            if let Some(t) = target {
                o.weight *= 0.1 + if o.hit[t] { 0.9 / prior } else { 0.0 };
            }
        }
        outcomes
    }

    /// Every source with its roots and whether they show: singles, links, then some sets of two and three.
    fn sources(&self, r: &mut Random) -> (Spread, Vec<(Vec<usize>, bool)>) {
        let mut sets = Vec::new();
        for size in [2, 3, 2, 3] {
            let mut left: Vec<usize> = (0..self.n).collect();
            let mut set: Vec<usize> = (0..size)
                .map(|_| left.remove(r.below(left.len())))
                .collect();
            set.sort_unstable();
            sets.push(set);
        }
        let singles = (0..self.n).map(|i| (vec![i], true));
        let links = (0..self.n).map(|i| (vec![i], false));
        let all = singles
            .chain(links)
            .chain(sets.iter().map(|s| (s.clone(), true)))
            .collect();
        (self.spread(&sets), all)
    }
}

/// Student's t with 4 degrees of freedom.
fn student(l: f64, scale: f64) -> f64 {
    0.375 / scale * (1.0 + (l / scale).powi(2) / 4.0).powf(-2.5)
}

/// A dose that is anything from all to `exp(-5)` of another, with a normal error.
fn partial(l: f64, noise_sq: f64) -> f64 {
    let w = (0.16 + noise_sq).sqrt();
    let normal =
        |x: f64| (-0.5 * (x / w).powi(2)).exp() / (w * (2.0 * std::f64::consts::PI).sqrt());
    integral(-5.0, 0.0, |u| normal(l - u)) / 5.0
}

/// Gauss-Legendre quadrature, three points on each piece of about 0.1.
fn integral(low: f64, high: f64, f: impl Fn(f64) -> f64) -> f64 {
    let pieces = ((high - low) * 10.0).ceil();
    let (h, x) = ((high - low) / pieces, 0.6f64.sqrt());
    let piece = |j: u32| {
        let mid = low + (f64::from(j) + 0.5) * h;
        let at = |t: f64| f(mid + 0.5 * h * t);
        h / 18.0 * (5.0 * at(-x) + 8.0 * at(0.0) + 5.0 * at(x))
    };
    (0..pieces as u32).map(piece).sum()
}

#[test]
fn every_source_matches_enumeration() {
    for seed in 0..80 {
        let case = Case::new(seed);
        let (spread, sources) = case.sources(&mut Random(seed ^ 0x4d));
        let (mut x, mut background) = (SpreadScratch::default(), vec![0.0; case.s]);
        spread.start(&case.theta, &mut x, &mut background);
        let mut out = vec![0.0; case.s];
        for (source, (roots, own)) in sources.iter().enumerate() {
            let common = spread.forward(&case.theta, source, &mut x, &mut out);
            for k in 0..case.s {
                let (got, want) = (out[k] * common.exp(), case.gain(&x.ratios, roots, *own, k));
                assert!(
                    (got / want - 1.0).abs() < 1e-7,
                    "seed {seed}, roots {roots:?} ({own}), footprint {k}: {got} against {want}"
                );
            }
            let reached = |t: usize| roots.iter().any(|&r| case.reach(r)[t]);
            assert_eq!(
                spread.explains_alarm(source),
                case.alarm.is_some_and(reached)
            );
        }
    }
}

/// Composite quiet density and `sum g ln G` over all sources, and the gradient of that.
fn weighted(
    case: &Case,
    spread: &Spread,
    unconstrained: &[f64; N_PARAMETERS],
    g: &[f64],
    x: &mut SpreadScratch,
) -> (f64, [f64; N_PARAMETERS]) {
    let theta = &Natural::from_unconstrained(unconstrained);
    let mut gradient = Natural::default();
    let mut total = spread.start(theta, x, &mut vec![0.0; case.s]);
    let mut out = vec![0.0; case.s];
    for (source, g) in g.chunks(case.s).enumerate() {
        let common = spread.forward(theta, source, x, &mut out);
        let logs = out.iter().map(|o| o.ln() + common);
        total += logs.zip(g).map(|(l, g)| l * g).sum::<f64>();
    }
    for (source, g) in g.chunks(case.s).enumerate() {
        spread.backward(theta, source, g, x, &mut gradient);
    }
    spread.finish(theta, x, &mut gradient);
    (total, gradient.chain(theta))
}

/// Compare the gradient with finite differences, at random adjoints, a third of them zero.
fn check_gradient(case: &Case, spread: &Spread, n_sources: usize, r: &mut Random) {
    let adjoint = |_| if r.next() < 0.3 { 0.0 } else { r.next() };
    let g: Vec<f64> = (0..n_sources * case.s).map(adjoint).collect();
    let mut x = SpreadScratch::default();
    let (_, gradient) = weighted(case, spread, &case.unconstrained, &g, &mut x);
    for j in 0..N_PARAMETERS {
        let mut moved = |d: f64| {
            let mut at = case.unconstrained;
            at[j] += d;
            weighted(case, spread, &at, &g, &mut x).0
        };
        let fd = (moved(1e-5) - moved(-1e-5)) / 2e-5;
        assert!(
            (gradient[j] - fd).abs() < 1e-6 * (1.0 + fd.abs()),
            "theta[{j}]: {} against {fd}",
            gradient[j]
        );
    }
}

#[test]
fn gradients_match_finite_differences() {
    let mut knots = 0;
    for seed in 0..40 {
        let case = Case::new(seed);
        let mut r = Random(seed ^ 0x63);
        let (mut spread, sources) = case.sources(&mut r);
        knots += spread.plans.iter().map(|p| p.knots.len()).sum::<usize>();
        check_gradient(&case, &spread, sources.len(), &mut r);
        // Tables that do not fit are computed again.
        spread.arrange(100);
        check_gradient(&case, &spread, sources.len(), &mut r);
    }
    assert!(knots > 10, "{knots}");
}

#[test]
fn long_sums_stay_in_range() {
    // A chain of components that all but exclude being quiet, then all but exclude being affected.
    let (n, s) = (60, 2);
    let mut e = FamilyEvidence::silent(n, s, (1..n).map(|i| (i - 1, i)).collect());
    for at in 0..n * s {
        let (quiet, affected) = if at < n * s / 2 {
            (-300.0, -1.0)
        } else {
            (-1.0, -300.0)
        };
        (e.log_quiet[at], e.log_wide[at], e.log_affected[at]) = (quiet, quiet - 1.0, affected);
    }
    let case = Case {
        n,
        s,
        e,
        alarm: None,
        target: None,
        unconstrained: [-1.0; N_PARAMETERS],
        theta: Natural::from_unconstrained(&[-1.0; N_PARAMETERS]),
    };
    let spread = case.spread(&[]);
    let mut x = SpreadScratch::default();
    spread.start(&case.theta, &mut x, &mut vec![0.0; s]);
    let mut out = vec![0.0; s];
    let common = spread.forward(&case.theta, 0, &mut x, &mut out);
    let (a, rho, r) = (
        case.theta.base_rate[F],
        case.theta.transmission[F],
        &x.ratios.affected,
    );
    for k in 0..s {
        // Logarithms of the sums that end in a quiet and in an affected component.
        let (mut off, mut on) = (f64::NEG_INFINITY, 0.0f64);
        for i in 1..n {
            let (w, miss) = (r[i * s + k], (1.0 - a) * (1.0 - rho));
            let h = (1.0 - a + a * w).ln();
            let add = |x: f64, y: f64| x.max(y) + (-(x - y).abs()).exp().ln_1p();
            (off, on) = (
                add(off + (1.0 - a).ln(), on + miss.ln()) - h,
                add(off + a.ln(), on + (1.0 - miss).ln()) + w.ln() - h,
            );
        }
        let own = 1.0 - case.theta.own_visible + case.theta.own_visible * x.ratios.root[k];
        let total = off.max(on) + (-(off - on).abs()).exp().ln_1p();
        let want = total + own.ln() - (1.0 - a + a * r[k]).ln();
        let got = out[k].ln() + common;
        assert!(
            (got - want).abs() < 1e-9 * want.abs(),
            "{got} against {want}"
        );
    }
    check_gradient(&case, &spread, 2 * n, &mut Random(5));
}

#[test]
fn paths_match_enumeration() {
    for seed in 0..80 {
        let case = Case::new(seed);
        let (spread, sources) = case.sources(&mut Random(seed ^ 0x37));
        let mut x = SpreadScratch::default();
        let k = seed as usize % case.s;
        spread.start(&case.theta, &mut x, &mut vec![0.0; case.s]);
        for (source, (roots, own)) in sources.iter().enumerate() {
            let got = spread.path_probabilities(&case.theta, source, k, &mut x);
            let outcomes = case.outcomes(&x.ratios, roots, *own, k);
            let total: f64 = outcomes.iter().map(|o| o.weight).sum();
            let share = |happened: &dyn Fn(&Outcome) -> bool| {
                let of = outcomes.iter().filter(|o| happened(o));
                of.map(|o| o.weight).sum::<f64>() / total
            };
            for (i, p) in got.nodes.iter().zip(&got.affected) {
                let want = share(&|o| o.hit[*i]);
                assert!(
                    (p - want).abs() < 1e-7,
                    "seed {seed}, {roots:?}, {i}: {p} {want}"
                );
            }
            let edges = case.inside(roots);
            assert_eq!(got.edges.len(), edges.len());
            for (e, p) in got.edges.iter().zip(&got.carried) {
                let j = edges.iter().position(|x| x == e).unwrap();
                let want = share(&|o| o.hit[e.0] && o.live[j]);
                assert!(
                    (p - want).abs() < 1e-7,
                    "seed {seed}, {roots:?}, {e:?}: {p} {want}"
                );
            }
        }
    }
}
