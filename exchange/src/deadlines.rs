//! What is due when: one deadline per open RFQ, open contract and standby, the earliest first.

use gavel_matcher::limits::RFQS_OPEN_MAX;
use gavel_matcher::{IndexedHeap, Positions};
use gavel_protocol::TimestampNs;
use gavel_settlement::limits::CONTRACTS_OPEN_MAX;

use crate::clock::Clock;
use crate::limits::{DEADLINES_MAX, STANDBYS_MAX};

/// Whose deadline it is, by slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// An RFQ closes.
    Rfq(u32),
    /// A contract's start, delivery or acceptance is due.
    Contract(u32),
    /// A quote stands by no longer.
    Standby(u32),
}

/// The open deadlines. Those of RFQs and contracts are on the market's own clock, which stands still
/// while the exchange is away; how long a quote stands by is signed, and moves with nothing. Equal ones
/// take effect in the order in which they were made.
#[derive(Debug)]
pub(crate) struct Deadlines {
    on_market: IndexedHeap<(TimestampNs, u64)>,
    sequenced: IndexedHeap<(TimestampNs, u64)>,
    positions: Positions,
    made: u64,
}

impl Deadlines {
    /// Makes room for every deadline there may be.
    pub(crate) fn new() -> Self {
        Self {
            on_market: IndexedHeap::new((RFQS_OPEN_MAX + CONTRACTS_OPEN_MAX) as usize),
            sequenced: IndexedHeap::new(STANDBYS_MAX as usize),
            positions: Positions::new(DEADLINES_MAX),
            made: 0,
        }
    }

    /// Returns the earliest deadline, in sequenced time.
    pub(crate) fn first(&self, clock: Clock) -> Option<(TimestampNs, Due)> {
        let on_market = self.on_market.first();
        let on_market = on_market.map(|((at, made), slot)| ((clock.sequenced(at), made), slot));
        let first = on_market.into_iter().chain(self.sequenced.first()).min();
        first.map(|((at, _), slot)| (at, Due::from_slot(slot)))
    }

    /// Sets the deadline of an RFQ or contract, on the market's own clock, or that of a standby, in
    /// sequenced time, in place of its old one.
    pub(crate) fn set(&mut self, due: Due, at: TimestampNs) {
        self.made += 1;
        let heap = match due {
            Due::Rfq(_) | Due::Contract(_) => &mut self.on_market,
            Due::Standby(_) => &mut self.sequenced,
        };
        heap.set(&mut self.positions, due.slot(), (at, self.made));
    }

    /// Removes the deadline of an RFQ, contract or standby.
    pub(crate) fn remove(&mut self, due: Due) {
        let heap = match due {
            Due::Rfq(_) | Due::Contract(_) => &mut self.on_market,
            Due::Standby(_) => &mut self.sequenced,
        };
        heap.remove(&mut self.positions, due.slot());
    }

    /// Returns every deadline in the order of their making, each on its own clock.
    pub(crate) fn in_order_of_making(&self) -> alloc::vec::Vec<(TimestampNs, Due)> {
        let members = self.on_market.members().chain(self.sequenced.members());
        let mut all = members.collect::<alloc::vec::Vec<_>>();
        all.sort_unstable_by_key(|((_, made), _)| *made);
        all.into_iter().map(|((at, _), slot)| (at, Due::from_slot(slot))).collect()
    }
}

impl Due {
    fn slot(self) -> u32 {
        match self {
            Self::Rfq(slot) => slot,
            Self::Contract(slot) => RFQS_OPEN_MAX + slot,
            Self::Standby(slot) => RFQS_OPEN_MAX + CONTRACTS_OPEN_MAX + slot,
        }
    }

    fn from_slot(slot: u32) -> Self {
        match slot.checked_sub(RFQS_OPEN_MAX) {
            None => Self::Rfq(slot),
            Some(rest) => match rest.checked_sub(CONTRACTS_OPEN_MAX) {
                None => Self::Contract(rest),
                Some(standby) => Self::Standby(standby),
            },
        }
    }
}
