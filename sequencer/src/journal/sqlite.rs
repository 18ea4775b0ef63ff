//! The embedded journal: one SQLite file, one row per record, no server.

use std::collections::VecDeque;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use gavel_protocol::Digest;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteRow, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Row as _, SqliteConnection};

use crate::journal::{Closing, Head, Journal, JournalError, JournalReader, Reading, Record};
use crate::limits::{RECORDS_READ_AHEAD, TRUNCATED_COMMANDS_MAX};

/// The journal in a folder of its own. Holding it excludes every other exchange.
#[derive(Debug)]
pub struct SqliteJournal {
    connection: SqliteConnection,
    path: PathBuf,
    head: Head,
    epoch: i64,
    _lock: Lock,
}

/// A file that is locked for as long as this is there.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // By itself the lock would last until a process that is just being started has closed its copy.
        let _unlocked = self.0.unlock();
    }
}

/// The file of records, and the file whose lock excludes others.
const JOURNAL_FILE: &str = "journal.sqlite";
const LOCK_FILE: &str = "journal.lock";

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS writer (
        only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
        epoch    INTEGER NOT NULL
    );
    CREATE TABLE IF NOT EXISTS record (
        last_seq      INTEGER PRIMARY KEY,
        first_seq     INTEGER NOT NULL,
        rules_version INTEGER NOT NULL,
        epoch         INTEGER NOT NULL,
        events_hash   BLOB NOT NULL,
        checksum      BLOB NOT NULL,
        chain         BLOB NOT NULL,
        commands      BLOB NOT NULL
    );
    INSERT INTO writer (only_row, epoch) VALUES (1, 1)
        ON CONFLICT (only_row) DO UPDATE SET epoch = epoch + 1;
";

/// One statement, so one implicit transaction and one trip to SQLite's thread.
const APPEND: &str = "
    INSERT INTO record
        (last_seq, first_seq, rules_version, epoch, events_hash, checksum, chain, commands)
    SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8
    WHERE (SELECT epoch FROM writer) = ?4
      AND COALESCE((SELECT last_seq FROM record ORDER BY last_seq DESC LIMIT 1), 0) = ?2 - 1
      AND COALESCE((SELECT chain FROM record ORDER BY last_seq DESC LIMIT 1), zeroblob(32)) = ?9
";

const READ_AFTER: &str = "
    SELECT last_seq, first_seq, rules_version, events_hash, checksum, chain, commands
    FROM record WHERE last_seq > ?1 ORDER BY last_seq LIMIT ?2
";

/// As many of the oldest records as a step may delete; the last one holds the head.
const TRUNCATE: &str = "
    DELETE FROM record
    WHERE last_seq <= ?1
      AND last_seq < (SELECT MAX(last_seq) FROM record)
      AND (SELECT epoch FROM writer) = ?2
";

/// Reads a journal beside its writer, several records at a time: so the two rarely want the same lock.
/// Opens it when it is first asked.
#[derive(Debug)]
pub struct SqliteReader {
    path: PathBuf,
    connection: Option<SqliteConnection>,
    /// Read, and not asked for yet.
    ahead: VecDeque<Record>,
}

impl SqliteJournal {
    /// Opens the journal in `folder`, making both if they do not exist, and becomes its writer.
    ///
    /// # Errors
    ///
    /// [`JournalError::InUse`] if another process has it, or what the file system or SQLite says.
    pub async fn open(folder: &Path) -> Result<Self, JournalError> {
        let in_folder = |source| JournalError::Folder { path: folder.into(), source };
        fs::create_dir_all(folder).map_err(in_folder)?;
        let lock = File::create(folder.join(LOCK_FILE)).map_err(in_folder)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => JournalError::InUse { path: folder.into() },
            TryLockError::Error(source) => in_folder(source),
        })?;

        let path = folder.join(JOURNAL_FILE);
        let opening = |source| JournalError::Opening { path: path.clone(), source };
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            // A group of commands is larger than the usual page.
            .page_size(16_384)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let mut connection = options.connect().await.map_err(opening)?;
        sqlx::raw_sql(SCHEMA).execute(&mut connection).await.map_err(opening)?;
        let epoch = sqlx::query("SELECT epoch FROM writer").fetch_one(&mut connection).await;
        let epoch = epoch.and_then(|row| row.try_get("epoch")).map_err(opening)?;
        let mut journal =
            Self { connection, path: path.clone(), head: Head::EMPTY, epoch, _lock: Lock(lock) };
        journal.head = journal.stored_head().await.map_err(opening)?;
        Ok(journal)
    }

    /// Returns where the journal ends.
    pub fn head(&self) -> Head {
        self.head
    }

    async fn stored_head(&mut self) -> Result<Head, sqlx::Error> {
        let last = "SELECT last_seq, chain FROM record ORDER BY last_seq DESC LIMIT 1";
        let row = sqlx::query(last).fetch_optional(&mut self.connection).await?;
        let Some(row) = row else { return Ok(Head::EMPTY) };
        Ok(Head { seq: number(&row, "last_seq")?, chain: digest(&row, "chain")? })
    }
}

impl Journal for SqliteJournal {
    async fn append(&mut self, record: &Record) -> Result<(), JournalError> {
        if !record.follows(&self.head) {
            return Err(JournalError::Superseded { seq: record.first_seq });
        }
        let done = sqlx::query(APPEND)
            .bind(stored(record.last_seq))
            .bind(stored(record.first_seq))
            .bind(record.rules_version)
            .bind(self.epoch)
            .bind(record.events_hash.as_bytes().as_slice())
            .bind(record.checksum.as_bytes().as_slice())
            .bind(record.chain.as_bytes().as_slice())
            .bind(record.commands.as_slice())
            .bind(self.head.chain.as_bytes().as_slice())
            .execute(&mut self.connection)
            .await
            .map_err(JournalError::Appending)?;
        if done.rows_affected() != 1 {
            return Err(JournalError::Superseded { seq: record.first_seq });
        }
        self.head = record.head();
        Ok(())
    }

