//! One thread that keeps every agent's schedule to some 50 µs; the runtime's own timers would be up
//! to a millisecond late, and the figures with them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};
use std::time::Instant;

use super::schedule::Alarm;

/// Rings alarms at their times. Dropping it ends the thread.
#[derive(Debug)]
pub(crate) struct Pacer {
    thread: Thread,
    stop: Arc<AtomicBool>,
}

impl Pacer {
    /// Starts to ring.
    pub(crate) fn start(alarms: Vec<Alarm>) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let run = move || ring_until_stopped(alarms, &stopped);
        let thread = thread::Builder::new().name("pacer".into()).spawn(run)?;
        Ok(Self { thread: thread.thread().clone(), stop })
    }
}

impl Drop for Pacer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

fn ring_until_stopped(mut alarms: Vec<Alarm>, stopped: &AtomicBool) {
    let first = alarms.iter().enumerate().filter_map(|(index, alarm)| Some((alarm.next()?, index)));
    let mut next: BinaryHeap<_> = first.map(Reverse).collect();
    while let Some(&Reverse((at, index))) = next.peek() {
        if stopped.load(Ordering::Acquire) {
            return;
        }
        let wait = at.saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            thread::park_timeout(wait);
            continue;
        }
        next.pop();
        let alarm = &mut alarms[index];
        alarm.ring();
        alarm.advance();
        next.extend(alarm.next().map(|at| Reverse((at, index))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::schedule::Schedule;
    use crate::load::seed::{Purpose, random};
    use std::time::Duration;

    #[tokio::test]
    async fn every_time_is_rung_and_none_before_it_has_come() {
        let began = Instant::now();
        let alarms = (0..3).map(|index| {
            let random = random(1, Purpose::BuyerSchedule, index);
            Alarm::new(Schedule::new(random, 1_000.0, Duration::from_millis(20)), began)
        });
        let alarms: Vec<_> = alarms.collect();
        let _pacer = Pacer::start(alarms.clone()).unwrap();
        for mut alarm in alarms {
            assert!(alarm.next().is_some());
            while let Some(next) = alarm.next() {
                assert_eq!(alarm.due().await, next);
                assert!(next <= Instant::now());
            }
        }
    }
}
