//! Chains: doubly linked lists through the slots of a slab, so that a quote can be in the list of
//! its RFQ and in that of its agent, and leave both without a search.

/// A slot's neighbours in one chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Links {
    before: Neighbour,
    after: Neighbour,
}

/// A slot plus one, or zero: half the size of an optional slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Neighbour(u32);

/// The ends of a chain. New members go to the back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    first: Neighbour,
    last: Neighbour,
    len: u32,
}

impl Chain {
    /// Returns the first member.
    pub fn first(&self) -> Option<u32> {
        self.first.slot()
    }

    /// Returns whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns how many members there are.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Adds `slot` at the back; `links` finds a slot's links in this chain.
    pub fn push<S: ?Sized>(
        &mut self,
        slots: &mut S,
        slot: u32,
        links: impl Fn(&mut S, u32) -> &mut Links,
    ) {
        let new = Neighbour::at(slot);
        *links(slots, slot) = Links { before: self.last, after: Neighbour::default() };
        match self.last.slot() {
            Some(last) => links(slots, last).after = new,
            None => self.first = new,
        }
        self.last = new;
        self.len += 1;
    }

    /// Removes `slot`, which must be a member.
    pub fn remove<S: ?Sized>(
        &mut self,
        slots: &mut S,
        slot: u32,
        links: impl Fn(&mut S, u32) -> &mut Links,
    ) {
        let Links { before, after } = core::mem::take(links(slots, slot));
        match before.slot() {
            Some(before) => links(slots, before).after = after,
            None => self.first = after,
        }
        match after.slot() {
            Some(after) => links(slots, after).before = before,
            None => self.last = before,
        }
        self.len -= 1;
    }
}

impl Links {
    /// Returns the next member.
    pub fn after(&self) -> Option<u32> {
        self.after.slot()
    }
}

impl Neighbour {
    fn at(slot: u32) -> Self {
        Self(slot.checked_add(1).expect("invariant: a slab has fewer than 2^32 - 1 slots"))
    }

    fn slot(self) -> Option<u32> {
        self.0.checked_sub(1)
    }
}
