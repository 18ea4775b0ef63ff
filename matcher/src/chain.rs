//! Chains: doubly linked lists through the slots of a slab, so that a quote can be in the list of
//! its RFQ and in that of its agent, and leave both without a search.

/// A slot's neighbours in one chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Links {
    before: Option<u32>,
    after: Option<u32>,
}

/// The ends of a chain. New members go to the back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    first: Option<u32>,
    last: Option<u32>,
    len: u32,
}

impl Chain {
    /// Returns the first member.
    pub fn first(&self) -> Option<u32> {
        self.first
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
        *links(slots, slot) = Links { before: self.last, after: None };
        match self.last {
            Some(last) => links(slots, last).after = Some(slot),
            None => self.first = Some(slot),
        }
        self.last = Some(slot);
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
        match before {
            Some(before) => links(slots, before).after = after,
            None => self.first = after,
        }
        match after {
            Some(after) => links(slots, after).before = before,
            None => self.last = before,
        }
        self.len -= 1;
    }
}

impl Links {
    /// Returns the next member.
    pub fn after(&self) -> Option<u32> {
        self.after
    }
}
