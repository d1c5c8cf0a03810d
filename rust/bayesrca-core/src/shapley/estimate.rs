//! What an estimation is asked for and what it returns.

use std::fmt;

use crate::error::{Error, Result};

/// When the widest half-width is small enough.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tolerance {
    /// In units of the game's value.
    Absolute(f64),
    /// Relative to the root mean square of the Shapley values of the active players.
    Relative(f64),
}

/// Whether exact methods may replace sampling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    /// A closed form where the game has one, enumeration where it costs no more than sampling would, else sampling: walks,
    /// or on a budget and for games valued in batches, where the number of evaluations is all that counts,
    /// `Leverage` if it promises the smaller error. It does for up to 20 players (it was better or about equal on every
    /// game tried, and far better near enumeration). Above that, a budget of 512 walks or more tries both on a
    /// sixteenth of it each, at most 128 walks, independently of what
    /// follows, so that the choice does not bend the errors.
    #[default]
    Automatic,
    /// Walks along sampled orders always.
    Sampled,
    /// Weighted least squares over coalitions sampled by leverage (Musco & Witter 2025), on a budget.
    Leverage,
}

/// What the half-widths rest on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Guarantee {
    /// The central limit theorem: honest for many units.
    #[default]
    Asymptotic,
    /// An empirical Bernstein bound (Maurer & Pontil 2009) for independent pairs or worlds of a game that states its
    /// range, with doubling looks and a union bound over looks and players: for all players at once and any number of
    /// units, and several times as wide.
    Bernstein,
}

/// Effort and seed of an estimation.
///
/// A tolerance asks for independent antithetic pairs of orders until a confidence sequence over all players at once is
/// narrow enough; a budget for 16 independent scrambles of a Sobol sequence; neither for a budget of 16 x 64 walks;
/// both for the tolerance with the budget as its limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Half-width at which to stop.
    pub tolerance: Option<Tolerance>,
    /// Most evaluations of the game (of worlds, for a live-edge game).
    pub budget: Option<u64>,
    /// Seed of every random stream.
    pub seed: u64,
    /// Coverage of the half-widths, inside (0, 1).
    pub confidence: f64,
    /// Whether exact methods may replace sampling.
    pub method: Method,
    /// What the half-widths rest on.
    pub guarantee: Guarantee,
}

impl Options {
    /// The default effort at 95% confidence.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            tolerance: None,
            budget: None,
            seed,
            confidence: 0.95,
            method: Method::Automatic,
            guarantee: Guarantee::Asymptotic,
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        if !(self.confidence > 0.0 && self.confidence < 1.0) {
            return Err(Error::evidence("confidence", "must lie inside (0, 1)"));
        }
        match self.tolerance {
            Some(Tolerance::Absolute(t) | Tolerance::Relative(t))
                if !(t > 0.0 && t.is_finite()) =>
            {
                Err(Error::evidence("tolerance", "must be positive and finite"))
            }
            _ => Ok(()),
        }
    }
}

/// How the values and their errors came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// A formula for this kind of game.
    ClosedForm,
    /// All coalitions of the active players.
    Enumeration,
    /// Independent antithetic pairs under an asymptotic confidence sequence, Bonferroni over players.
    PairSequence,
    /// Independent antithetic pairs, t-interval per player.
    PairInterval,
    /// A single random order: no error can be given.
    SingleWalk,
    /// Independent scrambles of a Sobol sequence with reversal, t-interval per player.
    ScrambleInterval,
    /// As `PairInterval`, because the game has more players than the Sobol sequence has dimensions.
    ManyPlayersPairInterval,
    /// Independent words of 64 worlds under an asymptotic confidence sequence, Bonferroni over players.
    WorldSequence,
    /// Independent words of 64 worlds, t-interval per player.
    WorldInterval,
    /// Independent antithetic pairs under an empirical Bernstein bound, Bonferroni over players and looks.
    PairBernstein,
    /// Independent words of 64 worlds under an empirical Bernstein bound, Bonferroni over players and looks.
    WorldBernstein,
    /// Regression on sampled coalitions, delete-a-group jackknife and t-interval per player.
    LeverageJackknife,
}

