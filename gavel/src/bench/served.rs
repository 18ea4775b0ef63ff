//! A real `gavel up`, watched from outside.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;

/// An exchange in a process of its own, which ends with this value.
pub struct Served(Child);

impl Served {
    /// Starts it, and returns once it serves.
    pub fn start(data: &Path) -> anyhow::Result<Self> {
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
    pub fn cpu_time(&self) -> anyhow::Result<Duration> {
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

    /// Returns its resident memory.
    pub fn resident_mib(&self) -> anyhow::Result<f64> {
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
