//! What a bench draws from: agents of unequal activity, and sets that lose and gain members.

use std::collections::HashMap;
use std::hash::Hash;

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

/// Ranks drawn by Zipf's law with exponent 1: the second is drawn half as often as the first, the
/// third a third as often.
pub struct Zipf {
    /// The share of each rank and all before it.
    shares: Vec<f64>,
}

impl Zipf {
    /// Makes a law over so many ranks.
    pub fn new(ranks: usize) -> Self {
        let mut sum = 0.0;
        let sums = (1..=ranks).map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        });
        let mut shares: Vec<f64> = sums.collect();
        shares.iter_mut().for_each(|share| *share /= sum);
        Self { shares }
    }

    /// Draws a rank, from 0.
    pub fn draw(&self, rng: &mut ChaCha8Rng) -> usize {
        let drawn = f64::from(rng.random_range(0..u32::MAX)) / f64::from(u32::MAX);
        self.shares.partition_point(|share| *share <= drawn)
    }
}

/// Returns the numbers below `count` in an order that is drawn.
pub fn shuffled(count: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..count).collect();
    for index in (1..count).rev() {
        numbers.swap(index, rng.random_range(0..=index));
    }
    numbers
}

/// What is open, to draw from and to remove from by its id.
pub struct Open<K, V> {
    members: Vec<(K, V)>,
    places: HashMap<K, usize>,
}

impl<K: Copy + Eq + Hash, V: Copy> Open<K, V> {
    pub fn new() -> Self {
        Self { members: Vec::new(), places: HashMap::new() }
    }

    pub fn len(&self) -> usize {
        self.members.len()
    }

    pub fn add(&mut self, id: K, what: V) {
        self.places.insert(id, self.members.len());
        self.members.push((id, what));
    }

    /// Removes a member, if it is one.
    pub fn remove(&mut self, id: K) -> Option<V> {
        let place = self.places.remove(&id)?;
        let (_, what) = self.members.swap_remove(place);
        if let Some((moved, _)) = self.members.get(place) {
            self.places.insert(*moved, place);
        }
        Some(what)
    }

    /// Draws a member, if there is one.
    pub fn draw(&self, rng: &mut ChaCha8Rng) -> Option<(K, V)> {
        match self.members.len() {
            0 => None,
            len => Some(self.members[rng.random_range(0..len)]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;

    #[test]
    fn the_second_is_drawn_half_as_often_as_the_first() {
        let (law, mut rng) = (Zipf::new(100), ChaCha8Rng::seed_from_u64(1));
        let mut drawn = [0_u32; 100];
        for _ in 0..100_000 {
            drawn[law.draw(&mut rng)] += 1;
        }
        let ratio = f64::from(drawn[0]) / f64::from(drawn[1]);
        assert!((1.9..2.1).contains(&ratio), "{ratio}");
        assert!(drawn[99] > 0);
    }

    #[test]
    fn what_was_removed_is_not_drawn() {
        let (mut open, mut rng) = (Open::new(), ChaCha8Rng::seed_from_u64(1));
        (0..3).for_each(|id| open.add(id, ()));
        assert_eq!((open.remove(0), open.remove(0), open.remove(2)), (Some(()), None, Some(())));
        assert_eq!((open.len(), open.draw(&mut rng)), (1, Some((1, ()))));
    }
}
