//! Sums over sets of items, four items at a time: for as many sets as a problem has bundles.

use alloc::vec::Vec;

use gavel_protocol::Items;
use gavel_protocol::limits::ITEMS_MAX;

/// Items that one look-up adds up.
const ITEMS_PER_PART: usize = 4;
/// Sets of that many items.
const SETS_PER_PART: usize = 1 << ITEMS_PER_PART;

/// The sum of every set of four neighbors; reused, so that nothing is allocated.
#[derive(Debug)]
pub(crate) struct Sums {
    /// Part by part. Small enough (8 KiB) to stay in the nearest cache.
    of_sets: Vec<i64>,
}

impl Sums {
    /// Makes room for the largest problem.
    pub(crate) fn new() -> Self {
        Self { of_sets: alloc::vec![0; ITEMS_MAX / ITEMS_PER_PART * SETS_PER_PART] }
    }

    /// Sets the amounts of the items, in their order: further ones have none. No sum of several may
    /// leave the range of an `i64`.
    pub(crate) fn begin(&mut self, mut amounts: impl Iterator<Item = i64>) {
        for sets in self.of_sets.chunks_exact_mut(SETS_PER_PART) {
            for item in 0..ITEMS_PER_PART {
                let amount = amounts.next().unwrap_or(0);
                let (without, with) = sets.split_at_mut(1 << item);
                for (with, without) in with.iter_mut().zip(without) {
                    *with = *without + amount;
                }
            }
        }
    }

    /// Returns the sum of a set's amounts.
    pub(crate) fn of(&self, set: &Items) -> i64 {
        let bytes = set.words().iter().flat_map(|word| word.to_le_bytes());
        let parts = self.of_sets.chunks_exact(2 * SETS_PER_PART);
        let sums = bytes.zip(parts).map(|(byte, parts)| {
            // Bundles are small beside all items: most bytes have none.
            if byte == 0 {
                return 0;
            }
            let (low, high) =
                (usize::from(byte) % SETS_PER_PART, usize::from(byte) / SETS_PER_PART);
            parts[low] + parts[SETS_PER_PART + high]
        });
        sums.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_sums_to_its_items_one_by_one() {
        let amounts: Vec<i64> = (0..200).map(|item| item * item - 1_000).collect();
        let mut sums = Sums::new();
        for begin in [&amounts[..], &amounts[..7], &[]] {
            sums.begin(begin.iter().copied());
            for step in 1..=ITEMS_MAX {
                let set: Items =
                    (0..begin.len()).step_by(step).filter_map(|i| u8::try_from(i).ok()).collect();
                let one_by_one: i64 = set.iter().map(|item| begin[usize::from(item)]).sum();
                assert_eq!(sums.of(&set), one_by_one, "every {step}th of {}", begin.len());
            }
        }
    }
}
