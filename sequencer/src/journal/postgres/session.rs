//! A session with the server: how it is set up, what excludes a second exchange, and the statements.

use std::collections::VecDeque;
use std::future::Future;
use std::io;

use gavel_protocol::Digest;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::PgRow;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, Row as _, SqlStr};
use tokio::time::Instant;

use super::PostgresAddress;
use crate::journal::{Ack, Head, Record};
use crate::limits::{
    JOURNAL_ANSWER_MAX, JOURNAL_LOCK_WAIT_MAX, JOURNAL_READ_AHEAD_RECORDS, TRUNCATED_COMMANDS_MAX,
};

/// A session with the server, and who it is there.
pub(super) struct Session {
    connection: PgConnection,
    backend: Backend,
}

/// The server's own process behind a session. Process ids come again, starting times with them do not.
#[derive(Clone, Debug)]
pub(super) struct Backend {
    process: i32,
    started: String,
}

/// What the journal says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    /// The epoch of its writer.
    pub epoch: i64,
    /// Where its writer says that it ends.
    pub head: Head,
    /// Where its records end.
    pub records_end: Head,
}

/// Where the journal's tables are; other tables of the same database are none of its business.
const SCHEMA: &str = "gavel_journal";

/// The table of the migrations that were made.
const MIGRATIONS_TABLE: &str = "gavel_journal.migrations";

/// The advisory lock that a live exchange holds: "gavel" and a number.
const LOCK: i64 = 0x67_61_76_65_6c_00_01;

/// The server notices within 30 s that an exchange has vanished with its machine, and lets go of its
/// lock. A record waits for the one before, however long that takes, and is then to see what it has
/// left: a stricter level of isolation would refuse that, and a limit for locks would give it up.
const SETTINGS: &str = "
    SET tcp_keepalives_idle = 10;
    SET tcp_keepalives_interval = 5;
    SET tcp_keepalives_count = 4;
    SET default_transaction_isolation = 'read committed';
    SET lock_timeout = 0;
";

/// A commit is durable when it is answered, in whatever sense was asked for: the server's default does
/// not count.
const ACK: &str = "SELECT set_config('synchronous_commit', $1, false)";

const BACKEND: &str = "
    SELECT pid, backend_start::text AS started FROM pg_stat_activity WHERE pid = pg_backend_pid()
";

const DURABILITY: &str = "
    SELECT current_setting('fsync') AS fsync,
           current_setting('synchronous_standby_names') AS replicas
";

const END_BACKEND: &str = "
    SELECT pg_terminate_backend(pid)
    FROM pg_stat_activity WHERE pid = $1 AND backend_start::text = $2
";

/// The errors that say that a lock is held, and that there are no such tables.
const LOCK_NOT_AVAILABLE: &str = "55P03";
const UNDEFINED_TABLE: &str = "42P01";

const TAKE_OVER: &str = "UPDATE gavel_journal.writer SET epoch = epoch + 1 RETURNING epoch";

/// One statement, so one view of both.
const STORED: &str = "
    SELECT writer.epoch, writer.last_seq, writer.chain,
           COALESCE(last.last_seq, 0) AS records_end,
           COALESCE(last.chain, decode(repeat('00', 32), 'hex')) AS records_chain
    FROM gavel_journal.writer
    LEFT JOIN (SELECT last_seq, chain FROM gavel_journal.record ORDER BY last_seq DESC LIMIT 1)
        AS last ON true
";

/// Inserts a record if the writer's row was moved.
macro_rules! append {
    ($moved:literal) => {
        concat!(
            $moved,
            " INSERT INTO gavel_journal.record
                (last_seq, first_seq, rules_version, epoch, events_hash, checksum, chain, commands)
            SELECT $1, $2, $3, $4, $5, $6, $7, $8 FROM moved"
        )
    };
}

