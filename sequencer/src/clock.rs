//! Sequenced time: what the wall clock shows, unless it jumps ahead.
//!
//! A clock that goes back makes sequenced time stand still until it has caught up: time never goes
//! back. One that jumps ahead could let every deadline pass at once, so nobody believes it: new business
//! is halted, and sequenced time stands still until the wall clock comes back or the operator confirms
//! the jump by reopening the exchange.

use gavel_protocol::{DurationNs, TimestampNs};

use crate::limits::CLOCK_JUMP_MAX;

/// What the two clocks show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The wall clock, which somebody may set.
    pub wall: TimestampNs,
    /// Since some beginning, on a clock that nobody can set.
    pub elapsed: DurationNs,
}

/// Whether the wall clock can be believed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    /// What they showed when it was believed last.
    believed: Option<Now>,
    has_jumped: bool,
}

/// What has become of the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It has jumped ahead by this much.
    Jumped(DurationNs),
    /// It has come back.
    CameBack,
}

impl Clock {
    /// Returns whether it has jumped, and nobody has confirmed that.
    pub(crate) fn has_jumped(&self) -> bool {
        self.has_jumped
    }

    /// Returns what becomes of it at `now`, if that is something else than before.
    pub(crate) fn turn(&self, now: Now) -> Option<Turn> {
        let ahead = self.ahead(now);
        match (self.has_jumped, ahead > CLOCK_JUMP_MAX) {
            (false, true) => Some(Turn::Jumped(ahead)),
            (true, false) => Some(Turn::CameBack),
            (true, true) | (false, false) => None,
        }
    }

    /// Looks at both clocks, and returns what has become of the wall clock.
    pub(crate) fn look(&mut self, now: Now) -> Option<Turn> {
        let turn = self.turn(now);
        if let Some(turn) = turn {
            self.has_jumped = matches!(turn, Turn::Jumped(_));
        }
        if !self.has_jumped {
            self.believed = Some(now);
        }
        turn
    }

    /// Returns the time to go by at `now`.
    pub(crate) fn time(&self, now: Now) -> TimestampNs {
        match self.believed {
            Some(believed) if self.ahead(now) > CLOCK_JUMP_MAX => believed.wall,
            Some(_) | None => now.wall,
        }
    }

    /// Believes whatever it shows next.
    pub(crate) fn confirm(&mut self) {
        *self = Self::default();
    }

    /// Returns how far the wall clock is ahead of where it should be by the other one.
    fn ahead(&self, now: Now) -> DurationNs {
        let Some(believed) = self.believed else { return DurationNs::ZERO };
        let passed = now.elapsed.nanos().saturating_sub(believed.elapsed.nanos());
        now.wall.since(believed.wall.after(DurationNs::from_nanos(passed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(wall_s: u64, elapsed_s: u64) -> Now {
        let wall = TimestampNs::from_nanos(wall_s * 1_000_000_000);
        Now { wall, elapsed: DurationNs::from_secs(elapsed_s) }
    }

    #[test]
    fn a_long_sleep_is_no_jump() {
        let mut clock = Clock::default();
        assert_eq!(clock.look(at(1_000, 0)), None);
        assert_eq!(clock.look(at(100_000, 99_000)), None);
        assert_eq!(clock.time(at(100_001, 99_001)), at(100_001, 0).wall);
    }

    #[test]
    fn time_stands_still_after_a_jump_until_the_clock_comes_back() {
        let mut clock = Clock::default();
        clock.look(at(1_000, 0));
        let jumped = at(5_000, 1);
        assert_eq!(clock.time(jumped), at(1_000, 0).wall);
        assert_eq!(clock.look(jumped), Some(Turn::Jumped(DurationNs::from_secs(3_999))));
        assert_eq!(clock.look(at(5_600, 601)), None);
        assert_eq!(clock.time(at(5_600, 601)), at(1_000, 0).wall);
        // Ten minutes later, and right again.
        assert_eq!(clock.look(at(1_602, 602)), Some(Turn::CameBack));
        assert_eq!(clock.time(at(1_602, 602)), at(1_602, 0).wall);
    }

    #[test]
    fn what_is_confirmed_is_believed() {
        let mut clock = Clock::default();
        clock.look(at(1_000, 0));
        clock.look(at(5_000, 1));
        clock.confirm();
        assert_eq!(clock.look(at(5_001, 2)), None);
        assert_eq!(clock.time(at(5_001, 2)), at(5_001, 0).wall);
    }

    #[test]
    fn a_clock_that_goes_back_is_believed() {
        let mut clock = Clock::default();
        clock.look(at(1_000, 0));
        assert_eq!(clock.look(at(500, 1)), None);
    }
}
