//! The limit of the journal: bare durable commits of the same bytes into the same store.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use gavel_sequencer::journal::PostgresAddress;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, PgConnection, SqliteConnection};

/// A store with the journal's settings and a table of bytes.
pub enum Store {
    /// A file.
    Sqlite(SqliteConnection),
    /// A server.
    Postgres(PgConnection),
}

impl Store {
    /// Makes a file in `folder`.
    pub async fn open(folder: &Path) -> anyhow::Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(folder.join("bare.sqlite"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let mut connection = options.connect().await.context("cannot open the bare store")?;
        let schema = "CREATE TABLE record (number INTEGER PRIMARY KEY, bytes BLOB NOT NULL)";
        sqlx::raw_sql(schema).execute(&mut connection).await?;
        Ok(Self::Sqlite(connection))
    }

    /// Makes a table on a server.
    pub async fn on_server(address: &PostgresAddress) -> anyhow::Result<Self> {
        let connected = address.options().connect().await;
        let mut connection = connected.context("cannot reach the bare store")?;
        let schema = "CREATE SCHEMA bare; CREATE TABLE bare.record \
                      (number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, bytes BYTEA NOT NULL)";
        sqlx::raw_sql(schema).execute(&mut connection).await?;
        Ok(Self::Postgres(connection))
    }

    /// Inserts a row, waits until it is durable, and returns how long that took.
    pub async fn commit(&mut self, bytes: &[u8]) -> anyhow::Result<Duration> {
        let sent = Instant::now();
        match self {
            Self::Sqlite(connection) => {
                let insert = sqlx::query("INSERT INTO record (bytes) VALUES (?1)");
                insert.bind(bytes).execute(connection).await?;
            }
            Self::Postgres(connection) => {
                let insert = sqlx::query("INSERT INTO bare.record (bytes) VALUES ($1)");
                insert.bind(bytes).execute(connection).await?;
            }
        }
        Ok(sent.elapsed())
    }
}
