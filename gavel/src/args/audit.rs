//! The arguments of `gavel audit`.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use gavel_protocol::{EventId, PublicKey, RfqId};

use crate::args::JournalArg;

/// A proof from its making to its checking, shown by the help of each command.
const EXAMPLE: &str = "\
Example, with an exchange that was started with `gavel up --audit`:

  curl -s http://127.0.0.1:7411/audit/head > head.json       # whoever wants to check keeps these
  gavel audit list --rfq rfq_000000000000000d
  gavel audit prove event_00112233445566778899aabbccddeeff > proof.json
  gavel audit check proof.json --key KEY

A later head goes on from an earlier one of so many leaves:

  gavel audit prove event_00112233445566778899aabbccddeeff --since 40 > proof.json
  gavel audit check proof.json --key KEY --earlier head.json";

/// What to do with an audit log.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Bring the audit log up to the end of the journal of an exchange that is not running.
    Build(AuditBuildArgs),
    /// Show the newest head that was signed.
    Head(AuditArgs),
    /// List the events that can be proven, with their ids.
    List(AuditListArgs),
    /// Prove that an event is in the newest head: writes the proof as a line of JSON.
    Prove(AuditProveArgs),
    /// Check a proof; needs no data directory.
    Check(AuditCheckArgs),
}

/// Arguments of `gavel audit build`.
#[derive(Debug, Parser)]
#[command(after_help = "Example:\n\n  gavel audit build --data gavel-data")]
pub struct AuditBuildArgs {
    /// Where the exchange keeps everything; it must not be running.
    #[arg(long, default_value = "gavel-data")]
    pub data: PathBuf,
    /// Where the journal is kept.
    #[command(flatten)]
    pub journal: JournalArg,
    /// Make the leaves anew from the first command. Heads that were signed stay, and must fit.
    #[arg(long)]
    pub rebuild: bool,
}

/// Arguments of `gavel audit head`.
#[derive(Debug, Parser)]
#[command(after_help = EXAMPLE)]
pub struct AuditArgs {
    /// Where the exchange keeps everything; it may be running.
    #[arg(long, default_value = "gavel-data")]
    pub data: PathBuf,
}

/// Arguments of `gavel audit list`.
#[derive(Debug, Parser)]
#[command(after_help = EXAMPLE)]
pub struct AuditListArgs {
    /// Only events about this RFQ.
    #[arg(long)]
    pub rfq: Option<RfqId>,
    /// Which audit log.
    #[command(flatten)]
    pub log: AuditArgs,
}

/// Arguments of `gavel audit prove`.
#[derive(Debug, Parser)]
#[command(after_help = EXAMPLE)]
pub struct AuditProveArgs {
    /// Which event, as listed.
    pub event: EventId,
    /// Also prove that the tree of an earlier head, of so many leaves, is the beginning of this one.
    #[arg(long, value_name = "SIZE")]
    pub since: Option<u64>,
    /// Which audit log.
    #[command(flatten)]
    pub log: AuditArgs,
}

/// Arguments of `gavel audit check`.
#[derive(Debug, Parser)]
#[command(after_help = EXAMPLE)]
pub struct AuditCheckArgs {
    /// The proof, as a file; `-` is standard input.
    pub proof: PathBuf,
    /// The key that the exchange signs with, if it is known: 64 hexadecimal digits.
    #[arg(long, value_name = "HEX")]
    pub key: Option<PublicKey>,
    /// A head that was signed before, as a file: it must be of the beginning of the same tree.
    #[arg(long, value_name = "HEAD_FILE")]
    pub earlier: Option<PathBuf>,
}
