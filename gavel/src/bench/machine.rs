//! The machine that figures were measured on.

use std::fmt;
use std::fs;
use std::path::Path;

use serde::Serialize;

/// What a figure's reader needs to know of the machine.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    cpu: String,
    cores: usize,
    memory_gib: u64,
    kernel: String,
}

impl Machine {
    /// Reads what the kernel says; what it does not say is left empty.
    pub fn read() -> Self {
        let cpu = field("/proc/cpuinfo", "model name").unwrap_or_default();
        let memory = field("/proc/meminfo", "MemTotal").unwrap_or_default();
        let memory_kib = memory.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok());
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        // What follows the version proper names builds and hosts.
        let kernel = kernel.trim().split('-').next().unwrap_or_default().into();
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        Self { cpu, cores, memory_gib: memory_kib.unwrap_or(0).div_ceil(1_048_576), kernel }
    }
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim().into())
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu, cores, memory_gib, kernel } = self;
        write!(f, "machine: {cpu}, {cores} cores, {memory_gib} GiB, Linux {kernel}")
    }
}

/// Returns the type of the file system that a folder lies on: on one in memory nothing is durable.
pub fn file_system(folder: &Path) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let below = fields.filter(|fields| fields.len() > 2 && folder.starts_with(fields[1]));
    let deepest = below.max_by_key(|fields| fields[1].len())?;
    Some(deepest[2].into())
}
