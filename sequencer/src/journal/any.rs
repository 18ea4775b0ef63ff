//! Either journal, for whoever lets people choose.

use std::path::PathBuf;

use crate::journal::{
    Ack, Head, Journal, JournalError, JournalReader, PostgresAddress, PostgresJournal,
    PostgresReader, Record, SqliteJournal, SqliteReader, Whole,
};

/// Where a journal is kept.
#[derive(Clone, Debug)]
pub enum JournalPlace {
    /// In a folder, embedded.
    Folder(PathBuf),
    /// On a server.
    Postgres(PostgresAddress),
}

/// A journal of either kind.
#[derive(Debug)]
pub enum AnyJournal {
    /// Embedded.
    Sqlite(SqliteJournal),
    /// On a server.
    Postgres(PostgresJournal),
}

impl JournalPlace {
    /// Opens the journal, making it if there is none, and becomes its writer.
    ///
    /// # Errors
    ///
    /// [`JournalError`]: another exchange has it, or it cannot be opened.
    pub async fn open(&self) -> Result<AnyJournal, JournalError> {
        self.open_acking(Ack::default()).await
    }

    /// The same, with what it takes for an append to be acknowledged.
    ///
    /// # Errors
    ///
    /// [`JournalError`]: another exchange has it, it cannot be opened, or it has no such sense of durable.
    pub async fn open_acking(&self, ack: Ack) -> Result<AnyJournal, JournalError> {
        match self {
            Self::Folder(_) if ack != Ack::default() => Err(JournalError::AckOfEmbedded { ack }),
            Self::Folder(folder) => Ok(AnyJournal::Sqlite(SqliteJournal::open(folder).await?)),
            Self::Postgres(address) => {
                Ok(AnyJournal::Postgres(PostgresJournal::open(address, ack).await?))
            }
        }
    }

    /// Opens a journal that is there, and becomes its writer.
    ///
    /// # Errors
    ///
    /// [`JournalError`]: there is none, another exchange has it, or it cannot be opened.
    pub async fn open_existing(&self) -> Result<AnyJournal, JournalError> {
        // Whoever becomes the writer of an empty database makes a journal there.
        self.open_to_read().await?.close().await?;
        self.open().await
    }

    /// Opens the journal to read it: an embedded one only without an exchange that has it open, one on
    /// a server beside its writer.
    ///
    /// # Errors
    ///
    /// [`JournalError`]: another exchange has it, or it cannot be opened.
    pub async fn open_to_read(&self) -> Result<AnyJournal, JournalError> {
        match self {
            Self::Folder(folder) if !SqliteReader::new(folder).is_there() => {
                Err(JournalError::NotThere { path: folder.clone() })
            }
            Self::Folder(_) => self.open().await,
            Self::Postgres(address) => {
                Ok(AnyJournal::Postgres(PostgresJournal::open_to_read(address).await?))
            }
        }
    }

    /// Returns what reads the journal beside its writer, in the writer's own process or another one. It
    /// is opened when it is first asked.
    pub fn reader(&self) -> Box<dyn JournalReader> {
        match self {
            Self::Folder(folder) => Box::new(SqliteReader::new(folder)),
            Self::Postgres(address) => Box::new(PostgresReader::new(address)),
        }
    }
}

impl AnyJournal {
    /// Returns where the journal ends.
    pub fn head(&self) -> Head {
        match self {
            Self::Sqlite(journal) => journal.head(),
            Self::Postgres(journal) => journal.head(),
        }
    }

    /// Makes it something that only reads.
    pub fn into_reader(self) -> Box<dyn JournalReader> {
        Box::new(Whole(self))
    }
}

impl Journal for AnyJournal {
    async fn append(&mut self, record: &Record) -> Result<(), JournalError> {
        match self {
            Self::Sqlite(journal) => journal.append(record).await,
            Self::Postgres(journal) => journal.append(record).await,
        }
    }

    fn in_flight_max(&self) -> usize {
        match self {
            Self::Sqlite(journal) => journal.in_flight_max(),
            Self::Postgres(journal) => journal.in_flight_max(),
        }
    }

    async fn begin_append(&mut self, record: &Record) -> Result<(), JournalError> {
        match self {
            Self::Sqlite(journal) => journal.begin_append(record).await,
            Self::Postgres(journal) => journal.begin_append(record).await,
        }
    }

    async fn end_append(&mut self) -> Result<(), JournalError> {
        match self {
            Self::Sqlite(journal) => journal.end_append().await,
            Self::Postgres(journal) => journal.end_append().await,
        }
    }

    async fn read_after(&mut self, seq: u64) -> Result<Option<Record>, JournalError> {
        match self {
            Self::Sqlite(journal) => journal.read_after(seq).await,
            Self::Postgres(journal) => journal.read_after(seq).await,
        }
    }

    fn reader(&self) -> Option<Box<dyn JournalReader>> {
        match self {
            Self::Sqlite(journal) => journal.reader(),
            Self::Postgres(journal) => journal.reader(),
        }
    }

    async fn truncate(&mut self, seq: u64) -> Result<bool, JournalError> {
        match self {
            Self::Sqlite(journal) => journal.truncate(seq).await,
            Self::Postgres(journal) => journal.truncate(seq).await,
        }
    }

    async fn close(self) -> Result<(), JournalError> {
        match self {
            Self::Sqlite(journal) => journal.close().await,
            Self::Postgres(journal) => journal.close().await,
        }
    }
}
