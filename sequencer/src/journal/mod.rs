//! The journal: what was asked, in its order, so that everything that followed can be made again.
//!
//! A record holds a group of commands and condenses the events that they caused. Each record's
//! chain value depends on all before it, so nothing before its end can be lost, added or changed
//! unnoticed. That its end was cut off cannot be seen from within: compare the head.

mod ack;
mod any;
mod postgres;
mod record;
mod sqlite;

use std::future::{Future, ready};
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use gavel_protocol::Digest;

pub use ack::Ack;
pub use any::{AnyJournal, JournalPlace};
pub(crate) use postgres::is_final;
pub use postgres::{AddressError, PostgresAddress, PostgresJournal, PostgresReader};
pub use record::{Condenser, Record, decode_commands, encode_command};
pub use sqlite::{SqliteJournal, SqliteReader};

/// Where a journal ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The place of the last command; zero for an empty journal.
    pub seq: u64,
    /// The chain value of the last record; zeros for an empty journal.
    pub chain: Digest,
}

impl Head {
    /// The head of an empty journal.
    pub const EMPTY: Self = Self { seq: 0, chain: Digest::new([0; 32]) };
}

impl Default for Head {
    fn default() -> Self {
        Self::EMPTY
    }
}

/// A place that keeps records, in order, and has only one writer.
pub trait Journal: Send + 'static {
    /// Appends a record durably, if it follows the last one and nobody else has become the writer.
    fn append(&mut self, record: &Record) -> impl Future<Output = Result<(), JournalError>> + Send;

    /// Returns how many records may be on their way at one time.
    fn in_flight_max(&self) -> usize {
        1
    }

    /// Sends a record that follows the last one sent, which may still be on its way. There must be no
    /// more of them than [`in_flight_max`](Self::in_flight_max). A store that has one at a time appends
    /// it here.
    ///
    /// # Errors
    ///
    /// As of [`append`](Self::append): the record does not follow, or comes to nothing.
    fn begin_append(
        &mut self,
        record: &Record,
    ) -> impl Future<Output = Result<(), JournalError>> + Send {
        self.append(record)
    }

    /// Waits until the oldest record that was sent is durable. Whoever stops waiting can come again.
    ///
    /// # Errors
    ///
    /// As of [`append`](Self::append); then everything that was sent after it comes to nothing, too.
    fn end_append(&mut self) -> impl Future<Output = Result<(), JournalError>> + Send {
        ready(Ok(()))
    }

    /// Reads the record that begins after the command `seq`, if there is one.
    fn read_after(
        &mut self,
        seq: u64,
    ) -> impl Future<Output = Result<Option<Record>, JournalError>> + Send;

    /// Returns a second way to read it, beside its writer, if the store has one.
    fn reader(&self) -> Option<Box<dyn JournalReader>> {
        None
    }

    /// Deletes a bounded number of records that end with the command `seq` or before it, the oldest
    /// first; never the last one, and none once somebody else has become the writer. Returns whether
    /// there are more of them.
    fn truncate(&mut self, _seq: u64) -> impl Future<Output = Result<bool, JournalError>> + Send {
        ready(Ok(false))
    }

    /// Puts the store in order and lets go of it.
    fn close(self) -> impl Future<Output = Result<(), JournalError>> + Send;
}

/// What reads a journal's records.
pub trait JournalReader: Send {
    /// Reads the record that begins after the command `seq`, if there is one.
    fn read_after(&mut self, seq: u64) -> Reading<'_>;

    /// Lets go of the journal, so that its writer is the last one to.
    fn close(self: Box<Self>) -> Closing;
}

/// A reader that lets go.
pub type Closing = Pin<Box<dyn Future<Output = Result<(), JournalError>> + Send>>;

/// A record on its way.
pub type Reading<'a> =
    Pin<Box<dyn Future<Output = Result<Option<Record>, JournalError>> + Send + 'a>>;

/// A journal, as something that reads its records.
pub(crate) struct Through<'a, J>(pub(crate) &'a mut J);

