//! Cooperative games: what a coalition of players is worth, and how to grow one player by player.

/// A set of players.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Coalition {
    words: Vec<u64>,
    n_players: usize,
}

impl Coalition {
    /// The coalition of nobody, among `n_players`.
    #[must_use]
    pub fn empty(n_players: usize) -> Self {
        Self {
            words: vec![0; n_players.div_ceil(64)],
            n_players,
        }
    }

    /// The coalition of everybody.
    #[must_use]
    pub fn grand(n_players: usize) -> Self {
        Self::of(n_players, 0..n_players)
    }

    /// The coalition of some players.
    ///
    /// # Panics
    /// When a player is out of range.
    #[must_use]
    pub fn of(n_players: usize, players: impl IntoIterator<Item = usize>) -> Self {
        let mut coalition = Self::empty(n_players);
        for player in players {
            coalition.insert(player);
        }
        coalition
    }

    /// Add a player.
    ///
    /// # Panics
    /// When the player is out of range.
    pub fn insert(&mut self, player: usize) {
        assert!(player < self.n_players, "player {player} is out of range");
        self.words[player / 64] |= 1 << (player % 64);
    }

    /// Whether a player belongs to it.
    #[must_use]
    pub fn contains(&self, player: usize) -> bool {
        self.words
            .get(player / 64)
            .is_some_and(|word| word >> (player % 64) & 1 == 1)
    }

    /// Players of the game, members or not.
    #[must_use]
    pub fn n_players(&self) -> usize {
        self.n_players
    }

    /// Number of members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// Whether it has no member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|&w| w == 0)
    }

    /// Members, ascending.
    pub fn players(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.n_players).filter(|&i| self.contains(i))
    }
}

/// A game with an incremental evaluation. Implementations validate their input when they are built; the value of a
/// coalition is then finite.
pub trait Game: Sync {
    /// Scratch state that grows one coalition.
    type Walk<'a>: Walk
    where
        Self: 'a;

    /// Number of players.
    fn n_players(&self) -> usize;

    /// Fresh scratch state.
    fn walk(&self) -> Self::Walk<'_>;

    /// Players that can change the value, ascending; every other player is a null player, its Shapley value is
    /// exactly 0 and it is never sampled.
    fn active_players(&self) -> Vec<u32> {
        (0..self.n_players() as u32).collect()
    }

    /// Value of a coalition.
    fn value(&self, coalition: &Coalition) -> f64 {
        let mut walk = self.walk();
        let empty = walk.start();
        coalition.players().fold(empty, |_, i| walk.add(i))
    }

    /// Values of many coalitions, rows of `n_players` bytes, 1 for a member and 0 for everybody else.
    fn values_of(&self, rows: &[u8], out: &mut [f64]) {
        let mut walk = self.walk();
        for (row, value) in rows.chunks_exact(self.n_players()).zip(out) {
            let members = (0..row.len()).filter(|&i| row[i] != 0);
            *value = walk.start();
            *value = members.fold(*value, |_, i| walk.add(i));
        }
    }

    /// Orders to walk with one call of [`Walk::along`], where calls rather than coalitions are dear. It must not depend
    /// on the number of threads.
    fn preferred_orders(&self) -> Option<usize> {
        None
    }

    /// Value of the empty coalition.
    fn baseline(&self) -> f64 {
        self.walk().start()
    }

    /// Value of the coalition of all players.
    fn grand(&self) -> f64 {
        self.value(&Coalition::grand(self.n_players()))
    }

    /// Bounds on the value of every coalition, where they are known.
    fn range(&self) -> Option<(f64, f64)> {
        None
    }

    /// Exact Shapley values, where a formula gives them.
    fn closed_form(&self) -> Option<Vec<f64>> {
        None
    }

    /// Exact pairwise Shapley interaction indices, row-major by players, where a formula gives them.
    fn closed_form_interactions(&self) -> Option<Vec<f64>> {
        None
    }

    /// A cheap game that moves with this one: the control variate of the estimators.
    fn surrogate(&self) -> Option<&dyn Surrogate> {
        None
    }

    /// Standard error of each player's Shapley value that stems from the game itself being an average over samples,
    /// where it is one, judged along `orders` (rows of `active_players().len()` players).
    fn inner_std_err(&self, _orders: &[u32]) -> Option<Vec<f64>> {
        None
    }
}

/// The growing coalition of a [`Game`].
pub trait Walk: Clone + Send + Sync {
    /// Go back to the empty coalition and return its value.
    fn start(&mut self) -> f64;

    /// Let a player join who is not a member yet; returns the value after.
    fn add(&mut self, player: usize) -> f64;

    /// Become a copy of another walk of the same game, reusing memory where that pays.
    fn copy_from(&mut self, other: &Self) {
        *self = other.clone();
    }

    /// Values along several orders, rows of `length` players: `values[row * length + k]` follows the first `k + 1`
    /// players of the row. Returns the value of the empty coalition.
    fn along(&mut self, orders: &[u32], length: usize, values: &mut [f64]) -> f64 {
        let mut empty = 0.0;
        for (order, row) in orders
            .chunks_exact(length)
            .zip(values.chunks_exact_mut(length))
        {
            empty = self.start();
            for (&player, value) in order.iter().zip(row) {
                *value = self.add(player as usize);
            }
        }
        empty
    }

    /// Values of all coalitions that add some of the `free` players (few: there are `2^free` coalitions) to all the
    /// `fixed` ones: `values[subset of free as a bit set]`.
    fn block(&mut self, fixed: &[u32], free: &[u32], values: &mut [f64]) {
        values[0] = self.start();
        for &player in fixed {
            values[0] = self.add(player as usize);
        }
        let mut walks = vec![self.clone(); free.len() + 1];
        grow(&mut walks, free, 0, 0, values);
    }
}

/// Values of all coalitions that extend the first walk's by players from `from` on, depth first.
fn grow<W: Walk>(
    walks: &mut [W],
    players: &[u32],
    from: usize,
    members: usize,
    values: &mut [f64],
) {
    for j in from..players.len() {
        let (here, deeper) = walks.split_at_mut(1);
        deeper[0].copy_from(&here[0]);
        let with = members | 1 << j;
        values[with] = deeper[0].add(players[j] as usize);
        grow(deeper, players, j + 1, with, values);
    }
}

/// A game that moves with another one and whose marginals along an order cost little.
pub trait Surrogate: Sync {
    /// Where its Shapley values come from.
    fn shapley(&self) -> SurrogateValues<'_>;

    /// Bounds on the value of every coalition.
    fn range(&self) -> (f64, f64);

    /// Marginal contributions along one order.
    fn marginals(&self, order: &[u32], out: &mut [f64]);
}

/// Shapley values of a [`Surrogate`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SurrogateValues<'a> {
    /// Known exactly, one per player.
    Exact(&'a [f64]),
    /// To be averaged over orders of their own, this many for each order of the game.
    ByWalks(u32),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coalition_is_a_set() {
        let mut c = Coalition::of(130, [129, 0, 64]);
        c.insert(64);
        assert_eq!(c.players().collect::<Vec<_>>(), [0, 64, 129]);
        assert_eq!((c.len(), c.is_empty(), c.n_players()), (3, false, 130));
        assert!(!c.contains(1) && !c.contains(4000));
        assert_eq!(Coalition::grand(130).len(), 130);
        assert!(Coalition::empty(0).is_empty());
    }
}
