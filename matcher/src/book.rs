//! The live standing quotes of one capability by price: any of them changes at the cost of a cache
//! line or two, and the best are at hand in order.
//!
//! Each quote has a place of its own for good. Over the places stands a tree of minima, so a change
//! ends where a minimum stays what it was, which is nearly always at once. The best few are kept
//! sorted beside it; the tree is asked only when they have run out.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::hint::black_box;

use gavel_protocol::Micros;

use crate::limits::{STANDING_QUOTES_MAX, STANDING_VISITED_MAX};

/// What a book is ordered by: price, then place among ties. No two live quotes have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(u128);

/// Children of a node of the tree: few enough to look through, and enough to change the least of them
/// seldom.
const CHILDREN: usize = 16;

/// Levels of the tree over as many quotes as one book may get.
const LEVELS_MAX: usize = STANDING_QUOTES_MAX.ilog2().div_ceil(CHILDREN.ilog2()) as usize + 1;

/// Quotes that are fetched from the tree at once, when more are asked for than are at hand.
const FETCHED: usize = 64;

/// The most that are kept at hand.
const BEST_MAX: usize = STANDING_VISITED_MAX;

const _: () = assert!(FETCHED <= BEST_MAX);

/// The live standing quotes of one capability.
#[derive(Debug)]
pub(crate) struct Book {
    /// First the key of each place, then the least of every [`CHILDREN`] keys of the level below.
    levels: [Vec<Key>; LEVELS_MAX],
    /// The slot of each place.
    slots: Vec<u32>,
    live: usize,
    /// The first of the live quotes, in order.
    best: Vec<(Key, u32)>,
}

/// The memory of a walk through a tree: nodes whose parents have been visited, the least first.
#[derive(Debug)]
pub(crate) struct Frontier(BinaryHeap<Reverse<(Key, usize, usize)>>);

impl Key {
    /// The key of a place whose quote is not live: behind all others.
    pub(crate) const ENDED: Self = Self(u128::MAX);

    pub(crate) fn new(price: Micros, priority: u64) -> Self {
        // Prices are above zero: their order is that of their bits.
        Self(u128::from(price.raw().cast_unsigned()) << u64::BITS | u128::from(priority))
    }
}

impl Book {
    pub(crate) fn new() -> Self {
        Self {
            levels: core::array::from_fn(|_| Vec::new()),
            slots: Vec::new(),
            live: 0,
            best: Vec::with_capacity(BEST_MAX),
        }
    }

    /// Adds a place for the quote in `slot`, and returns it; the quote is not live yet.
    pub(crate) fn add(&mut self, slot: u32) -> u32 {
        let place = self.slots.len();
        self.slots.push(slot);
        let mut nodes = place;
        for level in &mut self.levels {
            if nodes < level.len() {
                break;
            }
            level.push(Key::ENDED);
            nodes /= CHILDREN;
        }
        u32::try_from(place).expect("invariant: slots are u32, and each has one place")
    }

    /// Gives a place another key than `before`: that of a live quote, or [`Key::ENDED`].
    pub(crate) fn set(&mut self, place: u32, before: Key, key: Key) {
        self.replace(place as usize, before, key);
        if before != Key::ENDED {
            self.live -= 1;
            // What is not behind the last of the best is one of them.
            if self.best.last().is_some_and(|(last, _)| before <= *last) {
                self.best.remove(self.among_best(before));
            }
        }
        if key != Key::ENDED {
            let all_at_hand = self.best.len() == self.live;
            self.live += 1;
            let at = self.among_best(key);
            // Behind the last of the best may be others; unless there are none, and there is room.
            if at < self.best.len() || (all_at_hand && at < BEST_MAX) {
                self.best.truncate(BEST_MAX - 1);
                self.best.insert(at, (key, self.slots[place as usize]));
            }
        }
    }

    /// Reads what [`Book::set`] will read.
    pub(crate) fn look_ahead(&self, place: u32) {
        black_box((self.levels[0][place as usize], self.levels[1][place as usize / CHILDREN]));
    }

    /// Returns the first `most` slots, as far as they are at hand.
    pub(crate) fn at_hand(&self, most: usize) -> impl Iterator<Item = u32> {
        self.best.iter().take(most).map(|(_, slot)| *slot)
    }

    /// Calls `visit` with the live quotes in order, until it says stop or [`STANDING_VISITED_MAX`]
    /// have been visited.
    pub(crate) fn visit(&mut self, frontier: &mut Frontier, mut visit: impl FnMut(u32) -> bool) {
        let mut visited = 0;
        loop {
            for (_, slot) in &self.best[visited..] {
                if !visit(*slot) {
                    return;
                }
            }
            visited = self.best.len();
            if visited == self.live.min(BEST_MAX) {
                return;
            }
            let most = if visited < FETCHED { FETCHED } else { BEST_MAX };
            self.fetch(frontier, most);
        }
    }

