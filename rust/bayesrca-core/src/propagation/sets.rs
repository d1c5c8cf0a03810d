//! Several causes at once: sets of two or three components, their prior and their joint probability (eq. 15).
//!
//! Every root has a kind and shows in latency, in errors, in both or in neither; in each family the fault spreads from
//! those roots that show there. Kinds are summed out. Load and link faults are weighed as single causes only.

use std::collections::HashMap;

use super::hypotheses::{ByMode, kind_prior, kind_prior_backward, mode_prior, mode_prior_backward};
use super::likelihood::{Likelihood, NEGLIGIBLE, Workspace};
use crate::error::{Error, Result};
use crate::params::{CRASH, ERRORS, LATENCY, N_FAMILIES, N_KINDS, Natural, RESOURCE};

/// Largest set.
pub const MAX_CAUSES: usize = 3;
/// Prior probability of one, two and three causes, given that there is one.
pub const SIZES: [f64; MAX_CAUSES] = [0.8, 0.15, 0.05];
/// Kinds that the roots of a set may have.
const SET_KINDS: [usize; 4] = [LATENCY, ERRORS, RESOURCE, CRASH];

/// The sets that are weighed.
#[derive(Debug, Clone)]
pub(crate) struct Sets {
    members: Vec<Vec<usize>>,
    /// Where a fault that shows in some of a set's members spreads from: by bit mask of members, a component, or the
    /// number of components plus the position of a set.
    subsets: Vec<Vec<usize>>,
    sizes: [f64; MAX_CAUSES],
}

impl Default for Sets {
    fn default() -> Self {
        Self {
            members: Vec::new(),
            subsets: Vec::new(),
            sizes: [1.0, 0.0, 0.0],
        }
    }
}

impl Sets {
    fn new(members: Vec<Vec<usize>>, n: usize, max_causes: usize) -> Result<Self> {
        let mut position = HashMap::new();
        for (p, set) in members.iter().enumerate() {
            let ascending = set.windows(2).all(|w| w[0] < w[1]);
            let fits = (2..=max_causes.min(MAX_CAUSES)).contains(&set.len());
            if !fits || !ascending || set.iter().any(|&i| i >= n) {
                return Err(Error::evidence(
                    "sets",
                    "each needs 2 to max_causes components, ascending",
                ));
            }
            if position.insert(set.clone(), p).is_some() {
                return Err(Error::evidence("sets", "holds a set twice"));
            }
        }
        let subsets = members
            .iter()
            .map(|set| {
                (0..1usize << set.len())
                    .map(|mask| {
                        let some: Vec<usize> = chosen(set, mask);
                        match some[..] {
                            [] => Ok(usize::MAX),
                            [one] => Ok(one),
                            _ => position.get(&some).map(|p| n + p).ok_or_else(|| {
                                Error::evidence("sets", "a set of three needs its pairs")
                            }),
                        }
                    })
                    .collect::<Result<Vec<usize>>>()
            })
            .collect::<Result<Vec<_>>>()?;
        let most = max_causes.clamp(1, MAX_CAUSES).min(n);
        let total: f64 = SIZES[..most].iter().sum();
        let mut sizes = [0.0; MAX_CAUSES];
        for m in 0..most {
            sizes[m] = SIZES[m] / total;
        }
        Ok(Self {
            members,
            subsets,
            sizes,
        })
    }

    pub fn len(&self) -> usize {
        self.members.len()
    }

    pub fn members(&self) -> &[Vec<usize>] {
        &self.members
    }

    /// Prior probability of `m` causes, given that there is one.
    pub fn size_prior(&self, m: usize) -> f64 {
        self.sizes[m - 1]
    }
}

/// Members of a set in a bit mask.
fn chosen(set: &[usize], mask: usize) -> Vec<usize> {
    set.iter()
        .enumerate()
        .filter(|(j, _)| mask >> j & 1 == 1)
        .map(|(_, &i)| i)
        .collect()
}

/// One root of a set in one footprint: weight of each way of showing, and of the kinds behind it.
#[derive(Debug, Clone, Copy, Default)]
struct Member {
    mode: ByMode,
    kind: [f64; SET_KINDS.len()],
}

/// What a set's terms are made of in one footprint, every family over `exp` of its scale.
struct Terms {
    members: [Member; MAX_CAUSES],
    /// Factor of a family by mask of the roots that show there.
    factor: [[f64; 1 << MAX_CAUSES]; N_FAMILIES],
}

