//! Several causes at once: sets of two or three components, their prior and their joint probability (eq. 15).
//!
//! Every root has a kind and shows in latency, in errors, in both or in neither; in each family the fault spreads from
//! those roots that show there. Kinds are summed out. Load and link faults are weighed as single causes only.

use std::collections::HashMap;

use super::hypotheses::{ByMode, kind_prior, kind_prior_backward, mode_prior, mode_prior_backward};
use super::likelihood::{Likelihood, NEGLIGIBLE, Workspace};
use crate::error::{Error, Result};
use crate::params::{CODE, CRASH, ERRORS, LATENCY, N_FAMILIES, N_KINDS, Natural, RESOURCE};

/// Largest set.
pub const MAX_CAUSES: usize = 3;
/// Prior probability of one, two and three causes, given that there is one.
pub const SIZES: [f64; MAX_CAUSES] = [0.8, 0.15, 0.05];
/// Kinds that the roots of a set may have.
pub(super) const SET_KINDS: [usize; 5] = [LATENCY, ERRORS, RESOURCE, CRASH, CODE];

/// The sets that are weighed.
#[derive(Debug, Clone)]
pub(crate) struct Sets {
    members: Vec<Vec<usize>>,
    /// Where a fault that shows in some of a set's members spreads from: by bit mask of members, a component, or the
    /// number of components plus the position of a set.
    subsets: Vec<Vec<usize>>,
    /// Components that are in any set, ascending, and the places of each set's members among them.
    components: Vec<usize>,
    places: Vec<Vec<usize>>,
    sizes: [f64; MAX_CAUSES],
}

