//! The fade breaker: who wins and does not work is kept out, each time for longer.

use gavel_protocol::{DurationNs, TimestampNs};
use rkyv::{Archive, Deserialize, Serialize};

use crate::limits::{FADE_FORGIVEN_EVERY, FADES_MAX, SUSPENSION_FIRST};

/// How often an agent has failed, and until when it is kept out. Times are on the market's own clock,
/// which stands still while the exchange is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Fades {
    /// Failures that count, at `as_of`.
    pub count: u8,
    /// When the last failure was.
    pub as_of: TimestampNs,
    /// It is kept out until then.
    pub suspended_until: TimestampNs,
}

impl Fades {
    /// Returns whether the agent is kept out at `now`.
    pub fn is_suspended(&self, now: TimestampNs) -> bool {
        now < self.suspended_until
    }

    /// Counts a failure at `now`. The first keeps out for a minute, each further one for twice as long
    /// as the one before, up to 1,024 minutes; one is forgiven for each whole day without.
    pub fn add(&mut self, now: TimestampNs) {
        let days = now.since(self.as_of).nanos() / FADE_FORGIVEN_EVERY.nanos();
        let forgiven = u8::try_from(days).unwrap_or(u8::MAX);
        self.count = self.count.saturating_sub(forgiven).saturating_add(1).min(FADES_MAX);
        self.as_of = now;
        let doubled = SUSPENSION_FIRST.nanos() << (self.count - 1);
        self.suspended_until = now.after(DurationNs::from_nanos(doubled));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(minutes: u64) -> TimestampNs {
        TimestampNs::from_nanos(minutes * 60 * 1_000_000_000)
    }

    #[test]
    fn each_failure_keeps_out_twice_as_long() {
        let mut fades = Fades::default();
        assert!(!fades.is_suspended(minute(0)));
        for (count, minutes) in [(1, 1), (2, 2), (3, 4)] {
            fades.add(minute(100));
            assert_eq!((fades.count, fades.suspended_until), (count, minute(100 + minutes)));
        }
        for _ in 0..100 {
            fades.add(minute(100));
        }
        assert_eq!(fades.suspended_until, minute(100 + 1_024));
        assert!(fades.is_suspended(minute(1_123)) && !fades.is_suspended(minute(1_124)));
    }

    #[test]
    fn a_day_without_forgives_one() {
        let mut fades = Fades::default();
        fades.add(minute(0));
        fades.add(minute(0));
        fades.add(minute(24 * 60));
        assert_eq!(fades.count, 2);
    }
}