impl Likelihood {
    /// Weigh these sets of several causes, instead of those so far, up to `max_causes` components each (their pairs with those of three).
    ///
    /// # Errors
    /// `InvalidEvidence` for sets that are malformed; `GraphTooWide` past the width limit.
    pub fn add_sets(&mut self, members: Vec<Vec<usize>>, max_causes: usize) -> Result<()> {
        let sets = Sets::new(members, self.n, max_causes)?;
        for family in &mut self.families {
            family.drop_sets();
            family.add_sets(sets.members())?;
        }
        self.vitals.drop_sets();
        for set in sets.members() {
            self.vitals.add_source(set);
        }
        self.sets = sets;
        Ok(())
    }

    /// Append the joints of every set; `log_prior` is common to all.
    pub(super) fn fill_sets(&self, theta: &Natural, log_prior: f64, w: &mut Workspace) {
        if self.sets.len() == 0 {
            return;
        }
        let totals = self.set_totals(theta, w);
        for p in 0..self.sets.len() {
            let m = self.sets.members[p].len();
            let scales = self.scales(p, w);
            let most = self.most_path(p, w);
            for k in 0..self.s {
                let terms = self.terms(theta, p, k, &scales, w);
                let mut sum = 0.0;
                self.for_each_mode(p, |latency, errors, explained| {
                    let miss = if explained {
                        1.0
                    } else {
                        theta.unexplained_alarm
                    };
                    sum += miss * terms.product(m, latency, errors);
                });
                let path = (w.vitals.log.path[(self.n + p) * self.s + k] - most).exp();
                w.by_footprint.push(sum * path * w.background[k]);
            }
            let prior = (self.sets.size_prior(m) / totals[m - 1]).ln();
            let scale = log_prior + prior + most + scales.family.iter().sum::<f64>();
            self.close(
                N_KINDS * self.n + p,
                scale + scales.member.iter().sum::<f64>(),
                w,
            );
        }
    }

    fn most_path(&self, p: usize, w: &Workspace) -> f64 {
        let from = (self.n + p) * self.s;
        w.vitals.log.path[from..from + self.s]
            .iter()
            .copied()
            .fold(f64::NEG_INFINITY, f64::max)
    }

    /// Visit every way the members may show, as masks of those in latency and in errors.
    fn for_each_mode(&self, p: usize, mut visit: impl FnMut(usize, usize, bool)) {
        let set = &self.sets.members[p];
        let masks = 1usize << set.len();
        // Mask of the members that reach the target along the alarm's family.
        let reaching = self.alarm.map(|f| {
            (0..set.len())
                .filter(|&j| self.families[f].explains_alarm(set[j]))
                .fold(0usize, |m, j| m | 1 << j)
        });
        for latency in 0..masks {
            for errors in 0..masks {
                let explained = self.alarm.is_none_or(|f| {
                    reaching.unwrap_or(0) & if f == LATENCY { latency } else { errors } != 0
                });
                visit(latency, errors, explained);
            }
        }
    }

    fn scales(&self, p: usize, w: &Workspace) -> Scales {
        let set = &self.sets.members[p];
        let mut member = [0.0; MAX_CAUSES];
        for (j, &i) in set.iter().enumerate() {
            let log = &w.vitals.log;
            member[j] = (i * self.s..(i + 1) * self.s)
                .map(|at| log.resource[at].max(log.disturbed[at]))
                .fold(f64::NEG_INFINITY, f64::max);
        }
        let family = [0, 1].map(|f| {
            (1..1usize << set.len())
                .map(|mask| w.common[f][self.source(f, p, mask)])
                .fold(0.0, f64::max)
        });
        let mut share = [[0.0; 1 << MAX_CAUSES]; N_FAMILIES];
        for f in 0..N_FAMILIES {
            share[f][0] = (-family[f]).exp();
            for mask in 1..1usize << set.len() {
                share[f][mask] = (w.common[f][self.source(f, p, mask)] - family[f]).exp();
            }
        }
        Scales {
            member,
            family,
            share,
        }
    }

    /// Source of a family for the members in a mask.
    pub(super) fn source(&self, f: usize, p: usize, mask: usize) -> usize {
        let code = self.sets.subsets[p][mask];
        if code < self.n {
            code
        } else {
            self.set_source(f, code - self.n)
        }
    }