/// The writer's row is moved on the condition that it is as the appending exchange believes; the
/// record is inserted if it was moved. Whoever comes second waits for the row's lock, and then finds the
/// row moved: of two that follow the same record one succeeds.
const APPEND: &str = append!(
    "WITH moved AS (
        UPDATE gavel_journal.writer SET last_seq = $1, chain = $7
        WHERE epoch = $4 AND last_seq = $2 - 1 AND chain = $9
        RETURNING epoch
    )"
);

/// The same for a record of which the one before may still be on its way: it waits for that, and sees the row as that
/// one has left it.
///
/// The row is locked whatever it is like, and compared afterwards: an update with a condition of its
/// own passes over a row that does not meet it when the statement begins, without waiting for what is
/// about to move it.
const APPEND_BEHIND: &str = append!(
    "WITH held AS (
        SELECT epoch, last_seq, chain FROM gavel_journal.writer FOR NO KEY UPDATE
    ), moved AS (
        UPDATE gavel_journal.writer SET last_seq = $1, chain = $7 FROM held
        WHERE held.epoch = $4 AND held.last_seq = $2 - 1 AND held.chain = $9
        RETURNING held.epoch
    )"
);

/// The writer's row is written again as it is, on the condition that the record is the journal's end.
/// The answer to this commit comes when everything before it is durable, too, in the sense that was
/// asked for.
const CONFIRM: &str = "
    UPDATE gavel_journal.writer SET last_seq = last_seq
    WHERE epoch = $1 AND last_seq = $2 AND chain = $3
";

const OLDEST: &str = "SELECT last_seq FROM gavel_journal.record ORDER BY last_seq LIMIT 1";

/// Whoever takes over moves the writer's row, which is locked meanwhile: so either it waits for this
/// to be over, or nothing is deleted. The last record holds the head.
const TRUNCATE: &str = "
    WITH ours AS (
        SELECT last_seq FROM gavel_journal.writer WHERE epoch = $2 FOR NO KEY UPDATE
    ), deleted AS (
        DELETE FROM gavel_journal.record USING ours
        WHERE record.last_seq <= $1 AND record.last_seq < ours.last_seq
    )
    SELECT last_seq FROM ours
";

const READ_AFTER: &str = "
    SELECT last_seq, first_seq, rules_version, events_hash, checksum, chain, commands
    FROM gavel_journal.record WHERE last_seq > $1 ORDER BY last_seq LIMIT $2
";

impl Session {
    /// Logs on.
    pub(super) async fn open(address: &PostgresAddress, ack: Ack) -> Result<Self, sqlx::Error> {
        let mut connection = in_time(address.options().connect()).await?;
        in_time(sqlx::raw_sql(SETTINGS).execute(&mut connection)).await?;
        in_time(sqlx::query(ACK).bind(setting(ack)).execute(&mut connection)).await?;
        let row = in_time(sqlx::query(BACKEND).fetch_one(&mut connection)).await?;
        let backend = Backend { process: row.try_get("pid")?, started: row.try_get("started")? };
        Ok(Self { connection, backend })
    }

    /// Warns about a server that does not keep what is acknowledged.
    pub(super) async fn look_at_durability(&mut self, ack: Ack) -> Result<(), sqlx::Error> {
        let row = in_time(sqlx::query(DURABILITY).fetch_one(&mut self.connection)).await?;
        if row.try_get::<String, _>("fsync")? != "on" {
            tracing::warn!(
                "the journal's server runs with fsync off: what is acknowledged may be lost with \
                 its machine"
            );
        }
        let has_replicas = !row.try_get::<String, _>("replicas")?.is_empty();
        if !has_replicas && matches!(ack, Ack::RemoteWrite | Ack::RemoteApply) {
            tracing::warn!(
                "the journal's server names no replica in synchronous_standby_names: what is \
                 acknowledged is on that server alone"
            );
        }
        Ok(())
    }

    /// Returns who it is on the server.
    pub(super) fn backend(&self) -> &Backend {
        &self.backend
    }

    /// Ends another session of the same user, if it is still there: one that was lost on the way, but
    /// that the server still listens to.
    pub(super) async fn end(&mut self, backend: &Backend) -> Result<(), sqlx::Error> {
        let query = sqlx::query(END_BACKEND).bind(backend.process).bind(&backend.started);
        in_time(query.execute(&mut self.connection)).await.map(drop)
    }

