//! Reputation: what an agent's outcomes say of it, as one integer that fades towards the start.

use gavel_protocol::limits::REPUTATION_BPS_MAX;
use gavel_protocol::{DurationNs, ReputationCause, TimestampNs};
use rkyv::{Archive, Deserialize, Serialize};

use crate::limits::{
    REPUTATION_DECAY_EVERY, REPUTATION_DECAY_STEPS_MAX, REPUTATION_FLOOR_BPS, REPUTATION_START_BPS,
};

/// An agent's reputation, in basis points: between the floor and 10,000.
///
/// * It starts at 5,000: a newcomer is neither at the bottom nor at the top.
/// * Work that is delivered in time and paid closes a 32nd of the gap to 10,000, rounded up. Work that
///   is delivered later than was quoted takes away a 16th, work that is not started or not delivered a
///   quarter, both rounded up; it never falls below 1,000.
/// * For each whole day of the market's own clock it moves a 64th of its distance towards 5,000,
///   rounded down: old deeds count less, good or bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Reputation {
    /// The value at `as_of`.
    pub bps: u16,
    /// Up to when the decay has been applied: whole days since the agent was enrolled.
    pub as_of: TimestampNs,
}

impl Reputation {
    /// Returns the reputation of somebody who is enrolled at `now`.
    pub fn new(now: TimestampNs) -> Self {
        Self { bps: REPUTATION_START_BPS, as_of: now }
    }

    /// Returns the value at `now`, which is not before the last change.
    pub fn at(&self, now: TimestampNs) -> u16 {
        self.decayed(now).bps
    }

    /// Changes the value because of an outcome at `now`.
    pub fn change(&mut self, cause: ReputationCause, now: TimestampNs) {
        let Self { bps, as_of } = self.decayed(now);
        let bps = match cause {
            ReputationCause::Settled => bps + (REPUTATION_BPS_MAX - bps).div_ceil(32),
            ReputationCause::Late => bps - bps.div_ceil(16),
            ReputationCause::Failed => bps - bps.div_ceil(4),
        };
        *self = Self { bps: bps.max(REPUTATION_FLOOR_BPS), as_of };
    }

    fn decayed(&self, now: TimestampNs) -> Self {
        let days = now.since(self.as_of).nanos() / REPUTATION_DECAY_EVERY.nanos();
        let past = DurationNs::from_nanos(days * REPUTATION_DECAY_EVERY.nanos());
        let mut bps = self.bps;
        for _ in 0..days.min(REPUTATION_DECAY_STEPS_MAX) {
            let step = bps.abs_diff(REPUTATION_START_BPS) / 64;
            if step == 0 {
                break;
            }
            bps = if bps > REPUTATION_START_BPS { bps - step } else { bps + step };
        }
        Self { bps, as_of: self.as_of.after(past) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 3_600 * 1_000_000_000;

    fn day(days: u64) -> TimestampNs {
        TimestampNs::from_nanos(days * DAY)
    }

    #[test]
    fn outcomes_move_it_and_time_takes_it_back() {
        let mut reputation = Reputation::new(day(0));
        reputation.change(ReputationCause::Settled, day(0));
        assert_eq!(reputation.at(day(0)), 5_157);
        reputation.change(ReputationCause::Failed, day(0));
        assert_eq!(reputation.at(day(0)), 3_867);
        assert_eq!(reputation.at(day(1)), 3_867 + 1_133 / 64);
        // Within 64 of the start there is nothing left to take back.
        assert_eq!(reputation.at(day(1_000)), 4_937);
    }

    #[test]
    fn it_stays_between_the_floor_and_the_top() {
        let mut reputation = Reputation::new(day(0));
        for _ in 0..1_000 {
            reputation.change(ReputationCause::Settled, day(0));
        }
        assert_eq!(reputation.at(day(0)), REPUTATION_BPS_MAX);
        for _ in 0..1_000 {
            reputation.change(ReputationCause::Failed, day(0));
        }
        assert_eq!(reputation.at(day(0)), REPUTATION_FLOOR_BPS);
    }

    #[test]
    fn looking_at_it_changes_nothing() {
        let mut looked_at = Reputation { bps: 9_000, as_of: day(0) };
        let undisturbed = looked_at;
        for half_days in 1..40 {
            let now = TimestampNs::from_nanos(half_days * DAY / 2);
            looked_at = looked_at.decayed(now);
            assert_eq!(looked_at.bps, undisturbed.at(now));
        }
    }
}
