//! Where events go: three lists that the caller owns and reuses.

use alloc::vec::Vec;

use gavel_protocol::{Event, PosedBundle, Ranked};

/// The events of a batch, and beside them the ranked lists of its closes and the bundles of its
/// problems.
#[derive(Debug)]
pub struct Events<'a> {
    /// Events, in order.
    pub events: &'a mut Vec<Event>,
    /// Ranked lists, in the order of their closes.
    pub ranking: &'a mut Vec<Ranked>,
    /// Bundles of problems, in the order of the events that they belong to.
    pub posed: &'a mut Vec<PosedBundle>,
}

impl Events<'_> {
    pub(crate) fn push(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Returns how many events there are so far.
    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    /// Puts an event in the place of one that held it.
    pub(crate) fn replace(&mut self, at: usize, event: Event) {
        self.events[at] = event;
    }

    pub(crate) fn extend(&mut self, events: impl IntoIterator<Item = Event>) {
        self.events.extend(events);
    }
}
