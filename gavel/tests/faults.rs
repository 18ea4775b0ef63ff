//! Real faults: the binary under load is killed at random moments, its syncs fail, its disk fills. What
//! was acknowledged is there afterwards.
//!
//! How often can be set from outside: see `cargo xtask faults`.
#![allow(clippy::unwrap_used, reason = "a test may stop at anything unexpected")]

mod process;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use process::{Served, gavel, json};

fn from_outside(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

/// A load that goes on whatever happens to the exchange, and keeps what it was answered.
struct Load {
    child: Child,
    acks: String,
}

impl Load {
    fn start(served: &Served) -> Self {
        let acks = served.path().join("acks.jsonl").to_str().unwrap().to_owned();
        let args = ["sim", "--data", &served.data(), "--acks", &acks, "--seconds", "3600"];
        Self { child: process::spawn(&args), acks }
    }

    fn acknowledged(&self) -> usize {
        let acks = std::fs::read(&self.acks).unwrap_or_default();
        acks.iter().filter(|byte| **byte == b'\n').count()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Asks over HTTP, which takes its time: returns the page, if the exchange is there.
fn page(served: &Served, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(served.http()).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
    let mut page = String::new();
    stream.read_to_string(&mut page).ok()?;
    Some(page)
}

/// Waits until the load has so many more acknowledgements.
fn wait_for(served: &Served, load: &Load, more: usize) {
    let until = load.acknowledged() + more;
    while load.acknowledged() < until {
        page(served, "/healthz");
    }
}

/// Verifies the data directory, and adds a row to the table of faults.
fn verify(served: &Served, load: &Load, fault: &str) {
    let verified = gavel(&["verify", "--data", &served.data(), "--acks", &load.acks, "--json"]);
    assert!(verified.status.success(), "{fault}: {verified:?}");
    let verified = json(&verified);
    assert_eq!(verified["lost_acknowledged"], 0, "{fault}: {verified}");
    assert_eq!(verified["trial_balance"], 0, "{fault}: {verified}");
    assert_eq!(verified["replay_hash_equal"], true, "{fault}: {verified}");
    assert_eq!(verified["double_awards"], 0, "{fault}: {verified}");
    let (acknowledged, hash_equal) = (&verified["acknowledged"], &verified["replay_hash_equal"]);
    row(&format!("| {fault} | {acknowledged} | 0 | 0 | {hash_equal} |"));
}

/// Adds a row to the table of faults, where `cargo xtask faults` asks for one.
fn row(text: &str) {
    let Ok(path) = std::env::var("GAVEL_FAULTS_TABLE") else { return };
    let mut table = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
    writeln!(table, "{text}").unwrap();
}

#[test]
fn kills_at_random_moments_lose_nothing_that_was_acknowledged() {
    let (kills, mut served) = (from_outside("GAVEL_KILLS", 4), Served::start());
    let load = Load::start(&served);
    let mut state = from_outside("GAVEL_FAULT_SEED", 1);
    for _ in 0..kills {
        // Knuth's constants: any generator does.
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        wait_for(&served, &load, usize::try_from(state >> 57).unwrap());
        served.kill();
        served.start_again();
    }
    wait_for(&served, &load, 1);
    served.kill();
    verify(&served, &load, &format!("{kills} kills"));
}

/// Builds what makes the disk fail, beside the tests' own outputs.
fn shim(folder: &Path) -> PathBuf {
    let (source, shim) = ("tests/fault_shim.c", folder.join("fault_shim.so"));
    let mut compiler = Command::new("cc");
    compiler.current_dir(env!("CARGO_MANIFEST_DIR")).args(["-shared", "-fPIC", "-O1", "-o"]);
    let built = compiler.arg(&shim).args([source, "-ldl"]).status();
    assert!(built.expect("cc, which linking takes anyway").success());
    shim
}

fn a_disk_that_fails(kind: &str, fault: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (shim, switch) = (shim(folder.path()), folder.path().join("fault"));
    let environment = [("LD_PRELOAD", shim.as_path()), ("GAVEL_FAULT", switch.as_path())];
    let mut served = Served::start_under(&environment);
    let load = Load::start(&served);
    wait_for(&served, &load, 50);
    std::fs::write(&switch, kind).unwrap();
    // It says so, and acknowledges nothing any more.
    while page(&served, "/healthz").is_some_and(|page| page.starts_with("HTTP/1.1 200")) {}
    let acknowledged = load.acknowledged();
    for _ in 0..50 {
        page(&served, "/healthz");
    }
    assert_eq!(load.acknowledged(), acknowledged, "{fault}: acknowledged what is not durable");
    served.kill();
    std::fs::remove_file(&switch).unwrap();
    served.start_again();
    wait_for(&served, &load, 50);
    served.kill();
    verify(&served, &load, fault);
}

#[test]
fn a_failing_sync_is_not_acknowledged() {
    a_disk_that_fails("sync", "syncs fail");
}

#[test]
fn a_full_disk_is_not_acknowledged() {
    a_disk_that_fails("room", "disk full");
}

/// Leaves an exchange that was stopped, for a build of other rules to go on with.
#[test]
fn what_is_stopped_has_a_snapshot_of_its_end() {
    let mut served = Served::start_with(&["--snapshot-every", "100", "--keep-history"]);
    let load = Load::start(&served);
    wait_for(&served, &load, 300);
    drop(load);
    served.stop();
    let listed = json(&gavel(&["snapshot", "--data", &served.data(), "--json"]));
    let snapshots = listed["snapshots"].as_array().unwrap();
    let verified = json(&gavel(&["verify", "--data", &served.data(), "--json"]));
    assert!(snapshots.len() > 1, "{listed}");
    assert_eq!(snapshots.last().unwrap()["seq"], verified["seq"], "{listed} {verified}");
    if let Ok(to) = std::env::var("GAVEL_UPGRADE_FROM") {
        drop(std::fs::remove_dir_all(&to));
        let copied = Command::new("cp").arg("-r").arg(served.path()).arg(&to).status().unwrap();
        assert!(copied.success());
    }
}