    /// Takes the lock that tells a second exchange to stay away, and keeps it for as long as the
    /// session is there. Returns `false` if somebody else holds it.
    pub(super) async fn lock(&mut self) -> Result<bool, sqlx::Error> {
        let wait_ms = JOURNAL_LOCK_WAIT_MAX.as_millis();
        let limit = sqlx::query("SELECT set_config('lock_timeout', $1, false)");
        in_time(limit.bind(wait_ms.to_string()).execute(&mut self.connection)).await?;
        let lock = sqlx::query("SELECT pg_advisory_lock($1)").bind(LOCK);
        let locked = match in_time(lock.execute(&mut self.connection)).await {
            Ok(_) => true,
            Err(error) if has_code(&error, LOCK_NOT_AVAILABLE) => false,
            Err(error) => return Err(error),
        };
        in_time(sqlx::raw_sql("SET lock_timeout = 0").execute(&mut self.connection)).await?;
        Ok(locked)
    }

    /// Makes the journal's tables, or brings them to the shape that this build knows.
    pub(super) async fn migrate(&mut self) -> Result<(), MigrateError> {
        let first = Migration::new(
            1,
            "records and their writer".into(),
            MigrationType::Simple,
            SqlStr::from_static(include_str!(
                "../../../migrations/journal/0001_records_and_their_writer.sql"
            )),
            false,
        );
        let second = Migration::new(
            2,
            "old records are deleted".into(),
            MigrationType::Simple,
            SqlStr::from_static(include_str!(
                "../../../migrations/journal/0002_old_records_are_deleted.sql"
            )),
            false,
        );
        let mut migrator = Migrator::with_migrations(vec![first, second]);
        migrator.create_schema(SCHEMA);
        migrator.dangerous_set_table_name(MIGRATIONS_TABLE);
        migrator.run(&mut self.connection).await
    }

    /// Becomes the journal's only writer, and returns the epoch that begins with that.
    pub(super) async fn take_over(&mut self) -> Result<i64, sqlx::Error> {
        let row = in_time(sqlx::query(TAKE_OVER).fetch_one(&mut self.connection)).await?;
        row.try_get("epoch")
    }

    /// Returns what the journal says about itself; `None` if there is no journal.
    pub(super) async fn stored(&mut self) -> Result<Option<Stored>, sqlx::Error> {
        let row = match in_time(sqlx::query(STORED).fetch_one(&mut self.connection)).await {
            Ok(row) => row,
            Err(error) if has_code(&error, UNDEFINED_TABLE) => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(Stored {
            epoch: row.try_get("epoch")?,
            head: Head { seq: number(&row, "last_seq")?, chain: digest(&row, "chain")? },
            records_end: Head {
                seq: number(&row, "records_end")?,
                chain: digest(&row, "records_chain")?,
            },
        }))
    }

    /// Appends a record on the condition that the journal is `epoch`'s and ends at `before`. Returns
    /// whether it was so. The record before may still be on its way if this one `is_behind`: then it waits
    /// for that, and whoever asks has to limit how long that may take.
    pub(super) async fn append(
        &mut self,
        record: &Record,
        epoch: i64,
        before: &Head,
        is_behind: bool,
    ) -> Result<bool, sqlx::Error> {
        let query = sqlx::query(if is_behind { APPEND_BEHIND } else { APPEND })
            .bind(stored(record.last_seq))
            .bind(stored(record.first_seq))
            .bind(i64::from(record.rules_version))
            .bind(epoch)
            .bind(record.events_hash.as_bytes().as_slice())
            .bind(record.checksum.as_bytes().as_slice())
            .bind(record.chain.as_bytes().as_slice())
            .bind(record.commands.as_slice())
            .bind(before.chain.as_bytes().as_slice());
        let done = query.execute(&mut self.connection).await?;
        Ok(done.rows_affected() == 1)
    }

