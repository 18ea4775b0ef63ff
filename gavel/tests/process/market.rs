//! A market by hand: an exchange that `gavel up` serves, and people at its command line.

use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, Output};

use tempfile::TempDir;

use super::{Served, gavel, spawn};

/// An exchange with a capability, a buyer and three other agents.
pub struct Market {
    /// The exchange.
    pub served: Served,
    files: TempDir,
}

/// A provider that answers whatever is asked. Dropping it ends it.
pub struct Provider {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Market {
    /// Starts an exchange, and enrols everybody.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts an exchange with further arguments, and enrols everybody.
    pub fn start_with(more: &[&str]) -> Self {
        let market = Self { served: Served::start_with(more), files: tempfile::tempdir().unwrap() };
        std::fs::write(market.file("job.json"), "{}").unwrap();
        std::fs::write(market.file("answer.txt"), "done\n").unwrap();
        market.run(&["list", "ocr"]);
        for name in ["acme", "fast", "cheap", "other"] {
            market.run(&["enrol", name, "--deposit", "100.00"]);
        }
        market
    }

    /// Returns the path of a file beside the data directory.
    pub fn file(&self, name: &str) -> String {
        self.files.path().join(name).to_str().unwrap().to_owned()
    }

    /// Runs a command in the data directory.
    pub fn gavel(&self, args: &[&str]) -> Output {
        gavel(&[args, &["--data", &self.served.data()]].concat())
    }

    /// Runs a command that must succeed, and returns what it prints.
    pub fn run(&self, args: &[&str]) -> String {
        let output = self.gavel(args);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts a provider, and waits until it listens.
    pub fn provider(&self, name: &str, how: &[&str]) -> Provider {
        let data = self.served.data();
        let args = ["quote", "--as", name, "--capability", "ocr", "--data", &data];
        let mut child = spawn(&[args.as_slice(), how].concat());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        lines.next().unwrap().unwrap();
        Provider { child, lines }
    }
}

impl Provider {
    /// Waits until it has left by itself, and returns whether all went well and what it said.
    pub fn left(mut self) -> (bool, Vec<String>) {
        let said = self.lines.by_ref().map(|line| line.unwrap()).collect();
        (self.child.wait().unwrap().success(), said)
    }

    /// Waits for what it says next, and returns it.
    pub fn line(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }

    /// Waits for what it says next, which must be about this.
    pub fn says(mut self, what: &str) {
        let line = self.line();
        assert!(line.contains(what), "{line}");
    }

    /// Waits until it has answered.
    pub fn answered(mut self, rfq: &str) {
        let line = self.line();
        assert!(line.contains(rfq) && !line.starts_with("no "), "{line}");
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
