//! Where the audit log is kept: leaves, the hashes over them, signed heads, and a cursor that is moved
//! with them.

use std::ops::Range;
use std::path::Path;

use gavel_protocol::{TimestampNs, TreeHash};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteRow, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Row as _, SqliteConnection};

use super::tree::{Frontier, Subtree, root_of, subtrees};
use super::{AuditError, Leaf, SignedHead};
use crate::follower::Cursor;

/// What tells one build's tables from another's.
const SHAPE: i64 = 1;

const TABLES: &str = "
    CREATE TABLE leaf (
        leaf_index INTEGER PRIMARY KEY, event_id BLOB NOT NULL UNIQUE, ts_event INTEGER NOT NULL,
        kind TEXT NOT NULL, rfq TEXT, event TEXT NOT NULL, salt BLOB NOT NULL
    );
    CREATE INDEX leaf_of_rfq ON leaf (rfq, leaf_index) WHERE rfq IS NOT NULL;
    CREATE TABLE subtree (
        level INTEGER NOT NULL, place INTEGER NOT NULL, hash BLOB NOT NULL,
        PRIMARY KEY (level, place)
    ) WITHOUT ROWID;
    CREATE TABLE cursor (
        only_row INTEGER PRIMARY KEY CHECK (only_row = 1), seq INTEGER NOT NULL,
        position INTEGER NOT NULL, chain TEXT NOT NULL
    );
    CREATE TABLE IF NOT EXISTS head (tree_size INTEGER PRIMARY KEY, signed TEXT NOT NULL);
";
const DROP: &str = "
    DROP TABLE IF EXISTS leaf; DROP TABLE IF EXISTS subtree; DROP TABLE IF EXISTS cursor;
";

/// A leaf with what people look for it by.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) leaf: Leaf,
    /// What kind of event it is.
    pub(super) kind: String,
    /// The RFQ that it is about.
    pub(super) rfq: Option<String>,
}

/// A tree as it is in the store.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    pub(super) frontier: Frontier,
    /// When the last event in it happened.
    pub(super) ts_event: TimestampNs,
}

/// A connection to the store.
pub(super) struct Store(SqliteConnection);

