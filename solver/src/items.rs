//! Sets of members as words of 64 bits: of items, and of whatever else is numbered.

pub use gavel_protocol::Items;

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