    async fn read_after(&mut self, seq: u64) -> Result<Option<Record>, JournalError> {
        Ok(read_after(&mut self.connection, seq, 1).await?.pop())
    }

    fn reader(&self) -> Option<Box<dyn JournalReader>> {
        Some(Box::new(SqliteReader::of(self.path.clone())))
    }

    async fn truncate(&mut self, seq: u64) -> Result<bool, JournalError> {
        let oldest = sqlx::query("SELECT last_seq FROM record ORDER BY last_seq LIMIT 1");
        let oldest = oldest.fetch_optional(&mut self.connection).await;
        let oldest = oldest.and_then(|row| row.map(|row| number(&row, "last_seq")).transpose());
        let Some(oldest) = oldest.map_err(JournalError::Truncating)? else { return Ok(false) };
        let until = oldest.saturating_add(TRUNCATED_COMMANDS_MAX).min(seq);
        let query = sqlx::query(TRUNCATE).bind(stored(until)).bind(self.epoch);
        query.execute(&mut self.connection).await.map_err(JournalError::Truncating)?;
        Ok(until < seq && until < self.head.seq)
    }

    async fn close(self) -> Result<(), JournalError> {
        // SQLite folds its write-ahead log into the file when it is closed.
        self.connection.close().await.map_err(JournalError::Closing)
    }
}

impl SqliteReader {
    /// Names the journal in `folder`, whether an exchange is running there or not.
    pub fn new(folder: &Path) -> Self {
        Self::of(folder.join(JOURNAL_FILE))
    }

    fn of(path: PathBuf) -> Self {
        Self { path, connection: None, ahead: VecDeque::new() }
    }

    /// Returns whether there is a journal.
    pub fn is_there(&self) -> bool {
        self.path.exists()
    }

    /// Copies the journal as it is at this moment into `folder`, where no journal is yet.
    ///
    /// # Errors
    ///
    /// [`JournalError`].
    pub async fn copy(&mut self, folder: &Path) -> Result<(), JournalError> {
        let in_folder = |source| JournalError::Folder { path: folder.into(), source };
        fs::create_dir_all(folder).map_err(in_folder)?;
        let path = folder.join(JOURNAL_FILE);
        let copying = |source| JournalError::Copying { path: path.clone(), source };
        let name = path
            .to_str()
            .ok_or_else(|| copying(sqlx::Error::Configuration("the path is not UTF-8".into())))?;
        let copy = sqlx::query("VACUUM INTO ?1").bind(name);
        copy.execute(self.open().await?).await.map_err(copying)?;
        // It is a file of its own, which nothing has synchronised yet.
        File::open(&path).and_then(|file| file.sync_all()).map_err(in_folder)
    }

    async fn open(&mut self) -> Result<&mut SqliteConnection, JournalError> {
        if self.connection.is_none() {
            let options = SqliteConnectOptions::new().filename(&self.path).read_only(true);
            let opening = |source| JournalError::Opening { path: self.path.clone(), source };
            self.connection = Some(options.connect().await.map_err(opening)?);
        }
        Ok(self.connection.as_mut().expect("it was opened on the lines above"))
    }
}

impl JournalReader for SqliteReader {
    fn read_after(&mut self, seq: u64) -> Reading<'_> {
        Box::pin(async move {
            if self.ahead.front().is_none_or(|next| next.first_seq != seq + 1) {
                self.ahead = read_after(self.open().await?, seq, RECORDS_READ_AHEAD).await?.into();
            }
            Ok(self.ahead.pop_front())
        })
    }

    fn close(self: Box<Self>) -> Closing {
        Box::pin(async move {
            match self.connection {
                Some(connection) => connection.close().await.map_err(JournalError::Closing),
                None => Ok(()),
            }
        })
    }
}

/// Reads so many records at the most, the first of which begins after the command `seq`.
async fn read_after(
    connection: &mut SqliteConnection,
    seq: u64,
    records: u32,
) -> Result<Vec<Record>, JournalError> {
    let reading = |source| JournalError::Reading { seq, source };
    let query = sqlx::query(READ_AFTER).bind(stored(seq)).bind(records);
    let rows = query.fetch_all(connection).await.map_err(reading)?;
    rows.iter().map(record).collect::<Result<_, _>>().map_err(reading)
}

fn record(row: &SqliteRow) -> Result<Record, sqlx::Error> {
    Ok(Record {
        first_seq: number(row, "first_seq")?,
        last_seq: number(row, "last_seq")?,
        rules_version: row.try_get("rules_version")?,
        commands: row.try_get("commands")?,
        events_hash: digest(row, "events_hash")?,
        checksum: digest(row, "checksum")?,
        chain: digest(row, "chain")?,
    })
}

/// SQLite's integers are signed.
fn stored(seq: u64) -> i64 {
    i64::try_from(seq).expect("sequence numbers fit 44 bits, as the exchange asserts")
}

fn number(row: &SqliteRow, column: &str) -> Result<u64, sqlx::Error> {
    let number: i64 = row.try_get(column)?;
    u64::try_from(number).map_err(|error| sqlx::Error::Decode(error.into()))
}

fn digest(row: &SqliteRow, column: &str) -> Result<Digest, sqlx::Error> {
    let bytes: Vec<u8> = row.try_get(column)?;
    let bytes = <[u8; 32]>::try_from(bytes);
    bytes.map(Digest::new).map_err(|_| sqlx::Error::Decode("a hash has 32 bytes".into()))
}