impl<J: Journal> JournalReader for Through<'_, J> {
    fn read_after(&mut self, seq: u64) -> Reading<'_> {
        Box::pin(self.0.read_after(seq))
    }

    fn close(self: Box<Self>) -> Closing {
        // It is the journal itself, which goes on.
        Box::pin(ready(Ok(())))
    }
}

/// A journal that nobody but a reader has.
pub(crate) struct Whole<J>(pub(crate) J);

impl<J: Journal> JournalReader for Whole<J> {
    fn read_after(&mut self, seq: u64) -> Reading<'_> {
        Box::pin(self.0.read_after(seq))
    }

    fn close(self: Box<Self>) -> Closing {
        Box::pin(self.0.close())
    }
}

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The folder cannot be made or its lock cannot be opened.
    #[error("cannot open the data directory {path}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Another process has the journal open.
    #[error(
        "the data directory {path} is in use by another exchange; stop that one first, or use \
         another --data directory"
    )]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The store cannot be opened.
    #[error("cannot open the journal {path}; if it is damaged, restore it from a backup")]
    Opening {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// The server cannot be reached, does not let us in, or fails while the journal is opened.
    #[error("cannot open the journal on {server}")]
    Connecting {
        /// The server, without a password.
        server: String,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// Another exchange has the journal open.
    #[error(
        "the journal on {server} is in use by another exchange; stop that one first, or use another \
         database. If its machine is gone, the server lets go of it within 30 s"
    )]
    InUseByAnother {
        /// The server, without a password.
        server: String,
    },
    /// An embedded journal has one sense of durable.
    #[error(
        "an embedded journal acknowledges what is on its own disk, and nothing else: `{ack}` is for a \
         journal on PostgreSQL"
    )]
    AckOfEmbedded {
        /// What was asked for.
        ack: Ack,
    },
    /// There is no embedded journal to read.
    #[error("there is no journal in {path}: name one on a server with --journal")]
    NotThere {
        /// The folder.
        path: PathBuf,
    },
    /// There is no journal to read.
    #[error("no exchange has kept its journal on {server}")]
    NoJournal {
        /// The server, without a password.
        server: String,
    },
    /// The tables cannot be made, or were made by a newer build.
    #[error("cannot make the journal's tables; the user needs the right to create a schema")]
    Migrating(#[source] sqlx::migrate::MigrateError),
    /// Records are missing at the end.
    #[error(
        "the journal is damaged: it is noted to end with command {noted}, but its records end with \
         command {found}; restore it from a backup"
    )]
    CutOff {
        /// Where it should end.
        noted: u64,
        /// Where it does.
        found: u64,
    },
    /// The thread that talks to the server cannot be started.
    #[error("cannot start the journal's thread")]
    Thread(#[source] std::io::Error),
    /// The server has been away for too long.
    #[error(
        "the journal's server has been away for {outage:?}; start the exchange again when it is back"
    )]
    Outage {
        /// For how long it was waited for.
        outage: Duration,
        /// What was tried last.
        #[source]
        source: sqlx::Error,
    },
    /// A record cannot be written.
    #[error("cannot append to the journal")]
    Appending(#[source] sqlx::Error),
    /// A store of another kind refuses a record.
    #[error("cannot write to the journal's store")]
    Writing(#[source] std::io::Error),
    /// Records cannot be read.
    #[error("cannot read the journal after command {seq}; restore it from a backup")]
    Reading {
        /// The last command that was read.
        seq: u64,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// Records cannot be deleted.
    #[error("cannot delete old records of the journal")]
    Truncating(#[source] sqlx::Error),
    /// The journal cannot be copied.
    #[error("cannot copy the journal to {path}")]
    Copying {
        /// The copy.
        path: PathBuf,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// The store cannot be put in order; everything in it is durable all the same.
    #[error("cannot close the journal")]
    Closing(#[source] sqlx::Error),
    /// Another writer has taken over, or the record does not follow the last one.
    #[error("the journal has another writer: the record of command {seq} does not follow its head")]
    Superseded {
        /// The record's first command.
        seq: u64,
    },
}
