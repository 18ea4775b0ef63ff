//! The market's own clock: sequenced time without the exchange's outages.
//!
//! Deadlines are kept on this clock. An outage of the exchange stops it, and so moves every
//! deadline at once, without touching any of them.

use gavel_protocol::{DurationNs, TimestampNs};

/// Sequenced time, and how much of it the exchange was away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Clock {
    /// The time of the last command.
    pub(crate) now: TimestampNs,
    /// The sum of all outages.
    pub(crate) outage: DurationNs,
}

impl Clock {
    /// Returns sequenced time `ts_event` on the market's own clock.
    pub(crate) fn market(self, ts_event: TimestampNs) -> TimestampNs {
        ts_event.before(self.outage)
    }

    /// Returns the present on the market's own clock.
    pub(crate) fn market_now(self) -> TimestampNs {
        self.market(self.now)
    }

    /// Returns a time of the market's own clock as sequenced time, should no further outage come.
    pub(crate) fn sequenced(self, market: TimestampNs) -> TimestampNs {
        market.after(self.outage)
    }
}
