//! The quote-rate throttle: how many quotes an agent may send in a second of sequenced time.

use gavel_protocol::{DurationNs, RejectReason, TimestampNs};
use rkyv::{Archive, Deserialize, Serialize};

/// An agent's quotes in the second that began with the first of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct QuoteRate {
    /// When that second began.
    pub began: TimestampNs,
    /// Quotes in it.
    pub count: u32,
}

/// The time that quotes are counted over.
const SECOND: DurationNs = DurationNs::from_secs(1);

impl QuoteRate {
    /// Checks that the agent may send another quote at `now`; `most` of zero means any number. Only
    /// quotes that are accepted count, so [`QuoteRate::count`] them.
    ///
    /// # Errors
    ///
    /// [`RejectReason::QuoteRate`].
    pub fn check(&self, now: TimestampNs, most: u32) -> Result<(), RejectReason> {
        if most > 0 && self.count >= most && !self.is_over(now) {
            return Err(RejectReason::QuoteRate);
        }
        Ok(())
    }

    /// Counts a quote that was accepted at `now`.
    pub fn count(&mut self, now: TimestampNs) {
        if self.is_over(now) {
            *self = Self { began: now, count: 0 };
        }
        self.count = self.count.saturating_add(1);
    }

    fn is_over(&self, now: TimestampNs) -> bool {
        now >= self.began.after(SECOND)
    }
}
