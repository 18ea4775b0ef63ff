//! When an agent sends: fixed in advance, whatever the exchange does meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use tokio::sync::Notify;

/// Poisson arrivals: the times to send at, counted from the beginning of the load.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    random: ChaCha8Rng,
    rate_per_s: f64,
    at: Duration,
    end: Duration,
}

impl Schedule {
    /// Makes the schedule of `rate_per_s` arrivals a second on average, before `end`.
    pub(crate) fn new(random: ChaCha8Rng, rate_per_s: f64, end: Duration) -> Self {
        Self { random, rate_per_s, at: Duration::ZERO, end }
    }
}

impl Iterator for Schedule {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        // The gaps of a Poisson process are exponentially distributed. The draw is in [0, 1), so
        // the logarithm is of something in (0, 1].
        let draw: f64 = self.random.random();
        let gap = Duration::try_from_secs_f64(-(1.0 - draw).ln() / self.rate_per_s).ok()?;
        self.at = self.at.checked_add(gap)?;
        (self.at < self.end).then_some(self.at)
    }
}

/// A schedule that has begun, and the bell that wakes the agent it belongs to.
///
/// The agent and the [`super::pacer::Pacer`] have a copy each: the pacer rings at every time, the
/// agent sends whatever is due. So nothing is queued in between, and an agent that is late sends at
/// once what it has missed.
#[derive(Clone, Debug)]
pub(crate) struct Alarm {
    began: Instant,
    schedule: Schedule,
    next: Option<Instant>,
    bell: Arc<Notify>,
}

impl Alarm {
    /// Begins a schedule at `began`.
    pub(crate) fn new(schedule: Schedule, began: Instant) -> Self {
        let mut alarm = Self { began, schedule, next: None, bell: Arc::new(Notify::new()) };
        alarm.advance();
        alarm
    }

    /// Returns the next time, if there is one.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Goes on to the time after the next one.
    pub(crate) fn advance(&mut self) {
        self.next = self.schedule.next().and_then(|at| self.began.checked_add(at));
    }

    /// Wakes the agent.
    pub(crate) fn ring(&self) {
        self.bell.notify_one();
    }

    /// Waits until the next time has come, and returns it. Nothing is lost if this is dropped before
    /// it is ready.
    pub(crate) async fn due(&mut self) -> Instant {
        loop {
            match self.next {
                Some(at) if at <= Instant::now() => {
                    self.advance();
                    return at;
                }
                // A ring that comes before this await is kept for it.
                Some(_) | None => self.bell.notified().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::seed::{Purpose, random};

    fn schedule(seed: u64, rate_per_s: f64, end_s: u64) -> Schedule {
        let random = random(seed, Purpose::BuyerSchedule, 0);
        Schedule::new(random, rate_per_s, Duration::from_secs(end_s))
    }

    #[test]
    fn a_schedule_keeps_its_rate_and_ends() {
        let times: Vec<_> = schedule(1, 50.0, 1_000).collect();
        // 50,000 arrivals are expected, with a standard deviation of 224.
        assert!((49_000..=51_000).contains(&times.len()), "{}", times.len());
        assert!(times.is_sorted());
        assert!(times.iter().all(|at| at.as_secs() < 1_000));
    }

    #[test]
    fn arrivals_are_independent_of_each_other() {
        let mut before = Duration::ZERO;
        let mut longer_than_mean = 0_u32;
        let times: Vec<_> = schedule(1, 1.0, 20_000).collect();
        for at in &times {
            longer_than_mean += u32::from((*at - before).as_secs_f64() > 1.0);
            before = *at;
        }
        // e^-1 of exponential gaps are longer than their mean; evenly spaced ones would be half.
        let share = f64::from(longer_than_mean) / times.len() as f64;
        assert!((0.35..0.39).contains(&share), "{share}");
    }

    #[test]
    fn the_seed_fixes_every_time_in_advance() {
        let times = |seed| schedule(seed, 10.0, 100).collect::<Vec<_>>();
        assert_eq!(times(7), times(7));
        assert_ne!(times(7), times(8));
    }

    #[test]
    fn a_rate_of_zero_sends_nothing() {
        assert_eq!(schedule(1, 0.0, u64::MAX).next(), None);
    }

    #[tokio::test]
    async fn what_is_late_is_sent_at_once_and_keeps_its_time() {
        let began = Instant::now().checked_sub(Duration::from_secs(10)).unwrap();
        let mut alarm = Alarm::new(schedule(1, 1.0, 5), began);
        for at in schedule(1, 1.0, 5) {
            assert_eq!(alarm.due().await, began + at);
        }
        assert_eq!(alarm.next(), None);
    }
}
