//! Why an economy could not be run.

use std::io;
use std::path::PathBuf;

use gavel_protocol::RejectReason;

/// Why a population file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PopulationError {
    /// Reading the file.
    #[error("cannot read the population {file}", file = file.display())]
    Reading {
        /// Which file.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Understanding the file.
    #[error("cannot understand the population {file}", file = file.display())]
    Parsing {
        /// Which file.
        file: PathBuf,
        /// Why, and what was expected.
        #[source]
        source: serde_json::Error,
    },
    /// The population breaks a rule.
    #[error("the population {file} cannot trade: {expected}", file = file.display())]
    Invalid {
        /// Which file.
        file: PathBuf,
        /// What was expected.
        expected: String,
    },
}

/// Why an economy did not begin to trade.
#[derive(Debug, thiserror::Error)]
pub enum EconomyError {
    /// The population breaks a rule.
    #[error("the population cannot trade: {expected}")]
    Invalid {
        /// What was expected.
        expected: String,
    },
    /// The exchange rejected what the market begins with.
    #[error("the exchange rejected {what}: {reason}")]
    Founding {
        /// What was to be set up.
        what: &'static str,
        /// Why it was not.
        reason: RejectReason,
    },
    /// The exchange answered with something else than what was asked for.
    #[error("the exchange answered {what} with something else")]
    OtherOutcome {
        /// What was to be set up.
        what: &'static str,
    },
}
