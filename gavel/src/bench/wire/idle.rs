//! What an exchange costs while nothing comes: a real `gavel up`, left alone.

use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::bench::served::Served;

/// What an idle exchange costs.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Idle {
    /// Its share of one core.
    pub cpu_percent: f64,
    /// Its resident memory.
    pub resident_mib: f64,
}

/// Starts an exchange below `folder`, leaves it alone for `time`, and ends it.
pub fn measure(folder: &Path, time: Duration) -> anyhow::Result<Idle> {
    let served = Served::start(&folder.join("idle"))?;
    let (begun, before) = (Instant::now(), served.cpu_time()?);
    std::thread::sleep(time);
    let cpu_time = served.cpu_time()?.saturating_sub(before);
    let cpu_percent = 100.0 * cpu_time.as_secs_f64() / begun.elapsed().as_secs_f64();
    Ok(Idle { cpu_percent, resident_mib: served.resident_mib()? })
}