impl Default for Sets {
    fn default() -> Self {
        Self {
            members: Vec::new(),
            subsets: Vec::new(),
            components: Vec::new(),
            places: Vec::new(),
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
        let mut components = members.concat();
        components.sort_unstable();
        components.dedup();
        let place = |i: &usize| components.partition_point(|c| c < i);
        let places = members.iter().map(|set| set.iter().map(place).collect());
        Ok(Self {
            places: places.collect(),
            components,
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
pub(super) struct Member {
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
        self.traces.drop_sets();
        self.alerts.drop_sets();
        for set in sets.members() {
            self.vitals.add_source(set);
            self.traces.add_source(set);
            self.alerts.add_set(set);
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
        self.fill_members(theta, w);
        for p in 0..self.sets.len() {
            let m = self.sets.members[p].len();
            let scales = self.scales(p, w);
            let most = self.most_path(p, w);
            for k in 0..self.s {
                let terms = self.terms(p, k, &scales, w);
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
            let around = w.traces.log.set[p] + self.alerts.of_set(p);
            let scale = log_prior + prior + around + most + scales.family.iter().sum::<f64>();
            self.close(
                N_KINDS * self.n + p,
                scale + scales.member.iter().sum::<f64>(),
                w,
            );
        }
    }

    /// Fill the weights of every component that is in a set, `[place * s + footprint]`, each over `exp` of its scale.
    fn fill_members(&self, theta: &Natural, w: &mut Workspace) {
        let s = self.s;
        let priors = SET_KINDS.map(|kind| (kind_prior(theta, kind), mode_prior(theta, kind)));
        let (log, traced) = (&w.vitals.log, &w.traces.log.member);
        w.members.clear();
        w.member_scale.clear();
        for &i in &self.sets.components {
            let row = i * s..(i + 1) * s;
            let most = row
                .clone()
                .map(|at| log.resource[at].max(log.disturbed[at]).max(log.code[at]))
                .fold(f64::NEG_INFINITY, f64::max);
            w.member_scale.push(most);
            w.members.extend(row.map(|at| {
                let resource = (log.resource[at] - most).exp();
                let disturbed = (log.disturbed[at] - most).exp();
                let code = (log.code[at] - most).exp();
                let mut member = Member::default();
                for (c, kind) in SET_KINDS.into_iter().enumerate() {
                    let (vital, presence) = match kind {
                        RESOURCE => (resource, self.root_factor[at]),
                        CODE => (code, self.root_factor[at]),
                        CRASH => (disturbed, self.crash_factor[at]),
                        _ => (disturbed, self.root_factor[at]),
                    };
                    let own = self.joint_weight[i * N_KINDS + kind] * presence;
                    let (prior, modes) = priors[c];
                    let shown = traced[i * N_KINDS + kind].exp();
                    let weight = prior * own * vital * shown;
                    member.kind[c] = weight;
                    for l in 0..2 {
                        for e in 0..2 {
                            member.mode[l][e] += weight * modes[l][e];
                        }
                    }
                }
                member
            }));
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
        for (scale, &place) in member.iter_mut().zip(&self.sets.places[p]) {
            *scale = w.member_scale[place];
        }
        let family = [0, 1].map(|f| {
            (1..1usize << set.len())
                .map(|mask| w.common[f][self.source(f, p, mask)])
                .fold(0.0, f64::max)
        });
        let mut share = [[0.0; 1 << MAX_CAUSES]; N_FAMILIES];
        for f in 0..N_FAMILIES {
            share[f][0] = exp_of(-family[f]);
            for mask in 1..1usize << set.len() {
                share[f][mask] = exp_of(w.common[f][self.source(f, p, mask)] - family[f]);
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

    fn terms(&self, p: usize, k: usize, scales: &Scales, w: &Workspace) -> Terms {
        let set = &self.sets.members[p];
        let mut members = [Member::default(); MAX_CAUSES];
        for (member, &place) in members.iter_mut().zip(&self.sets.places[p]) {
            *member = w.members[place * self.s + k];
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
    pub(super) fn sets_backward(&self, theta: &Natural, w: &mut Workspace, gradient: &mut Natural) {
        if self.sets.len() == 0 {
            return;
        }
        let mut share = [0.0; MAX_CAUSES];
        for p in 0..self.sets.len() {
            let h = N_KINDS * self.n + p;
            let one = w.share[h];
            share[self.sets.members[p].len() - 1] += one;
            if one > NEGLIGIBLE {
                self.set_backward(theta, p, one, w, gradient);
            }
        }
        self.sets_prior_backward(theta, &share, w, gradient);
    }

    pub(super) fn set_backward(
        &self,
        theta: &Natural,
        p: usize,
        share: f64,
        w: &mut Workspace,
        gradient: &mut Natural,
    ) {
        let (s, h) = (self.s, N_KINDS * self.n + p);
        let set = &self.sets.members[p];
        let scales = self.scales(p, w);
        let weight = share / w.sum[h];
        for k in 0..s {
            let r = w.by_footprint[h * s + k] * weight;
            if r < NEGLIGIBLE {
                continue;
            }
            w.footprint_weight[k] += r;
            w.vitals.adjoint.path[(self.n + p) * s + k] += r;
            w.traces.adjoint.set[p] += r;
            let terms = self.terms(p, k, &scales, w);
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
                    d[l][e] += share;
                }
            }
            for (d, member) in d_mode.iter_mut().zip(&terms.members[..set.len()]) {
                for (d, mode) in d.iter_mut().flatten().zip(member.mode.iter().flatten()) {
                    *d /= mode;
                }
            }
            for (j, &i) in set.iter().enumerate() {
                let place = (i, i * s + k);
                Self::member_backward(theta, place, &terms.members[j], &d_mode[j], w, gradient);
            }
        }
    }

    /// Adjoints of one root's weights, given those of its ways of showing.
    fn member_backward(
        theta: &Natural,
        (i, at): (usize, usize),
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
            w.traces.adjoint.member[i * N_KINDS + kind] += d_kind;
            let d = &mut w.vitals.adjoint;
            match kind {
                RESOURCE => d.resource[at] += d_kind,
                CODE => d.code[at] += d_kind,
                _ => d.disturbed[at] += d_kind,
            }
        }
    }
}

/// `exp`, mostly of 0: little ever leaves the range of a double.
fn exp_of(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { x.exp() }
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
