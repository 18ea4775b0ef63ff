//! How fast a session may send: a token bucket, kept as the one time at which it would be full.

use gavel_protocol::DurationNs;

/// A token bucket that holds one second's worth of tokens.
#[derive(Clone, Debug)]
pub(crate) struct Throttle {
    interval: DurationNs,
    /// When the bucket would be full again if nothing were taken any more.
    full_at: DurationNs,
}

impl Throttle {
    /// Fills a bucket. A rate of zero takes one token a second.
    pub fn new(commands_per_second: u32) -> Self {
        let interval = 1_000_000_000 / u64::from(commands_per_second.max(1));
        Self { interval: DurationNs::from_nanos(interval), full_at: DurationNs::ZERO }
    }

    /// Takes so many tokens at `now`. Returns whether they were there; if not, none is taken.
    pub fn take(&mut self, now: DurationNs, tokens: usize) -> bool {
        let cost = DurationNs::from_nanos(self.interval.nanos().saturating_mul(tokens as u64));
        let full_at = self.full_at.max(now).plus(cost);
        let allowed = full_at <= now.plus(DurationNs::from_secs(1));
        if allowed {
            self.full_at = full_at;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_one_second_long_and_then_the_rate_holds() {
        let mut throttle = Throttle::new(10);
        let start = DurationNs::from_secs(5);
        let taken =
            |throttle: &mut Throttle, now| (0..100).filter(|_| throttle.take(now, 1)).count();
        assert_eq!(taken(&mut throttle, start), 10);
        assert_eq!(taken(&mut throttle, start.plus(DurationNs::from_millis(99))), 0);
        assert_eq!(taken(&mut throttle, start.plus(DurationNs::from_millis(300))), 3);
        let later = start.plus(DurationNs::from_secs(60));
        assert!(!throttle.take(later, 11), "more than there ever are");
        assert!(throttle.take(later, 7));
        assert_eq!(taken(&mut throttle, later), 3);
    }
}
