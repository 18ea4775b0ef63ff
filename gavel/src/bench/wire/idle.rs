//! What an exchange costs while nothing comes: a real `gavel up`, watched from outside.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::Serialize;

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

/// An exchange in a process of its own, which ends with this value.
struct Served(Child);

impl Served {
    fn start(data: &Path) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let mut up = Command::new(program);
        up.arg("up").arg("--data").arg(data);
        up.args(["--quic", "127.0.0.1:0", "--http", "127.0.0.1:0"]).stdout(Stdio::piped());
        let mut served = Self(up.spawn().context("cannot start `gavel up`")?);
        let stdout = served.0.stdout.take().context("`gavel up` has no standard output")?;
        // The first thing it says is where it serves.
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).context("cannot read from `gavel up`")?;
        anyhow::ensure!(line.contains("serves"), "`gavel up` does not serve");
        Ok(served)
    }

    /// Returns how long its threads have run so far, by the scheduler's own count.
    fn cpu_time(&self) -> anyhow::Result<Duration> {
        let tasks = format!("/proc/{}/task", self.0.id());
        let mut nanos = 0;
        for task in fs::read_dir(&tasks).with_context(|| format!("cannot read {tasks}"))? {
            let path = task?.path().join("schedstat");
            let text = fs::read_to_string(&path);
            let text = text.with_context(|| format!("cannot read {}", path.display()))?;
            let running = text.split_whitespace().next().and_then(|field| field.parse().ok());
            nanos += running.unwrap_or(0_u64);
        }
        Ok(Duration::from_nanos(nanos))
    }

    fn resident_mib(&self) -> anyhow::Result<f64> {
        let path = format!("/proc/{}/status", self.0.id());
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        Ok(kib.context("the resident memory is not told")? / 1_024.0)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It has nothing that is worth keeping, and may be gone already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
