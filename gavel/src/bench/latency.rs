//! How long something took, many times over.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::{Serialize, Serializer};

/// The longest time that is told apart.
const LONGEST: Duration = Duration::from_secs(60);

/// Significant digits that are told apart.
const DIGITS: u8 = 3;

/// How long something took, many times over.
pub struct Latencies(Histogram<u64>);

/// What is said of [`Latencies`].
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Percentiles {
    /// How many there were.
    pub count: u64,
    /// Half of them took at most so long.
    pub p50_ns: u64,
    /// 99 of 100 took at most so long.
    pub p99_ns: u64,
    /// 999 of 1,000 took at most so long.
    pub p999_ns: u64,
    /// None took longer.
    pub max_ns: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        let longest = nanos(LONGEST);
        let histogram = Histogram::new_with_bounds(1, longest, DIGITS);
        Self(histogram.expect("three digits below a minute are within the bounds of the format"))
    }
}

impl Latencies {
    /// Measures one after the other, for so long: closed loop, one at a time.
    pub async fn of_a_slice(
        &mut self,
        slice: Duration,
        mut once: impl AsyncFnMut() -> anyhow::Result<Duration>,
    ) -> anyhow::Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < slice {
            self.record(once().await?);
        }
        Ok(())
    }

    /// Adds one.
    pub fn record(&mut self, took: Duration) {
        self.0.saturating_record(nanos(took));
    }

    /// Adds those of another.
    pub fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all of them have the same bounds");
    }

    /// Returns what is said of them.
    pub fn percentiles(&self) -> Percentiles {
        Percentiles {
            count: self.0.len(),
            p50_ns: self.0.value_at_quantile(0.5),
            p99_ns: self.0.value_at_quantile(0.99),
            p999_ns: self.0.value_at_quantile(0.999),
            max_ns: self.0.max(),
        }
    }
}

impl Serialize for Latencies {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.percentiles().serialize(serializer)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