    /// Waits until a record that was found at the end of `epoch`'s journal is durable in the sense that
    /// was asked for. Returns whether it is still there.
    ///
    /// A commit that waits for a replica is done on the server when its session is lost: it can be read,
    /// and the replica may never get it.
    pub(super) async fn confirm(&mut self, head: &Head, epoch: i64) -> Result<bool, sqlx::Error> {
        let query = sqlx::query(CONFIRM)
            .bind(epoch)
            .bind(stored(head.seq))
            .bind(head.chain.as_bytes().as_slice());
        let done = in_time(query.execute(&mut self.connection)).await?;
        Ok(done.rows_affected() == 1)
    }

    /// Deletes a bounded number of the records up to the command `seq`, if the journal is `epoch`'s, but
    /// never the last one. Returns whether there are more of them.
    pub(super) async fn truncate(&mut self, seq: u64, epoch: i64) -> Result<bool, sqlx::Error> {
        let oldest = sqlx::query(OLDEST).fetch_optional(&mut self.connection);
        let Some(oldest) = in_time(oldest).await? else { return Ok(false) };
        let until = number(&oldest, "last_seq")?.saturating_add(TRUNCATED_COMMANDS_MAX).min(seq);
        let query = sqlx::query(TRUNCATE).bind(stored(until)).bind(epoch);
        let Some(ours) = in_time(query.fetch_optional(&mut self.connection)).await? else {
            return Ok(false);
        };
        Ok(until < seq.min(number(&ours, "last_seq")?))
    }

    /// Reads the record that begins after the command `seq`, if there is one, and some that follow it.
    pub(super) async fn read_after(&mut self, seq: u64) -> Result<VecDeque<Record>, sqlx::Error> {
        let query = sqlx::query(READ_AFTER).bind(stored(seq)).bind(JOURNAL_READ_AHEAD_RECORDS);
        let rows = in_time(query.fetch_all(&mut self.connection)).await?;
        rows.iter().map(record).collect()
    }

    /// Logs off.
    pub(super) async fn close(self) -> Result<(), sqlx::Error> {
        in_time(self.connection.close()).await
    }
}

fn record(row: &PgRow) -> Result<Record, sqlx::Error> {
    let rules_version: i64 = row.try_get("rules_version")?;
    Ok(Record {
        first_seq: number(row, "first_seq")?,
        last_seq: number(row, "last_seq")?,
        rules_version: u32::try_from(rules_version).map_err(decoding)?,
        commands: row.try_get("commands")?,
        events_hash: digest(row, "events_hash")?,
        checksum: digest(row, "checksum")?,
        chain: digest(row, "chain")?,
    })
}

async fn in_time<T>(
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    in_time_since(Instant::now(), answer).await
}

/// Gives up a server that has not answered since then: whether it did what it was asked is then to be
/// read back.
pub(super) async fn in_time_since<T>(
    since: Instant,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    match tokio::time::timeout_at(since + JOURNAL_ANSWER_MAX, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into())),
    }
}

/// Returns what the server calls it.
fn setting(ack: Ack) -> &'static str {
    match ack {
        Ack::Local => "local",
        Ack::RemoteWrite => "remote_write",
        Ack::On => "on",
        Ack::RemoteApply => "remote_apply",
    }
}

fn has_code(error: &sqlx::Error, code: &str) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|found| found == code)
}

/// PostgreSQL's integers are signed.
fn stored(seq: u64) -> i64 {
    i64::try_from(seq).expect("sequence numbers fit 44 bits, as the exchange asserts")
}

fn number(row: &PgRow, column: &str) -> Result<u64, sqlx::Error> {
    let number: i64 = row.try_get(column)?;
    u64::try_from(number).map_err(decoding)
}

fn digest(row: &PgRow, column: &str) -> Result<Digest, sqlx::Error> {
    let bytes: Vec<u8> = row.try_get(column)?;
    let bytes = <[u8; 32]>::try_from(bytes);
    bytes.map(Digest::new).map_err(|_| sqlx::Error::Decode("a hash has 32 bytes".into()))
}

fn decoding(error: std::num::TryFromIntError) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}
