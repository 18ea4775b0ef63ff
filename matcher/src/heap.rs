//! A binary heap that knows where each of its members is, so that any of them can be changed or
//! removed: the deadlines by time.

use alloc::vec::Vec;

/// Where the members of one or several heaps are, by slot.
#[derive(Debug, Default)]
pub struct Positions {
    by_slot: Vec<u32>,
}

/// The position of a slot that is in no heap.
const ABSENT: u32 = u32::MAX;

impl Positions {
    /// Makes room for `slots` slots.
    pub fn new(slots: u32) -> Self {
        Self { by_slot: Vec::with_capacity(slots as usize) }
    }

    fn of(&self, slot: u32) -> Option<usize> {
        match self.by_slot.get(slot as usize) {
            None | Some(&ABSENT) => None,
            Some(position) => Some(*position as usize),
        }
    }

    fn set(&mut self, slot: u32, position: u32) {
        let slot = slot as usize;
        if slot >= self.by_slot.len() {
            self.by_slot.resize(slot + 1, ABSENT);
        }
        self.by_slot[slot] = position;
    }
}

/// A heap with the smallest key on top. Keys must differ: then the order is total, and no two
/// histories of the same members can tell apart.
#[derive(Debug)]
pub struct IndexedHeap<K> {
    members: Vec<(K, u32)>,
}

impl<K: Ord + Copy> IndexedHeap<K> {
    /// Makes an empty heap with room for `members` members.
    pub fn new(members: usize) -> Self {
        Self { members: Vec::with_capacity(members) }
    }

    /// Returns how many members there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Returns whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Returns the member of smallest key.
    pub fn first(&self) -> Option<(K, u32)> {
        self.members.first().copied()
    }

    /// Returns every key and slot, in no particular order.
    pub fn members(&self) -> impl Iterator<Item = (K, u32)> {
        self.members.iter().copied()
    }

    /// Adds a slot, or gives it another key.
    pub fn set(&mut self, positions: &mut Positions, slot: u32, key: K) {
        let position = positions.of(slot).unwrap_or(self.members.len());
        if position == self.members.len() {
            self.members.push((key, slot));
        } else {
            self.members[position].0 = key;
        }
        let position = self.sift_up(positions, position);
        self.sift_down(positions, position);
    }

    /// Removes a slot, if it is there.
    pub fn remove(&mut self, positions: &mut Positions, slot: u32) {
        let Some(position) = positions.of(slot) else { return };
        positions.set(slot, ABSENT);
        self.members.swap_remove(position);
        if position < self.members.len() {
            let position = self.sift_up(positions, position);
            self.sift_down(positions, position);
        }
    }

    fn sift_up(&mut self, positions: &mut Positions, mut position: usize) -> usize {
        let member = self.members[position];
        while position > 0 {
            let parent = (position - 1) / 2;
            if self.members[parent].0 <= member.0 {
                break;
            }
            self.place(positions, position, self.members[parent]);
            position = parent;
        }
        self.place(positions, position, member);
        position
    }

    fn sift_down(&mut self, positions: &mut Positions, mut position: usize) {
        let member = self.members[position];
        loop {
            let (left, right) = (2 * position + 1, 2 * position + 2);
            let Some(left_member) = self.members.get(left) else { break };
            let child = match self.members.get(right) {
                Some(right_member) if right_member.0 < left_member.0 => right,
                Some(_) | None => left,
            };
            if member.0 <= self.members[child].0 {
                break;
            }
            self.place(positions, position, self.members[child]);
            position = child;
        }
        self.place(positions, position, member);
    }

    fn place(&mut self, positions: &mut Positions, position: usize, member: (K, u32)) {
        self.members[position] = member;
        let position = u32::try_from(position).expect("invariant: slots are u32, so members fit");
        positions.set(member.1, position);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_orders_like_a_sorted_map(
            steps in proptest::collection::vec((0_u32..40, proptest::option::of(0_u32..100)), 0..200),
        ) {
            let (mut heap, mut positions) = (IndexedHeap::new(4), Positions::new(4));
            let mut twin = BTreeMap::new();
            for (slot, key) in steps {
                match key {
                    Some(key) => {
                        heap.set(&mut positions, slot, (key, slot));
                        twin.insert(slot, key);
                    }
                    None => {
                        heap.remove(&mut positions, slot);
                        twin.remove(&slot);
                    }
                }
                let mut expected: Vec<_> = twin.iter().map(|(slot, key)| (*key, *slot)).collect();
                expected.sort_unstable();
                prop_assert_eq!(heap.first().map(|(key, _)| key), expected.first().copied());
                let mut members: Vec<_> = heap.members().map(|(key, _)| key).collect();
                members.sort_unstable();
                prop_assert_eq!(members, expected);
            }
        }
    }
}
