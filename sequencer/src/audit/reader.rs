//! What people ask of an audit log, beside its notary or without one.

use std::ops::Range;
use std::path::Path;

use gavel_protocol::{EventId, RfqId, Salt, TimestampNs, TreeHash};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::store::{Store, bytes, number, time};
use super::tree::{consistency_ranges, inclusion_ranges};
use super::{AuditError, Consistency, Proof, SignedHead};
use crate::limits::AUDIT_READ_AHEAD_ENTRIES;

/// Reads an audit log.
pub struct AuditReader(Store);

/// An event of the audit log, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// How people name it.
    pub event_id: EventId,
    /// When it happened.
    pub ts_event: TimestampNs,
    /// What kind of event it is.
    pub kind: String,
    /// The event as JSON.
    pub event: String,
}

impl AuditReader {
    /// Opens the store of an audit log.
    ///
    /// # Errors
    ///
    /// [`AuditError`]: there is none, or it cannot be opened.
    pub async fn open(path: &Path) -> Result<Self, AuditError> {
        Store::open_to_read(path).await.map(Self)
    }

    /// Returns the newest head, if one was signed.
    ///
    /// # Errors
    ///
    /// [`AuditError`] if it cannot be read.
    pub async fn latest_head(&mut self) -> Result<Option<SignedHead>, AuditError> {
        self.0.latest_head().await.map_err(AuditError::Store)
    }

    /// Shows the events to `visit`, all or those about an RFQ, in the order of the tree.
    ///
    /// # Errors
    ///
    /// [`AuditError`] if they cannot be read.
    pub async fn list(
        &mut self,
        rfq: Option<RfqId>,
        mut visit: impl FnMut(AuditEntry),
    ) -> Result<(), AuditError> {
        let (rfq, mut next) = (rfq.map(|rfq| rfq.to_string()), 0);
        loop {
            let query = sqlx::query(
                "SELECT leaf_index, event_id, ts_event, kind, event FROM leaf
                 WHERE leaf_index >= ?1 AND (?2 IS NULL OR rfq = ?2) ORDER BY leaf_index LIMIT ?3",
            );
            let query = query.bind(next).bind(&rfq).bind(AUDIT_READ_AHEAD_ENTRIES);
            let rows = query.fetch_all(self.0.connection()).await.map_err(AuditError::Store)?;
            let Some(last) = rows.last() else { return Ok(()) };
            next = last.try_get::<i64, _>("leaf_index").map_err(AuditError::Store)? + 1;
            for row in &rows {
                visit(entry(row).map_err(AuditError::Store)?);
            }
        }
    }

    /// Proves that an event is in the newest head, and with `since` that a tree of so many leaves is the
    /// beginning of that head's.
    ///
    /// # Errors
    ///
    /// [`AuditError`]: there is no such event or size, or no head with it.
    pub async fn prove(
        &mut self,
        event_id: EventId,
        since: Option<u64>,
    ) -> Result<Proof, AuditError> {
        let head = self.latest_head().await?.ok_or(AuditError::NoHead)?;
        let tree_size = head.tree_size;
        let query = sqlx::query(
            "SELECT leaf_index, event_id, ts_event, kind, event, salt FROM leaf WHERE event_id = ?1",
        );
        let query = query.bind(event_id.as_bytes().as_slice());
        let row = query.fetch_optional(self.0.connection()).await.map_err(AuditError::Store)?;
        let row = row.ok_or(AuditError::UnknownEvent { event_id })?;
        let AuditEntry { event_id, ts_event, event, .. } =
            entry(&row).map_err(AuditError::Store)?;
        let salt = Salt::new(bytes(&row, "salt").map_err(AuditError::Store)?);
        let leaf_index = number(&row, "leaf_index").map_err(AuditError::Store)?;
        if leaf_index >= tree_size {
            return Err(AuditError::NotSignedYet { event_id });
        }
        let path = self.path(inclusion_ranges(leaf_index, tree_size)).await?;
        let consistency = match since {
            Some(from_size) => Some(self.consistency(from_size, tree_size).await?),
            None => None,
        };
        Ok(Proof { event, ts_event, event_id, salt, leaf_index, path, head, consistency })
    }

    /// Copies the audit log as it is at this moment to a file that is not there yet.
    ///
    /// # Errors
    ///
    /// [`AuditError`] if it cannot be copied.
    pub async fn copy(&mut self, to: &Path) -> Result<(), AuditError> {
        let not_utf8 = || AuditError::Store(sqlx::Error::Configuration("not UTF-8".into()));
        let copy = sqlx::query("VACUUM INTO ?1").bind(to.to_str().ok_or_else(not_utf8)?);
        copy.execute(self.0.connection()).await.map(drop).map_err(AuditError::Store)
    }

    /// Lets go of the store.
    ///
    /// # Errors
    ///
    /// [`AuditError`]; nothing is lost.
    pub async fn close(self) -> Result<(), AuditError> {
        self.0.close().await.map_err(AuditError::Store)
    }

    async fn consistency(
        &mut self,
        from_size: u64,
        tree_size: u64,
    ) -> Result<Consistency, AuditError> {
        if from_size == 0 || from_size > tree_size {
            return Err(AuditError::NoSuchSize { since: from_size, tree_size });
        }
        let path = self.path(consistency_ranges(from_size, tree_size)).await?;
        Ok(Consistency { from_size, path })
    }

    async fn path(&mut self, ranges: Vec<Range<u64>>) -> Result<Vec<TreeHash>, AuditError> {
        let mut path = Vec::new();
        for range in ranges {
            path.push(self.0.root(range).await.map_err(AuditError::Store)?);
        }
        Ok(path)
    }
}

fn entry(row: &SqliteRow) -> Result<AuditEntry, sqlx::Error> {
    Ok(AuditEntry {
        event_id: EventId::new(bytes(row, "event_id")?),
        ts_event: time(row)?,
        kind: row.try_get("kind")?,
        event: row.try_get("event")?,
    })
}
