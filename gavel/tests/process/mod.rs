//! Runs the binary, and ends what it started by its id.
#![allow(dead_code, reason = "each file of tests uses a part of this")]

pub mod market;

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// Any port of loopback.
const ANY_PORT: &str = "127.0.0.1:0";

/// Runs the binary to its end.
pub fn gavel(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gavel")).args(args).output().unwrap()
}

/// Starts the binary, with its standard output to be read.
pub fn spawn(args: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gavel"));
    command.args(args).stdout(Stdio::piped()).spawn().unwrap()
}

/// Starts the binary, and returns the first note that it writes.
pub fn spawn_and_read_note(args: &[&str]) -> (Child, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gavel"));
    let mut child = command.args(args).stderr(Stdio::piped()).spawn().unwrap();
    let mut note = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut note).unwrap();
    (child, note)
}

/// Returns the JSON object on the last line.
pub fn json(output: &Output) -> serde_json::Value {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

/// An exchange that `gavel up` serves. Dropping it ends it.
pub struct Served {
    child: Child,
    folder: TempDir,
    data: PathBuf,
    quic: String,
    http: String,
    more: Vec<String>,
}

impl Served {
    /// Starts an exchange in a folder of its own, on any ports.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts an exchange with further arguments.
    pub fn start_with(more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().into();
        Self::start_at(folder, data, ANY_PORT, more, &[])
    }

    /// Starts an exchange that listens for QUIC on an address, and keeps its whole journal.
    pub fn start_on(quic: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().into();
        Self::start_at(folder, data, quic, &["--keep-history"], &[])
    }

    /// Starts an exchange in an environment of its own.
    pub fn start_under(environment: &[(&str, &Path)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().into();
        Self::start_at(folder, data, ANY_PORT, &[], environment)
    }

    /// Starts an exchange in a data directory that is in a folder already.
    pub fn start_in(folder: TempDir, data: &str, more: &[&str]) -> Self {
        let data = folder.path().join(data);
        Self::start_at(folder, data, ANY_PORT, more, &[])
    }

    /// Copies the data directory, as one who wants to go on elsewhere does.
    pub fn copy(&self) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let mut copy = Command::new("cp");
        copy.arg("-r").arg(self.path()).arg(folder.path().join("data"));
        assert!(copy.status().unwrap().success());
        folder
    }

    fn start_at(
        folder: TempDir,
        data: PathBuf,
        quic: &str,
        more: &[&str],
        environment: &[(&str, &Path)],
    ) -> Self {
        let (child, quic, http) = up(&data, quic, more, environment);
        let more = more.iter().map(|argument| String::from(*argument)).collect();
        Self { child, folder, data, quic, http, more }
    }

    /// Returns the data directory.
    pub fn data(&self) -> String {
        self.path().to_str().unwrap().to_owned()
    }

    /// Returns the data directory.
    pub fn path(&self) -> &Path {
        &self.data
    }

    /// Returns where it listens for QUIC.
    pub fn quic(&self) -> &str {
        &self.quic
    }

    /// Returns where it listens for HTTP.
    pub fn http(&self) -> &str {
        &self.http
    }

    /// Kills it as the system would: nothing is finished, nothing is closed.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again in the same folder, on the same port and with the same further arguments.
    pub fn start_again(&mut self) {
        let more: Vec<&str> = self.more.iter().map(String::as_str).collect();
        (self.child, self.quic, self.http) = up(&self.data, &self.quic, &more, &[]);
    }

    /// Starts one that has ended again, with other further arguments.
    pub fn start_again_with(mut ended: Self, more: &[&str]) -> Self {
        ended.more = more.iter().map(|argument| String::from(*argument)).collect();
        ended.start_again();
        ended
    }

    /// Returns whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits until it has ended by itself, and returns with which exit code.
    pub fn ended(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Asks it to end, and waits until it has. The data directory stays.
    pub fn stop(&mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Starts an exchange, and waits until it serves.
fn up(
    data: &Path,
    quic: &str,
    more: &[&str],
    environment: &[(&str, &Path)],
) -> (Child, String, String) {
    let data = data.to_str().unwrap();
    let args = ["up", "--data", data, "--quic", quic, "--http", ANY_PORT, "--json"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_gavel"));
    command.args(args).args(more).envs(environment.iter().copied()).stdout(Stdio::piped());
    if !environment.is_empty() {
        // Its log is on the disk that fails.
        let log = OpenOptions::new().append(true).create(true).open(Path::new(data).join("log"));
        command.stderr(log.unwrap());
    }
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let started: serde_json::Value = serde_json::from_str(&line).unwrap();
    let text = |key: &str| started[key].as_str().unwrap().to_owned();
    (child, text("quic"), text("http"))
}
