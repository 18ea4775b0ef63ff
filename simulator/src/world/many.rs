//! Many worlds, of one seed after the other.

use std::any::Any;
use std::ops::Range;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::report::{Failure, Tally};
use super::run::{Limits, run};

/// Failures after which no further world begins.
const FAILURES_MAX: usize = 10;

/// What became of many worlds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Many {
    /// Everything they went through.
    pub tally: Tally,
    /// What must not happen and did, by seed.
    pub failures: Vec<Failure>,
    /// How long it took.
    pub took: Duration,
    /// On how many threads.
    pub threads: usize,
}

impl Many {
    /// Returns how many hours were simulated per second of a processor.
    pub fn hours_per_cpu_second(&self) -> f64 {
        let cpu_seconds = self.took.as_secs_f64() * self.threads as f64;
        Duration::from_nanos(self.tally.virtual_ns).as_secs_f64() / 3_600.0 / cpu_seconds
    }
}

/// Runs the worlds of some seeds on so many threads; after a few failures no further one begins.
pub fn run_many(seeds: Range<u64>, limits: Limits, threads: usize) -> Many {
    let (next, many) = (AtomicU64::new(seeds.start), Mutex::new(Many::default()));
    let start = Instant::now();
    let lock = || many.lock().unwrap_or_else(PoisonError::into_inner);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while lock().failures.len() < FAILURES_MAX {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    match run_one(seed, limits) {
                        Ok(tally) => lock().tally += tally,
                        Err(failure) => lock().failures.push(failure),
                    }
                }
            });
        }
    });
    let mut many = many.into_inner().unwrap_or_else(PoisonError::into_inner);
    many.failures.sort_by_key(|failure| failure.seed);
    (many.took, many.threads) = (start.elapsed(), threads);
    many
}

/// A broken invariant of the exchange is a failure of the world like any other.
fn run_one(seed: u64, limits: Limits) -> Result<Tally, Failure> {
    catch_unwind(|| run(seed, limits)).unwrap_or_else(|panic| {
        let what = message(&*panic);
        Err(Failure { seed, step: 0, what })
    })
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a message").to_owned()
}