    fn terms(&self, theta: &Natural, p: usize, k: usize, scales: &Scales, w: &Workspace) -> Terms {
        let set = &self.sets.members[p];
        let mut members = [Member::default(); MAX_CAUSES];
        for (j, &i) in set.iter().enumerate() {
            let at = i * self.s + k;
            let over = |log: &[f64]| (log[at] - scales.member[j]).exp();
            let (resource, disturbed) =
                (over(&w.vitals.log.resource), over(&w.vitals.log.disturbed));
            for (c, kind) in SET_KINDS.into_iter().enumerate() {
                let vital = if kind == RESOURCE {
                    resource
                } else {
                    disturbed
                };
                let weight = kind_prior(theta, kind)
                    * self.joint_weight[i * N_KINDS + kind]
                    * self.presence(kind, at)
                    * vital;
                members[j].kind[c] = weight;
                let prior = mode_prior(theta, kind);
                for l in 0..2 {
                    for e in 0..2 {
                        members[j].mode[l][e] += weight * prior[l][e];
                    }
                }
            }
        }
        let mut factor = [[0.0; 1 << MAX_CAUSES]; N_FAMILIES];
        for f in 0..N_FAMILIES {
            factor[f][0] = w.alarm[f][k] * scales.share[f][0];
            for mask in 1..1usize << set.len() {
                let source = self.source(f, p, mask);
                factor[f][mask] = w.gain[f][source * self.s + k] * scales.share[f][mask];
            }
        }
        Terms { members, factor }
    }

    /// Fill the adjoints of the sets' joints, of the log likelihood.
    pub(super) fn sets_backward(
        &self,
        theta: &Natural,
        total: f64,
        w: &mut Workspace,
        gradient: &mut Natural,
    ) {
        if self.sets.len() == 0 {
            return;
        }
        let mut share = [0.0; MAX_CAUSES];
        for p in 0..self.sets.len() {
            let h = N_KINDS * self.n + p;
            let one = (w.joint[h] - total).exp();
            share[self.sets.members[p].len() - 1] += one;
            if one > NEGLIGIBLE {
                self.set_backward(theta, p, total, w, gradient);
            }
        }
        self.sets_prior_backward(theta, &share, w, gradient);
    }

    pub(super) fn set_backward(
        &self,
        theta: &Natural,
        p: usize,
        total: f64,
        w: &mut Workspace,
        gradient: &mut Natural,
    ) {
        let (s, h) = (self.s, N_KINDS * self.n + p);
        let set = &self.sets.members[p];
        let scales = self.scales(p, w);
        let weight = (w.log_scale[h] - total).exp();
        for k in 0..s {
            let r = w.by_footprint[h * s + k] * weight;
            if r < NEGLIGIBLE {
                continue;
            }
            w.footprint_weight[k] += r;
            w.vitals.adjoint.path[(self.n + p) * s + k] += r;
            let terms = self.terms(theta, p, k, &scales, w);
            let mut inner = 0.0;
            let mut shares = [(0, 0, false, 0.0); 1 << (2 * MAX_CAUSES)];
            let mut n_modes = 0;
            self.for_each_mode(p, |latency, errors, explained| {
                let product = terms.product(set.len(), latency, errors);
                let miss = if explained {
                    1.0
                } else {
                    theta.unexplained_alarm
                };
                inner += miss * product;
                shares[n_modes] = (latency, errors, explained, miss * product);
                n_modes += 1;
            });
            let mut d_mode = [[[0.0; 2]; 2]; MAX_CAUSES];
            for &(latency, errors, explained, product) in &shares[..n_modes] {
                let share = r * product / inner;
                if !explained {
                    gradient.unexplained_alarm += share / theta.unexplained_alarm;
                }
                for (f, mask) in [latency, errors].into_iter().enumerate() {
                    if mask == 0 {
                        w.alarm_alone[f][k] += share;
                    } else {
                        w.gain_adjoint[f][self.source(f, p, mask) * s + k] += share;
                    }
                }
                for (j, d) in d_mode.iter_mut().enumerate().take(set.len()) {
                    let (l, e) = (latency >> j & 1, errors >> j & 1);
                    d[l][e] += share / terms.members[j].mode[l][e];
                }
            }
            for (j, &i) in set.iter().enumerate() {
                Self::member_backward(theta, i * s + k, &terms.members[j], &d_mode[j], w, gradient);
            }
        }
    }

    /// Adjoints of one root's weights, given those of its ways of showing.
    fn member_backward(
        theta: &Natural,
        at: usize,
        member: &Member,
        d_mode: &ByMode,
        w: &mut Workspace,
        gradient: &mut Natural,
    ) {
        for (c, kind) in SET_KINDS.into_iter().enumerate() {
            let prior = mode_prior(theta, kind);
            let weight = member.kind[c];
            let mut d_kind = 0.0;
            let mut d_prior: ByMode = [[0.0; 2]; 2];
            for l in 0..2 {
                for e in 0..2 {
                    if prior[l][e] > 0.0 {
                        d_kind += d_mode[l][e] * prior[l][e] * weight;
                        d_prior[l][e] = d_mode[l][e] * weight;
                    }
                }
            }
            mode_prior_backward(kind, &d_prior, gradient);
            kind_prior_backward(theta, kind, d_kind, gradient);
            let d = &mut w.vitals.adjoint;
            if kind == RESOURCE {
                d.resource[at] += d_kind;
            } else {
                d.disturbed[at] += d_kind;
            }
        }
    }

