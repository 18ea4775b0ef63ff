//! The load that every fault is tried under, and what must hold after it.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use crate::process::{Served, gavel, json};

/// Returns how often something is done, if that is set from outside.
pub fn from_outside(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

/// Returns what decides when faults come, drawn from the seed of this run.
pub fn random() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(from_outside("GAVEL_FAULT_SEED", 1))
}

/// A load that goes on whatever happens to the exchange, and keeps what it was answered.
pub struct Load {
    child: Child,
    acks: String,
    bytes_read: u64,
    acknowledged: usize,
}

impl Load {
    /// Starts a load that finds the exchange where that says it is, and waits until it trades.
    pub fn start(served: &Served) -> Self {
        Self::start_with(served, &served.data())
    }

    /// Starts a load that looks for the exchange where a data directory says it is, and waits until
    /// it trades.
    pub fn start_with(served: &Served, data: &str) -> Self {
        let mut load = Self::spawn(served, data);
        load.wait_until(served, |load| load.trades());
        load
    }

    /// Starts a load that looks for the exchange where a data directory says it is.
    pub fn spawn(served: &Served, data: &str) -> Self {
        let acks = served.path().join("acks.jsonl").to_str().unwrap().to_owned();
        let mut command = Command::new(env!("CARGO_BIN_EXE_gavel"));
        command.args(["sim", "--data", data, "--acks", &acks, "--seconds", "36000"]);
        command.args(["--buyers", "5", "--providers", "15"]);
        // It says a line a second, which nobody reads.
        let child = command.stdout(Stdio::null()).spawn().unwrap();
        Self { child, acks, bytes_read: 0, acknowledged: 0 }
    }

    /// Returns whether everybody is there, and somebody has asked for work.
    pub fn trades(&self) -> bool {
        std::fs::read_to_string(&self.acks).is_ok_and(|acks| acks.contains("\"OpenRfq\""))
    }

    /// Returns how many commands were acknowledged so far.
    pub fn acknowledged(&mut self) -> usize {
        let mut new = Vec::new();
        // It makes the file when it starts.
        if let Ok(mut file) = File::open(&self.acks) {
            file.seek(SeekFrom::Start(self.bytes_read)).unwrap();
            self.bytes_read += file.read_to_end(&mut new).unwrap() as u64;
        }
        self.acknowledged += new.iter().filter(|byte| **byte == b'\n').count();
        self.acknowledged
    }

    /// Waits until so many more commands were acknowledged.
    pub fn wait_for(&mut self, served: &Served, more: usize) {
        let until = self.acknowledged() + more;
        self.wait_until(served, |load| load.acknowledged() >= until);
    }

    /// Waits until something is so, while the load goes on.
    pub fn wait_until(&mut self, served: &Served, is_so: impl Fn(&mut Self) -> bool) {
        while !is_so(self) {
            page(served, "/healthz");
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "the load has given up: {ended:?}");
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Asks over HTTP, which takes its time: returns the page, if the exchange is there.
pub fn page(served: &Served, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(served.http()).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
    let mut page = String::new();
    stream.read_to_string(&mut page).ok()?;
    Some(page)
}

/// Waits until the exchange says of itself what its journal does.
pub fn wait_for_health(served: &mut Served, status: &str) {
    while !page(served, "/healthz").is_some_and(|page| page.contains(status)) {
        assert!(!served.has_ended(), "it has ended instead of saying {status}");
    }
}

/// Waits until the exchange has given up every connection.
pub fn wait_until_disconnected(served: &Served) {
    let nobody = |page: &str| page.lines().any(|line| line == "gavel_connections 0");
    while !nobody(&page(served, "/metrics").unwrap()) {}
}

/// Verifies the data directory, or the journal that is named beside it, and adds a row to the table
/// of faults.
pub fn verify(served: &Served, load: &Load, journal: &[&str], fault: &str) {
    let verify = ["verify", "--data", &served.data(), "--acks", &load.acks, "--json"];
    let verified = gavel(&[verify.as_slice(), journal].concat());
    assert!(verified.status.success(), "{fault}: {verified:?}");
    let verified = json(&verified);
    for nothing in ["lost_acknowledged", "double_awards", "trial_balance"] {
        assert_eq!(verified[nothing], 0, "{fault}: {verified}");
    }
    assert_eq!(verified["replay_hash_equal"], true, "{fault}: {verified}");
    let (acknowledged, lost) = (&verified["acknowledged"], &verified["lost_acknowledged"]);
    let (double, hash_equal) = (&verified["double_awards"], &verified["replay_hash_equal"]);
    row(&format!("| {fault} | {acknowledged} | {lost} | {double} | {hash_equal} |"));
}

/// Adds a row to the table of faults, where `cargo xtask faults` asks for one.
pub fn row(text: &str) {
    let Ok(path) = std::env::var("GAVEL_FAULTS_TABLE") else { return };
    let mut table = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
    writeln!(table, "{text}").unwrap();
}
