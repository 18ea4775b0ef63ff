//! The limit of the journal: one bare durable commit of the same store.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, SqliteConnection};

/// Bytes of a row: about as many as the record of one command has.
const ROW_BYTES: usize = 200;

/// A store with the journal's settings and a table of blobs.
pub struct Store {
    connection: SqliteConnection,
}

impl Store {
    /// Makes the store in `folder`.
    pub async fn open(folder: &Path) -> anyhow::Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(folder.join("commit.sqlite"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let mut connection = options.connect().await.context("cannot open the bare store")?;
        let schema = "CREATE TABLE record (number INTEGER PRIMARY KEY, bytes BLOB NOT NULL)";
        sqlx::raw_sql(schema).execute(&mut connection).await?;
        Ok(Self { connection })
    }

    /// Inserts a row, waits until it is durable, and returns how long that took.
    pub async fn commit(&mut self) -> anyhow::Result<Duration> {
        let sent = Instant::now();
        let insert = sqlx::query("INSERT INTO record (bytes) VALUES (?1)");
        insert.bind([7_u8; ROW_BYTES].as_slice()).execute(&mut self.connection).await?;
        Ok(sent.elapsed())
    }
}
