//! What is to be done when: the earliest first, and what was planned first among equals.

use std::collections::BTreeMap;

use gavel_protocol::TimestampNs;

/// Plans, each with its time. Everything is planned at most an answer ahead, so a population's
/// `ANSWERS_MAX` bounds it.
#[derive(Debug)]
pub(super) struct Agenda<T> {
    plans: BTreeMap<(TimestampNs, u64), T>,
    made: u64,
}

impl<T> Agenda<T> {
    /// Makes an agenda without plans.
    pub(super) fn new() -> Self {
        Self { plans: BTreeMap::new(), made: 0 }
    }

    /// Plans something.
    pub(super) fn plan(&mut self, at: TimestampNs, what: T) {
        self.made += 1;
        self.plans.insert((at, self.made), what);
    }

    /// Returns the time of what comes next.
    pub(super) fn next_at(&self) -> Option<TimestampNs> {
        self.plans.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes what comes next, with its time.
    pub(super) fn take(&mut self) -> Option<(TimestampNs, T)> {
        self.plans.pop_first().map(|((at, _), what)| (at, what))
    }
}
