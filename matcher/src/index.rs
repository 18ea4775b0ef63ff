//! Where things are: from the hash of a key to the slot that holds it, in one cache line.
//!
//! The keys themselves lie in the slots, so an entry is eight bytes, and a look-up that finds
//! something touches one line here and one there. Entries lie as near to their home as there is room
//! (linear probing), at most half of them taken.

use alloc::vec;
use alloc::vec::Vec;
use core::hint::black_box;

/// An index of slots by hash.
#[derive(Debug)]
pub struct Index {
    /// The upper half of a hash, and a slot plus one; zero where nothing is. A place is the hash's
    /// upper bits, so an entry tells its own home.
    entries: Vec<u64>,
    /// How far a hash is shifted down to be a place.
    shift: u32,
    len: u32,
}

/// Bits of an entry that hold the slot, plus one.
const SLOT_BITS: u32 = 32;

impl Index {
    /// Makes room for `most` entries. The memory is touched as it is used.
    pub fn new(most: u32) -> Self {
        let places = 2 * (most as usize).next_power_of_two().max(2);
        assert!(places.ilog2() <= SLOT_BITS, "invariant: an entry's home is in its upper half");
        Self { entries: vec![0; places], shift: u64::BITS - places.ilog2(), len: 0 }
    }

    /// Returns the slot of this hash that `is_it` recognises.
    pub fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut place = self.home(hash);
        loop {
            let entry = self.entries[place];
            if entry == 0 {
                return None;
            }
            if entry >> SLOT_BITS == hash >> SLOT_BITS && is_it(slot(entry)) {
                return Some(slot(entry));
            }
            place = self.after(place);
        }
    }

    /// Reads the line that [`Index::find`] will begin with.
    pub fn look_ahead(&self, hash: u64) {
        black_box(self.entries[self.home(hash)]);
    }

    /// Adds a slot, which must not be there.
    pub fn insert(&mut self, hash: u64, slot: u32) {
        self.len += 1;
        assert!(2 * self.len as usize <= self.entries.len(), "invariant: room is checked before");
        let mut place = self.home(hash);
        while self.entries[place] != 0 {
            place = self.after(place);
        }
        self.entries[place] = entry(hash, slot);
    }

    /// Removes a slot, which must be there.
    pub fn remove(&mut self, hash: u64, slot: u32) {
        let (mut gap, gone) = (self.home(hash), entry(hash, slot));
        while self.entries[gap] != gone {
            assert!(self.entries[gap] != 0, "invariant: what is removed was inserted");
            gap = self.after(gap);
        }
        self.len -= 1;
        // What follows moves up, unless the gap lies before its home: so no search ever has to look
        // behind an empty place.
        let mut place = self.after(gap);
        while self.entries[place] != 0 {
            let from_home = self.distance(self.home(self.entries[place]), place);
            if from_home >= self.distance(gap, place) {
                self.entries[gap] = self.entries[place];
                gap = place;
            }
            place = self.after(place);
        }
        self.entries[gap] = 0;
    }

    #[expect(clippy::cast_possible_truncation, reason = "what is left is below the places")]
    fn home(&self, hash: u64) -> usize {
        (hash >> self.shift) as usize
    }

    fn after(&self, place: usize) -> usize {
        (place + 1) & (self.entries.len() - 1)
    }

    fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & (self.entries.len() - 1)
    }
}

/// Returns a hash of numbers that somebody may have chosen next to each other: its upper bits are
/// the good ones.
pub fn hash<const N: usize>(numbers: [u64; N]) -> u64 {
    // An odd number with its ones spread out: 2^64 divided by the golden ratio.
    const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
    numbers.iter().fold(0, |hash: u64, number| {
        (hash.rotate_left(u64::BITS / 2) ^ number).wrapping_mul(MULTIPLIER)
    })
}

fn entry(hash: u64, slot: u32) -> u64 {
    hash >> SLOT_BITS << SLOT_BITS | (u64::from(slot) + 1)
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half holds a slot plus one")]
fn slot(entry: u64) -> u32 {
    entry as u32 - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;

    proptest! {
        /// Hashes of few values, so that entries share homes, and wrap around the end.
        #[test]
        fn it_finds_like_a_map(
            steps in proptest::collection::vec((0_u64..6, 0_u64..2, any::<bool>()), 0..300),
        ) {
            let (mut index, mut twin) = (Index::new(16), BTreeMap::new());
            for (home, tag, adds) in steps {
                let hash = home.wrapping_sub(3) << 59 | tag << SLOT_BITS;
                let slot = u32::try_from(home * 2 + tag).unwrap();
                if adds && !twin.contains_key(&hash) {
                    index.insert(hash, slot);
                    twin.insert(hash, slot);
                } else if !adds && twin.remove(&hash).is_some() {
                    index.remove(hash, slot);
                }
                for home in 0_u64..6 {
                    for tag in 0..2 {
                        let hash = home.wrapping_sub(3) << 59 | tag << SLOT_BITS;
                        prop_assert_eq!(index.find(hash, |_| true), twin.get(&hash).copied());
                    }
                }
            }
        }
    }
}
