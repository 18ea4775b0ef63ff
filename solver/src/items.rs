//! Sets of items, as four words of 64 bits.

use crate::limits::ITEMS_MAX;

/// A set of items, each a number from 0 to 255.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Items([u64; ITEMS_MAX / 64]);

impl Items {
    /// No item.
    pub const EMPTY: Self = Self([0; ITEMS_MAX / 64]);

    /// Returns the set whose item `i` is bit `i % 64` of word `i / 64`.
    pub const fn from_words(words: [u64; ITEMS_MAX / 64]) -> Self {
        Self(words)
    }

    /// Returns the words: item `i` is bit `i % 64` of word `i / 64`.
    pub const fn words(&self) -> &[u64; ITEMS_MAX / 64] {
        &self.0
    }

    /// Returns the first `count` items, at most 256.
    pub fn first(count: usize) -> Self {
        (0..ITEMS_MAX).take(count).filter_map(|item| u8::try_from(item).ok()).collect()
    }

    /// Puts an item in; returns whether it was not in.
    pub const fn insert(&mut self, item: u8) -> bool {
        let (word, bit) = (item as usize / 64, 1 << (item % 64));
        let new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        new
    }

    /// Returns whether an item is in.
    pub const fn contains(&self, item: u8) -> bool {
        self.0[item as usize / 64] >> (item % 64) & 1 == 1
    }

    /// Returns whether no item is in.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; ITEMS_MAX / 64]
    }

    /// Returns how many items are in.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Returns the items that are in both.
    pub fn intersection(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] & other.0[word]))
    }

    /// Returns the items that are in either.
    pub fn union(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] | other.0[word]))
    }

    /// Returns the items in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u8> + use<> {
        bits(self.0).map(|item| u8::try_from(item).expect("four words have 256 bits"))
    }
}

impl FromIterator<u8> for Items {
    fn from_iter<I: IntoIterator<Item = u8>>(items: I) -> Self {
        let mut set = Self::EMPTY;
        for item in items {
            set.insert(item);
        }
        set
    }
}

/// Returns the numbers of the bits that are set, in ascending order.
#[inline]
pub(crate) fn bits<const W: usize>(words: [u64; W]) -> impl Iterator<Item = usize> {
    words.into_iter().enumerate().flat_map(|(index, word)| Bits { word, base: index * 64 })
}

/// Calls with the number of each bit that is set, in ascending order.
#[inline]
pub(crate) fn each_bit<const W: usize>(words: &[u64; W], mut call: impl FnMut(usize)) {
    for (index, word) in words.iter().enumerate() {
        let mut word = *word;
        while word != 0 {
            call(index * 64 + word.trailing_zeros() as usize);
            word &= word - 1;
        }
    }
}

struct Bits {
    word: u64,
    base: usize,
}

impl Iterator for Bits {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.word == 0 {
            return None;
        }
        let bit = self.word.trailing_zeros() as usize;
        self.word &= self.word - 1;
        Some(self.base + bit)
    }
}

/// Returns whether two sets have a member in both.
#[inline]
pub(crate) fn meets<const W: usize>(a: &[u64; W], b: &[u64; W]) -> bool {
    let mut met = 0;
    for word in 0..W {
        met |= a[word] & b[word];
    }
    met != 0
}

/// Returns whether every member of `a` is in `b`.
#[inline]
pub(crate) fn lies_within<const W: usize>(a: &[u64; W], b: &[u64; W]) -> bool {
    let mut outside = 0;
    for word in 0..W {
        outside |= a[word] & !b[word];
    }
    outside == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_gives_back_what_was_put_in() {
        let items: Items = [255, 0, 64, 63].into_iter().collect();
        assert_eq!(items.iter().collect::<Vec<_>>(), [0, 63, 64, 255]);
        assert_eq!(items.len(), 4);
        assert!(items.contains(64) && !items.contains(65));
        assert!(meets(items.words(), Items::from_iter([63]).words()));
        assert!(lies_within(Items::from_iter([63, 255]).words(), items.words()));
    }
}