impl Rule {
    /// Stable word for automation.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::ClosedForm => "closed_form",
            Self::Enumeration => "enumeration",
            Self::PairSequence => "antithetic_pairs_confidence_sequence",
            Self::PairInterval => "antithetic_pairs_t_interval",
            Self::SingleWalk => "single_walk_no_error",
            Self::ScrambleInterval => "sobol_scrambles_t_interval",
            Self::ManyPlayersPairInterval => "antithetic_pairs_t_interval_above_256_players",
            Self::WorldSequence => "worlds_confidence_sequence",
            Self::WorldInterval => "worlds_t_interval",
            Self::PairBernstein => "antithetic_pairs_empirical_bernstein",
            Self::WorldBernstein => "worlds_empirical_bernstein",
            Self::LeverageJackknife => "leverage_jackknife",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// Shapley values with their errors.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// Shapley value of each player, in units of the game's value.
    pub values: Vec<f64>,
    /// Standard error of each value over the sampled orders or worlds; 0 where exact, infinite where a single unit was
    /// sampled. Like any, it knows nothing of coalitions too rare to have been sampled; a Bernstein bound does.
    pub std_err: Vec<f64>,
    /// Half-width of each interval at the asked confidence: for all players and all times at once under a confidence
    /// sequence or a Bernstein bound, for one player at a time under a t-interval.
    pub half_width: Vec<f64>,
    /// Standard error that stems from the game itself being an average over samples, where it is one.
    pub inner_std_err: Option<Vec<f64>>,
    /// Evaluations of the game.
    pub n_evaluations: u64,
    /// Evaluations of the game's surrogate (its control variate), where one was used.
    pub n_surrogate_evaluations: u64,
    /// Independent sampling units (pairs, scrambles or words of worlds).
    pub n_units: u64,
    /// With a tolerance: it was met. Without: the budget was spent in full. Always true where exact.
    pub converged: bool,
    /// Value of the empty coalition.
    pub baseline: f64,
    /// Value of the coalition of all players.
    pub grand: f64,
    /// How the values and errors came about.
    pub rule: Rule,
    /// Whether the values are exact, up to rounding.
    pub exact: bool,
}

impl Estimate {
    pub(super) fn exact(
        values: Vec<f64>,
        rule: Rule,
        ends: (f64, f64),
        n_evaluations: u64,
    ) -> Result<Self> {
        if values
            .iter()
            .chain([&ends.0, &ends.1])
            .any(|v| !v.is_finite())
        {
            return Err(not_finite());
        }
        let n = values.len();
        Ok(Self {
            values,
            std_err: vec![0.0; n],
            half_width: vec![0.0; n],
            inner_std_err: None,
            n_evaluations,
            n_surrogate_evaluations: 0,
            n_units: 0,
            converged: true,
            baseline: ends.0,
            grand: ends.1,
            rule,
            exact: true,
        })
    }

    /// Sum of the values minus what the coalition of all players adds: rounding, for every unbiased method here.
    #[must_use]
    pub fn efficiency_gap(&self) -> f64 {
        self.values.iter().sum::<f64>() - (self.grand - self.baseline)
    }
}

pub(super) fn not_finite() -> Error {
    Error::Numerical("a coalition's value is not finite".into())
}

/// State of a running computation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Evaluations so far.
    pub n_evaluations: u64,
    /// Evaluations at which the computation ends at the latest, where that is known.
    pub planned: Option<u64>,
    /// Widest half-width so far; infinite before the first two units.
    pub half_width: f64,
    /// Half-width at which the computation stops, when a tolerance was asked for.
    pub target: Option<f64>,
}

/// What a monitor wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Go on.
    Continue,
    /// Return what there is, with its errors (a deadline nears). Exact computations have nothing to return yet and
    /// treat it as `Cancel`.
    Finish,
    /// Stop with `Error::Cancelled`.
    Cancel,
}

/// Called between blocks of work.
pub type Monitor<'a> = &'a mut dyn FnMut(&Progress) -> Control;
