//! What people and machines read: lines for the one, a JSON object on the last line for the other.

use std::io::{self, Write as _};

use gavel_sequencer::error_text;
use serde::Serialize;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Where output goes, and in which form.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
}

impl Output {
    /// With `json`, the summary is one JSON object on the last line of standard output.
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Writes a line for people.
    pub fn line(&self, text: impl std::fmt::Display) {
        // A reader that has gone away is no reason to stop an exchange.
        drop(writeln!(io::stdout(), "{text}"));
    }

    /// Writes a line about what is going on, out of the way of what comes out.
    pub fn note(&self, text: impl std::fmt::Display) {
        drop(writeln!(io::stderr(), "{text}"));
    }

    /// Writes what came out: as text, or as JSON.
    pub fn summary(&self, text: impl std::fmt::Display, json: &impl Serialize) {
        match self.json {
            false => self.line(text),
            true => match serde_json::to_string(json) {
                Ok(json) => self.line(json),
                Err(error) => self.error(&error.into()),
            },
        }
    }

    /// Writes an error with its causes.
    pub fn error(&self, error: &anyhow::Error) {
        let error = error_text(error.as_ref());
        drop(writeln!(io::stderr(), "error: {error}"));
        if self.json {
            self.line(serde_json::json!({ "error": error }));
        }
    }
}

/// Starts the log on standard error: warnings, or more with `verbose` or `RUST_LOG`.
pub fn start_log(verbose: bool) {
    let level = if verbose { LevelFilter::INFO } else { LevelFilter::WARN };
    let filter = EnvFilter::builder().with_default_directive(level.into()).from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        // Where the log finds no room, what says so finds none either, and would end the process.
        .log_internal_errors(false)
        .init();
}
