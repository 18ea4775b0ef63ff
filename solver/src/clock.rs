//! How much may still be done: by the clock, or by work counted so that a run repeats exactly.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How much a solver may do before it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// So long, on the clock.
    Time(Duration),
    /// So many units, of which one takes about a nanosecond. The same problem, seed and units give
    /// the same answer on every machine.
    Work(u64),
    /// Until the optimum is proven.
    Unlimited,
}

/// Units between two looks at the clock: a look costs about 30 units.
const UNITS_PER_LOOK: u64 = 2_000;
/// The share of a time budget that the search may use, in 1/64; the rest is for the answer.
const SEARCH_SHARE: u32 = 63;

/// Counts work, and says when it is enough.
#[derive(Debug)]
pub(crate) struct Clock<'a> {
    start: Instant,
    budget: Budget,
    deadline: Option<Instant>,
    work: u64,
    look_at: u64,
    abort: Option<&'a AtomicBool>,
    stopped: bool,
}

impl<'a> Clock<'a> {
    pub(crate) fn new(budget: Budget, abort: Option<&'a AtomicBool>) -> Self {
        let start = Instant::now();
        let deadline = match budget {
            Budget::Time(time) => start.checked_add(time / 64 * SEARCH_SHARE),
            Budget::Work(_) | Budget::Unlimited => None,
        };
        Self { start, budget, deadline, work: 0, look_at: UNITS_PER_LOOK, abort, stopped: false }
    }

    /// Adds work done; returns whether more may be done.
    #[inline]
    pub(crate) fn spend(&mut self, units: u64) -> bool {
        self.work += units;
        if self.work >= self.look_at {
            self.look();
        }
        !self.stopped
    }

    /// Returns whether it is enough.
    pub(crate) const fn is_over(&self) -> bool {
        self.stopped
    }

    /// Returns the work done.
    pub(crate) const fn work(&self) -> u64 {
        self.work
    }

    /// Returns about how much work the budget allows in all.
    pub(crate) fn planned(&self) -> u64 {
        match self.budget {
            Budget::Time(time) => u64::try_from(time.as_nanos()).unwrap_or(u64::MAX),
            Budget::Work(units) => units,
            Budget::Unlimited => u64::MAX,
        }
    }

    /// Returns the share of the budget that is used: 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    pub(crate) fn share(&self) -> f64 {
        match self.budget {
            Budget::Time(time) => self.start.elapsed().as_secs_f64() / time.as_secs_f64().max(1e-9),
            Budget::Work(units) => self.work as f64 / (units.max(1)) as f64,
            Budget::Unlimited => 0.0,
        }
    }

    /// Returns whether so much more work would probably be within the budget.
    pub(crate) fn affords(&self, units: u64) -> bool {
        if self.stopped {
            return false;
        }
        match self.budget {
            Budget::Time(_) => self.deadline.is_none_or(|deadline| {
                deadline.saturating_duration_since(Instant::now()) >= Duration::from_nanos(units)
            }),
            Budget::Work(most) => self.work.saturating_add(units) <= most,
            Budget::Unlimited => true,
        }
    }

    /// Returns the time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    #[cold]
    fn look(&mut self) {
        self.look_at = self.work + UNITS_PER_LOOK;
        let over = match self.budget {
            Budget::Time(_) => self.deadline.is_some_and(|deadline| Instant::now() >= deadline),
            Budget::Work(units) => self.work >= units,
            Budget::Unlimited => false,
        };
        let aborted = self.abort.is_some_and(|abort| abort.load(Ordering::Relaxed));
        self.stopped |= over || aborted;
    }
}