    /// Prior mass of a component in sets, and the part of it that leaves the alarm unexplained.
    fn set_masses(&self, theta: &Natural, w: &Workspace) -> (Vec<f64>, Vec<f64>) {
        let mass = |i: usize, unexplained: bool| -> f64 {
            SET_KINDS
                .into_iter()
                .map(|kind| {
                    let weight = kind_prior(theta, kind) * self.prior_weight[i * N_KINDS + kind];
                    if unexplained {
                        weight * w.modes[self.ways[i * N_KINDS + kind]].unexplained()
                    } else {
                        weight
                    }
                })
                .sum()
        };
        let all = (0..self.n).map(|i| mass(i, false)).collect();
        (all, (0..self.n).map(|i| mass(i, true)).collect())
    }

    /// Sum of the unnormalised prior weights of all sets of each size, considered or not.
    fn set_totals(&self, theta: &Natural, w: &Workspace) -> [f64; MAX_CAUSES] {
        let (all, unexplained) = self.set_masses(theta, w);
        let (a, u) = (elementary(&all), elementary(&unexplained));
        std::array::from_fn(|m| a[m + 1] - (1.0 - theta.unexplained_alarm) * u[m + 1])
    }

    /// Gradient of `-sum_m share_m ln total_m`.
    fn sets_prior_backward(
        &self,
        theta: &Natural,
        share: &[f64; MAX_CAUSES],
        w: &Workspace,
        gradient: &mut Natural,
    ) {
        let (all, unexplained) = self.set_masses(theta, w);
        let (a, u) = (elementary(&all), elementary(&unexplained));
        for m in 2..=MAX_CAUSES {
            if share[m - 1] <= NEGLIGIBLE {
                continue;
            }
            let g = -share[m - 1] / (a[m] - (1.0 - theta.unexplained_alarm) * u[m]);
            gradient.unexplained_alarm += g * u[m];
            let rest = -(1.0 - theta.unexplained_alarm) * g;
            for i in 0..self.n {
                let d_all = g * others(&a, all[i], m - 1);
                let d_unexplained = rest * others(&u, unexplained[i], m - 1);
                self.mass_backward(theta, i, (d_all, d_unexplained), w, gradient);
            }
        }
    }

    fn mass_backward(
        &self,
        theta: &Natural,
        i: usize,
        (d, d_unexplained): (f64, f64),
        w: &Workspace,
        gradient: &mut Natural,
    ) {
        for kind in SET_KINDS {
            let modes = &w.modes[self.ways[i * N_KINDS + kind]];
            let weight = kind_prior(theta, kind) * self.prior_weight[i * N_KINDS + kind];
            let by_kind = weight * (d + d_unexplained * modes.unexplained());
            kind_prior_backward(theta, kind, by_kind, gradient);
            if kind == LATENCY || kind == ERRORS {
                let d_prior = modes.unexplained_adjoint(d_unexplained * weight);
                mode_prior_backward(kind, &d_prior, gradient);
            }
        }
    }
}

/// Common logarithms taken out of a set's terms.
struct Scales {
    member: [f64; MAX_CAUSES],
    family: [f64; N_FAMILIES],
    /// `exp` of what each mask of members keeps of its source's common logarithm.
    share: [[f64; 1 << MAX_CAUSES]; N_FAMILIES],
}

impl Terms {
    /// Product of everything but the alarm's weight, for masks of the members that show in latency and in errors.
    fn product(&self, m: usize, latency: usize, errors: usize) -> f64 {
        let mut out = self.factor[LATENCY][latency] * self.factor[ERRORS][errors];
        for (j, member) in self.members.iter().enumerate().take(m) {
            out *= member.mode[latency >> j & 1][errors >> j & 1];
        }
        out
    }
}

/// Elementary symmetric polynomials of degree 0 to `MAX_CAUSES`.
fn elementary(x: &[f64]) -> [f64; MAX_CAUSES + 1] {
    let mut e = [0.0; MAX_CAUSES + 1];
    e[0] = 1.0;
    for &v in x {
        for m in (1..=MAX_CAUSES).rev() {
            e[m] += e[m - 1] * v;
        }
    }
    e
}

/// Elementary symmetric polynomial of a degree over all values but one, `x`.
fn others(e: &[f64; MAX_CAUSES + 1], x: f64, degree: usize) -> f64 {
    (1..=degree).fold(1.0, |lower, m| e[m] - x * lower)
}
