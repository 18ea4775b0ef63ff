//! Where events go: two lists that the caller owns and reuses.

use alloc::vec::Vec;

use gavel_protocol::{Event, Ranked};

/// The events of a batch, and beside them the ranked lists of its closes.
#[derive(Debug)]
pub struct Events<'a> {
    /// Events, in order.
    pub events: &'a mut Vec<Event>,
    /// Ranked lists, in the order of their closes.
    pub ranking: &'a mut Vec<Ranked>,
}

impl Events<'_> {
    pub(crate) fn push(&mut self, event: Event) {
        self.events.push(event);
    }
}