    /// Returns where a key is or belongs among the best.
    fn among_best(&self, key: Key) -> usize {
        self.best.partition_point(|(other, _)| *other < key)
    }

    /// Changes a key in the tree. Who changes it knows what it was: so the key itself is only
    /// written, and nobody waits for its line.
    fn replace(&mut self, place: usize, before: Key, key: Key) {
        self.levels[0][place] = key;
        let (mut node, mut was, mut is) = (place, before, key);
        for level in 1..LEVELS_MAX {
            let parent = node / CHILDREN;
            let least_before = self.levels[level][parent];
            let least = if is <= least_before {
                is
            } else if was == least_before {
                self.least_child(level, parent)
            } else {
                least_before
            };
            if least == least_before {
                break;
            }
            self.levels[level][parent] = least;
            (node, was, is) = (parent, least_before, least);
        }
    }

    fn least_child(&self, level: usize, parent: usize) -> Key {
        let least = self.children(level, parent).iter().min();
        *least.expect("a node has a child before it is made")
    }

    fn children(&self, level: usize, parent: usize) -> &[Key] {
        let below = &self.levels[level - 1];
        let first = parent * CHILDREN;
        &below[first..below.len().min(first + CHILDREN)]
    }

    /// Brings the first `most` live quotes to hand.
    fn fetch(&mut self, Frontier(frontier): &mut Frontier, most: usize) {
        self.best.clear();
        frontier.clear();
        frontier.push(Reverse((self.levels[LEVELS_MAX - 1][0], LEVELS_MAX - 1, 0)));
        while let Some(Reverse((key, level, node))) = frontier.pop() {
            if level > 0 {
                let children = self.children(level, node).iter().zip(node * CHILDREN..);
                let live = children.filter(|(key, _)| **key != Key::ENDED);
                frontier.extend(live.map(|(key, node)| Reverse((*key, level - 1, node))));
                continue;
            }
            self.best.push((key, self.slots[node]));
            if self.best.len() == most {
                return;
            }
        }
    }
}

impl Frontier {
    /// Makes room for the longest walk: every step to a quote opens one node per level at most.
    pub(crate) fn new() -> Self {
        Self(BinaryHeap::with_capacity(BEST_MAX * LEVELS_MAX * CHILDREN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;

    fn visited(book: &mut Book, most: usize) -> Vec<u32> {
        let mut seen = Vec::new();
        book.visit(&mut Frontier::new(), |slot| {
            seen.push(slot);
            seen.len() < most
        });
        seen
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn it_orders_like_a_sorted_map(
            steps in proptest::collection::vec(
                (0_u32..600, proptest::option::weighted(0.8, 1_i64..400), 1_usize..300),
                0..2_000,
            ),
        ) {
            let (mut book, mut twin) = (Book::new(), BTreeMap::new());
            let (mut places, mut keys) = (BTreeMap::new(), BTreeMap::new());
            for (priority, (slot, price, most)) in (1..).zip(steps) {
                let place = *places.entry(slot).or_insert_with(|| book.add(slot));
                twin.retain(|_, other| *other != slot);
                let key = price.map_or(Key::ENDED, |price| Key::new(Micros::new(price), priority));
                book.set(place, keys.insert(slot, key).unwrap_or(Key::ENDED), key);
                if price.is_some() {
                    twin.insert(key, slot);
                }
                // Often only a few are asked for, so that the rest is left to the tree.
                let most = if most < 280 { most % 8 + 1 } else { most };
                let expected: Vec<_> = twin.values().copied().collect();
                let expected = &expected[..expected.len().min(most).min(STANDING_VISITED_MAX)];
                prop_assert_eq!(visited(&mut book, most), expected);
            }
        }
    }

    /// Up to more than can be at hand, behind one another, and then away with the first ones.
    #[test]
    fn a_full_hand_takes_in_nothing_from_behind() {
        for more in [0, 1, 2, 40] {
            let mut book = Book::new();
            let count = u32::try_from(BEST_MAX).unwrap() + more;
            let key = |slot: u32| Key::new(Micros::new(1), u64::from(slot));
            for slot in 0..count {
                let place = book.add(slot);
                book.set(place, Key::ENDED, key(slot));
            }
            for slot in 0..count - 1 {
                book.set(slot, key(slot), Key::ENDED);
                if slot % 85 == 0 || slot > count - 4 {
                    let rest: Vec<_> = (slot + 1..count).take(BEST_MAX).collect();
                    assert_eq!(visited(&mut book, BEST_MAX), rest);
                }
            }
        }
    }

    #[test]
    fn a_key_is_its_price_and_then_its_priority() {
        let key = |price, priority| Key::new(Micros::new(price), priority);
        assert!(key(1, 9) < key(2, 3) && key(2, 3) < key(2, 4) && key(2, 4) < Key::ENDED);
    }
}
