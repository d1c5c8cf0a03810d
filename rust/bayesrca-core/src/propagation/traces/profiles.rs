//! How a fault of each kind shows in spans and logs: probabilities, hand-set, the same for every system (eq. 22).

use crate::params::N_KINDS;

/// Groups of cells that show a fault together or not at all.
pub(super) const N_GROUPS: usize = 10;
/// Patterns of the components around the roots.
pub(super) const CALLERS: usize = 0;
pub(super) const ANCESTORS: usize = 1;
pub(super) const CALLEES: usize = 2;
pub(super) const SIBLINGS: usize = 3;
/// Gaps of edges into the roots; then those out of them, and those into their callers.
pub(super) const GAP: usize = 4;
/// The same of truncation; out of a root it lies at exactly one edge.
pub(super) const TERMINAL: usize = 7;
pub(super) const TERMINAL_OUT: usize = 8;
/// Edges within `GAP` and `TERMINAL`: into the roots, out of them, into their callers.
pub(super) const INTO: usize = 0;
pub(super) const OUT: usize = 1;
pub(super) const ABOVE: usize = 2;

/// Probability that a member of a group that shows the fault shows it.
pub(super) const SHARE: [f64; N_GROUPS] = [0.5, 0.5, 0.8, 0.5, 0.8, 0.8, 0.8, 0.7, 1.0, 0.7];

/// One way in which a fault shows.
pub(super) struct Profile {
    /// Probability that the root shows it in its own patterns, in its own times.
    pub own: [f64; 2],
    /// Probability that each group shows it.
    pub group: [f64; N_GROUPS],
}

/// Ways of showing: slow, slow to reach, behaving otherwise, behaving otherwise unseen but for calls cut short, and
/// behaving otherwise without anybody else's noticing. The last is one way, not much of every group's share: whether
/// callers notice and whether theirs do goes together.
pub(super) const N_PROFILES: usize = 5;
pub(super) const PROFILES: [Profile; N_PROFILES] = [
    Profile {
        own: [0.15, 0.6],
        group: [0.2, 0.1, 0.02, 0.02, 0.6, 0.4, 0.05, 0.08, 0.05, 0.08],
    },
    Profile {
        own: [0.1, 0.15],
        group: [0.5, 0.3, 0.03, 0.15, 0.95, 0.35, 0.05, 0.3, 0.1, 0.2],
    },
    Profile {
        own: [0.95, 0.1],
        group: [0.6, 0.5, 0.25, 0.3, 0.05, 0.03, 0.03, 0.5, 0.3, 0.35],
    },
    Profile {
        own: [0.05, 0.1],
        group: [0.6, 0.5, 0.25, 0.3, 0.05, 0.03, 0.03, 0.95, 0.05, 0.35],
    },
    Profile {
        own: [0.95, 0.1],
        group: [0.03, 0.02, 0.1, 0.02, 0.05, 0.03, 0.03, 0.03, 0.3, 0.02],
    },
];

/// Probability of each profile given the kind, in the order of `params::KINDS`.
pub(super) const MIX: [[f64; N_PROFILES]; N_KINDS] = [
    [1.0, 0.0, 0.0, 0.0, 0.0],
    OTHERWISE,
    [1.0, 0.0, 0.0, 0.0, 0.0],
    [1.0, 0.0, 0.0, 0.0, 0.0],
    [0.0, 1.0, 0.0, 0.0, 0.0],
    [0.0, 0.0, 0.0, 1.0, 0.0],
    OTHERWISE,
];
const OTHERWISE: [f64; N_PROFILES] = [0.0, 0.0, 0.45, 0.25, 0.3];
/// The same for whoever is around a set of causes, whose kinds are summed out each on its own.
pub(super) const SET_MIX: [f64; N_PROFILES] = [0.45, 0.0, 0.25, 0.15, 0.15];

/// Probability that a group of a set of causes shows the fault.
pub(super) fn set_group(group: usize) -> f64 {
    let parts = PROFILES.iter().zip(SET_MIX);
    parts
        .map(|(profile, share)| share * profile.group[group])
        .sum()
}