impl Store {
    /// Opens the store, and makes it if there is none. With `rebuild` it is emptied of everything but the
    /// heads: what was signed stays signed.
    pub(super) async fn open(path: &Path, rebuild: bool) -> Result<Self, AuditError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // Leaves can be made again; a crash may cost their end, never their order.
            .synchronous(SqliteSynchronous::Normal);
        let mut store = Self(options.connect().await.map_err(AuditError::Store)?);
        match store.shape().await? {
            0 => store.make("").await?,
            _ if rebuild => store.make(DROP).await?,
            SHAPE => {}
            _ => return Err(AuditError::OtherShape),
        }
        Ok(store)
    }

    /// Opens the store to read it.
    pub(super) async fn open_to_read(path: &Path) -> Result<Self, AuditError> {
        if !path.exists() {
            return Err(AuditError::NoLog { path: path.into() });
        }
        let options = SqliteConnectOptions::new().filename(path).read_only(true);
        let mut store = Self(options.connect().await.map_err(AuditError::Store)?);
        match store.shape().await? {
            SHAPE => Ok(store),
            0 => Err(AuditError::NoLog { path: path.into() }),
            _ => Err(AuditError::OtherShape),
        }
    }

    /// Returns the connection, for queries of one's own.
    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.0
    }

    /// Returns how far the leaves go.
    pub(super) async fn cursor(&mut self) -> Result<Cursor, sqlx::Error> {
        let query = sqlx::query("SELECT seq, position, chain FROM cursor");
        let row = query.fetch_one(&mut self.0).await?;
        let chain: String = row.try_get("chain")?;
        Ok(Cursor {
            seq: number(&row, "seq")?,
            position: row.try_get("position")?,
            chain: chain.parse().map_err(|_| sqlx::Error::Decode("no digest".into()))?,
        })
    }

    /// Returns the tree over all leaves.
    pub(super) async fn tree(&mut self) -> Result<Tree, sqlx::Error> {
        let last = "SELECT leaf_index, ts_event FROM leaf ORDER BY leaf_index DESC LIMIT 1";
        let Some(last) = sqlx::query(last).fetch_optional(&mut self.0).await? else {
            return Ok(Tree::default());
        };
        let size = number(&last, "leaf_index")? + 1;
        let hashes = self.hashes(0..size).await?;
        let frontier = Frontier::new(size, hashes).expect("a hash was read for each subtree");
        Ok(Tree { frontier, ts_event: time(&last)? })
    }

    /// Returns the root over the leaves of a subtree, complete or not.
    pub(super) async fn root(&mut self, range: Range<u64>) -> Result<TreeHash, sqlx::Error> {
        Ok(root_of(&self.hashes(range).await?))
    }

    /// Returns the hashes of the complete subtrees that make up a range.
    async fn hashes(&mut self, range: Range<u64>) -> Result<Vec<TreeHash>, sqlx::Error> {
        let mut hashes = Vec::new();
        for Subtree { level, place } in subtrees(range) {
            let query = sqlx::query("SELECT hash FROM subtree WHERE level = ?1 AND place = ?2");
            let row = query.bind(level).bind(place.cast_signed()).fetch_one(&mut self.0).await?;
            hashes.push(TreeHash::new(bytes(&row, "hash")?));
        }
        Ok(hashes)
    }

    /// Returns the newest head, if there is any.
    pub(super) async fn latest_head(&mut self) -> Result<Option<SignedHead>, sqlx::Error> {
        let query = sqlx::query("SELECT signed FROM head ORDER BY tree_size DESC LIMIT 1");
        let Some(row) = query.fetch_optional(&mut self.0).await? else { return Ok(None) };
        let signed: String = row.try_get("signed")?;
        let head = serde_json::from_str(&signed);
        head.map(Some).map_err(|error| sqlx::Error::Decode(error.into()))
    }

    /// Adds leaves and moves the cursor, both or neither. Returns the tree that there is then, or `None`
    /// if the cursor is not at `from`: somebody else has moved it.
    pub(super) async fn add(
        &mut self,
        entries: &[Entry],
        mut tree: Tree,
        from: &Cursor,
        to: &Cursor,
    ) -> Result<Option<Tree>, sqlx::Error> {
        let mut transaction = self.0.begin().await?;
        // The cursor comes first: whoever else moves it waits.
        let moved = sqlx::query(
            "UPDATE cursor SET seq = ?1, position = ?2, chain = ?3 WHERE seq = ?4 AND position = ?5",
        );
        let moved = moved
            .bind(to.seq.cast_signed())
            .bind(to.position)
            .bind(to.chain.to_string())
            .bind(from.seq.cast_signed())
            .bind(from.position);
        if moved.execute(&mut *transaction).await?.rows_affected() != 1 {
            return Ok(None);
        }
        for entry in entries {
            add_leaf(&mut transaction, tree.frontier.size(), entry).await?;
            let mut complete = Vec::new();
            tree.frontier.push(entry.leaf.hash(), |subtree, hash| complete.push((subtree, hash)));
            for (subtree, hash) in complete {
                add_hash(&mut transaction, subtree, &hash).await?;
            }
            tree.ts_event = tree.ts_event.max(entry.leaf.ts_event);
        }
        transaction.commit().await?;
        Ok(Some(tree))
    }

    /// Keeps a signed head, and with it everything before it, durably: it must not be lost once it is
    /// published.
    pub(super) async fn add_head(&mut self, head: &SignedHead) -> Result<(), sqlx::Error> {
        let signed = serde_json::to_string(head).expect("a head is a JSON value");
        sqlx::query("PRAGMA synchronous = FULL").execute(&mut self.0).await?;
        let query = sqlx::query("INSERT INTO head VALUES (?1, ?2)");
        let query = query.bind(head.tree_size.cast_signed()).bind(signed);
        query.execute(&mut self.0).await?;
        sqlx::query("PRAGMA synchronous = NORMAL").execute(&mut self.0).await.map(drop)
    }

    /// Lets go of the store.
    pub(super) async fn close(self) -> Result<(), sqlx::Error> {
        self.0.close().await
    }

    async fn shape(&mut self) -> Result<i64, AuditError> {
        let row = sqlx::query("PRAGMA user_version").fetch_one(&mut self.0).await;
        row.and_then(|row| row.try_get(0)).map_err(AuditError::Store)
    }

    async fn make(&mut self, before: &str) -> Result<(), AuditError> {
        let Cursor { seq, position, chain } = Cursor::START;
        let all = format!(
            "BEGIN; {before} {TABLES}
             INSERT INTO cursor VALUES (1, {seq}, {position}, '{chain}');
             PRAGMA user_version = {SHAPE}; COMMIT;"
        );
        let made = sqlx::raw_sql(sqlx::AssertSqlSafe(all)).execute(&mut self.0).await;
        made.map(drop).map_err(AuditError::Store)
    }
}

async fn add_leaf(
    connection: &mut SqliteConnection,
    leaf_index: u64,
    entry: &Entry,
) -> Result<(), sqlx::Error> {
    let Entry { leaf: Leaf { event_id, ts_event, salt, event }, kind, rfq } = entry;
    let query = sqlx::query("INSERT INTO leaf VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
    let query = query
        .bind(leaf_index.cast_signed())
        .bind(event_id.as_bytes().as_slice())
        .bind(ts_event.nanos().cast_signed())
        .bind(kind)
        .bind(rfq)
        .bind(event)
        .bind(salt.as_bytes().as_slice());
    query.execute(connection).await.map(drop)
}

async fn add_hash(
    connection: &mut SqliteConnection,
    subtree: Subtree,
    hash: &TreeHash,
) -> Result<(), sqlx::Error> {
    let query = sqlx::query("INSERT INTO subtree VALUES (?1, ?2, ?3)");
    let query = query.bind(subtree.level).bind(subtree.place.cast_signed());
    query.bind(hash.as_bytes().as_slice()).execute(connection).await.map(drop)
}

/// Returns a number that is never negative.
pub(super) fn number(row: &SqliteRow, column: &str) -> Result<u64, sqlx::Error> {
    let number: i64 = row.try_get(column)?;
    u64::try_from(number).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// Returns the time of an event.
pub(super) fn time(row: &SqliteRow) -> Result<TimestampNs, sqlx::Error> {
    let nanos: i64 = row.try_get("ts_event")?;
    Ok(TimestampNs::from_nanos(nanos.cast_unsigned()))
}

/// Returns a column that has so many bytes.
pub(super) fn bytes<const LEN: usize>(
    row: &SqliteRow,
    column: &str,
) -> Result<[u8; LEN], sqlx::Error> {
    let bytes: Vec<u8> = row.try_get(column)?;
    bytes.try_into().map_err(|_| sqlx::Error::Decode(format!("{column} has {LEN} bytes").into()))
}
