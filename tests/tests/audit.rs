//! The audit log: every event once, the same when it is made again, provable, and nothing sealed before
//! its close.
#![allow(clippy::unwrap_used, reason = "a test may stop at anything unexpected")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use ed25519_dalek::SigningKey;
use gavel_gateway::FanOut;
use gavel_sequencer::audit::{AuditConfig, AuditEntry, AuditError, AuditLog, AuditReader};
use gavel_sequencer::audit::{Secret, SignedHead};
use gavel_sequencer::journal::{AnyJournal, Journal as _, JournalPlace, Record};
use gavel_sequencer::{Reach, RecoveryError, Replica, Snapshots, Source};
use gavel_tests::story::{Quotes, Story};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
use tempfile::TempDir;

/// A journal, and the audit log beside it.
struct Audited {
    folder: TempDir,
}

impl Audited {
    /// Makes a journal of some records.
    async fn new(records: &[Record]) -> Self {
        let audited = Self { folder: tempfile::tempdir().unwrap() };
        audited.append(records).await;
        audited
    }

    async fn append(&self, records: &[Record]) {
        let mut journal = self.journal().await;
        for record in records {
            journal.append(record).await.unwrap();
        }
        journal.close().await.unwrap();
    }

    async fn journal(&self) -> AnyJournal {
        JournalPlace::Folder(self.folder.path().join("journal")).open().await.unwrap()
    }

    fn snapshots(&self) -> Snapshots {
        Snapshots::new(&self.folder.path().join("snapshots"))
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("audit.sqlite")
    }

    async fn try_build(&self, rebuild: bool) -> Result<AuditLog, AuditError> {
        let (key, secret) = (SigningKey::from_bytes(&[1; 32]), Secret::new([2; 32]));
        let config = AuditConfig { path: self.store(), key, secret };
        let (journal, snapshots) = (self.journal().await.into_reader(), Some(self.snapshots()));
        let source = Source { journal, snapshots, reach: Reach::default() };
        AuditLog::catch_up(source, config, rebuild).await
    }

    /// Brings the audit log up to the journal's end, and returns its head.
    async fn build(&self) -> SignedHead {
        self.try_build(false).await.unwrap().head.unwrap()
    }

    async fn reader(&self) -> AuditReader {
        AuditReader::open(&self.store()).await.unwrap()
    }

    async fn entries(&self) -> Vec<AuditEntry> {
        let (mut reader, mut entries) = (self.reader().await, Vec::new());
        reader.list(None, |entry| entries.push(entry)).await.unwrap();
        reader.close().await.unwrap();
        entries
    }

    /// Returns everything that is in a column of a table, or does something to the store.
    async fn query(&self, query: &str) -> Vec<String> {
        let options = SqliteConnectOptions::new().filename(self.store());
        let mut connection = options.connect().await.unwrap();
        let query = sqlx::query(AssertSqlSafe(query.to_owned()));
        let rows = query.fetch_all(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        rows.iter().map(|row| row.try_get(0).unwrap()).collect()
    }

    async fn heads(&self) -> Vec<String> {
        self.query("SELECT signed FROM head ORDER BY tree_size").await
    }
}

fn whole_story() -> Vec<Record> {
    let mut story = Story::begin();
    story.before_the_close(Quotes::Placed);
    story.the_close_and_after();
    story.records
}

fn before_the_close(quotes: Quotes) -> Vec<Record> {
    let mut story = Story::begin();
    story.before_the_close(quotes);
    story.records
}

#[tokio::test]
async fn an_audit_log_that_was_interrupted_is_as_one_made_at_once_and_again() {
    let records = whole_story();
    let (at_once, bit_by_bit) = (Audited::new(&records).await, Audited::new(&[]).await);
    assert_eq!(bit_by_bit.try_build(false).await.unwrap().head, None, "nothing has happened");
    let expected = at_once.build().await;
    assert!(expected.is_signed());
    for some in records.chunks(17) {
        bit_by_bit.append(some).await;
        bit_by_bit.build().await;
    }
    assert_eq!(bit_by_bit.build().await, expected);
    let entries = at_once.entries().await;
    assert_eq!(bit_by_bit.entries().await, entries);
    assert_eq!(entries.len() as u64, expected.tree_size);
    assert_eq!(entries.last().unwrap().ts_event, expected.ts_event);

    // A rebuild gives the same, and what was signed stays signed.
    let heads = bit_by_bit.heads().await;
    assert!(heads.len() > 3, "{heads:?}");
    let rebuilt = bit_by_bit.try_build(true).await.unwrap();
    assert_eq!(rebuilt.head.as_ref(), Some(&expected));
    assert_eq!(rebuilt.seq, records.last().unwrap().last_seq);
    assert_eq!(bit_by_bit.entries().await, entries);
    assert_eq!(bit_by_bit.heads().await, heads);
}

#[tokio::test]
async fn an_audit_log_goes_on_from_any_snapshot_of_a_journal_without_a_beginning() {
    let records = whole_story();
    let at_once = Audited::new(&records).await;
    let (expected, entries) = (at_once.build().await, at_once.entries().await);
    for made_at in (1..records.len()).step_by(3) {
        let audited = Audited::new(&records[..made_at]).await;
        audited.build().await;
        let mut replica = Replica::new(FanOut::new());
        for record in &records[..made_at] {
            replica.apply(record.clone()).unwrap();
        }
        audited.snapshots().write(&replica.saved()).unwrap();
        audited.append(&records[made_at..]).await;
        let mut journal = audited.journal().await;
        while journal.truncate(records[made_at - 1].last_seq).await.unwrap() {}
        journal.close().await.unwrap();
        assert_eq!(audited.build().await, expected, "a snapshot after {made_at} records");
        assert_eq!(audited.entries().await, entries);
        let refused = audited.try_build(true).await;
        let gone = |reason: &RecoveryError| matches!(reason, RecoveryError::HistoryGone { .. });
        assert!(matches!(&refused, Err(AuditError::Replaying(r)) if gone(r)), "{refused:?}");
        assert_eq!(audited.entries().await, entries, "nothing was given up");
    }
}

#[tokio::test]
async fn every_event_can_be_proven_and_every_head_is_the_beginning_of_the_last() {
    let records = whole_story();
    let audited = Audited::new(&[]).await;
    for some in records.chunks(29) {
        audited.append(some).await;
        audited.build().await;
    }
    let heads = audited.heads().await;
    let heads: Vec<SignedHead> =
        heads.iter().map(|head| serde_json::from_str(head).unwrap()).collect();
    let mut reader = audited.reader().await;
    for (number, entry) in audited.entries().await.into_iter().enumerate() {
        let earlier = &heads[number % heads.len()];
        let proof = reader.prove(entry.event_id, Some(earlier.tree_size)).await.unwrap();
        assert_eq!(proof.leaf_index, number as u64);
        assert_eq!((&proof.event, proof.ts_event), (&entry.event, entry.ts_event));
        proof.check(Some(earlier.key)).unwrap();
        proof.check_since(earlier).unwrap();
    }
    let event_id = audited.entries().await[0].event_id;
    for since in [0, heads.last().unwrap().tree_size + 1] {
        let refused = reader.prove(event_id, Some(since)).await;
        assert!(matches!(refused, Err(AuditError::NoSuchSize { .. })), "{refused:?}");
    }
    let unknown = "event_00000000000000000000000000000000".parse().unwrap();
    let refused = reader.prove(unknown, None).await;
    assert!(matches!(refused, Err(AuditError::UnknownEvent { .. })), "{refused:?}");
    reader.close().await.unwrap();

    let kinds = audited.query("SELECT DISTINCT kind FROM leaf").await;
    for kind in ["Founded", "QuotePlaced", "Awarded", "Ranked", "RfqClosed", "ContractSettled"] {
        assert!(kinds.iter().any(|found| found == kind), "{kind}: {kinds:?}");
    }
    for kind in ["Rejected", "LoggedOn", "TimeAdvanced", "MassCanceled"] {
        assert!(kinds.iter().all(|found| found != kind), "{kind}: {kinds:?}");
    }
    // Each loser's reason is a leaf of its own.
    let cover =
        "SELECT event FROM leaf WHERE kind = 'Ranked' AND event LIKE '%\"lost\":\"Cover\"%'";
    assert!(!audited.query(cover).await.is_empty());
}

#[tokio::test]
async fn before_the_close_trees_and_heads_do_not_show_whether_anybody_quotes() {
    let mut shown = Vec::new();
    for quotes in [Quotes::Placed, Quotes::Refused] {
        let (records, audited) = (before_the_close(quotes), Audited::new(&[]).await);
        // A head for each command that shows, so that none is missed.
        for record in records {
            audited.append(&[record]).await;
            audited.build().await;
        }
        let subtrees = "SELECT level || ' ' || place || ' ' || hex(hash) FROM subtree ORDER BY 1";
        shown.push((audited.entries().await, audited.heads().await, audited.query(subtrees).await));
    }
    assert!(shown[0].1.len() > 10, "{:?}", shown[0].1);
    assert_eq!(shown[0].0, shown[1].0);
    assert_eq!(shown[0].1, shown[1].1);
    assert_eq!(shown[0].2, shown[1].2);

    // Without as many commands ids are others, and sizes, times and kinds still the same.
    let (quoted, quiet) = (Audited::new(&before_the_close(Quotes::Placed)).await, {
        Audited::new(&before_the_close(Quotes::None)).await
    });
    let (quoted_head, quiet_head) = (quoted.build().await, quiet.build().await);
    assert_eq!(quoted_head.tree_size, quiet_head.tree_size);
    assert_eq!(quoted_head.ts_event, quiet_head.ts_event);
    let kinds =
        "SELECT kind || ' ' || ts_event || ' ' || (rfq IS NULL) FROM leaf ORDER BY leaf_index";
    assert_eq!(quoted.query(kinds).await, quiet.query(kinds).await);
}

#[tokio::test]
async fn what_was_sealed_joins_at_the_close_as_a_group_in_another_order() {
    let audited = Audited::new(&before_the_close(Quotes::Placed)).await;
    let before = audited.build().await.tree_size;
    let sealed = |entry: &&AuditEntry| {
        entry.kind.starts_with("Quote")
            || entry.kind.starts_with("Bundle")
            || entry.kind == "RfqDeclined"
    };
    assert_eq!(audited.entries().await.iter().filter(sealed).count(), 0);
    let records = whole_story();
    let already = before_the_close(Quotes::Placed).len();
    audited.append(&records[already..]).await;
    audited.build().await;
    let entries = audited.entries().await;
    let joined = &entries[usize::try_from(before).unwrap()..];
    let mut by_rfq: BTreeMap<String, Vec<&AuditEntry>> = BTreeMap::new();
    for entry in joined.iter().filter(sealed) {
        let event: serde_json::Value = serde_json::from_str(&entry.event).unwrap();
        let (_, body) = event.as_object().unwrap().iter().next().unwrap();
        by_rfq.entry(body["rfq"].as_str().unwrap().into()).or_default().push(entry);
    }
    let largest = by_rfq.values().max_by_key(|group| group.len()).unwrap();
    assert!(largest.len() >= 7, "{largest:?}");
    let mut events: Vec<&str> = largest.iter().map(|entry| entry.event.as_str()).collect();
    // In the order in which they happened a canceled quote is placed before it is canceled, an amendment
    // to 28 comes before one to 35, and so on: shuffled they are in another one.
    let shuffled = events.clone();
    let happened: Vec<String> = in_order_of_happening(&records, &events);
    assert_ne!(shuffled, happened.iter().map(String::as_str).collect::<Vec<_>>());
    events.sort_unstable();
    let mut happened_sorted = happened;
    happened_sorted.sort_unstable();
    assert_eq!(events, happened_sorted, "and none is missing");
}

/// Returns the canonical texts of the events of a journal that are among `wanted`, as they happened.
fn in_order_of_happening(records: &[Record], wanted: &[&str]) -> Vec<String> {
    let mut replayer = gavel_sequencer::Replayer::default();
    let mut found = Vec::new();
    for record in records {
        replayer.apply(record.clone()).unwrap();
        let events = replayer.batch().events.iter().map(gavel_sequencer::audit::event_text);
        found.extend(events.filter(|text| wanted.contains(&text.as_str())));
    }
    found
}

#[tokio::test]
async fn an_audit_log_of_another_journal_is_not_gone_on_with() {
    let (audited, records) = (Audited::new(&before_the_close(Quotes::None)).await, whole_story());
    audited.build().await;
    let other = Audited::new(&records).await;
    std::fs::copy(audited.store(), other.store()).unwrap();
    let entries = other.entries().await;
    for rebuild in [false, true] {
        let refused = other.try_build(rebuild).await;
        assert!(matches!(refused, Err(AuditError::NotOurs)), "{refused:?}");
        assert_eq!(other.entries().await, entries, "nothing is given up");
    }
}

#[tokio::test]
async fn damaged_leaves_are_not_signed_and_can_be_made_anew() {
    let (audited, records) = (Audited::new(&[]).await, whole_story());
    audited.append(&records[..40]).await;
    let head = audited.build().await;
    audited.query("UPDATE subtree SET hash = zeroblob(32)").await;
    audited.append(&records[40..]).await;
    let refused = audited.try_build(false).await;
    assert!(matches!(refused, Err(AuditError::Damaged { .. })), "{refused:?}");
    assert_eq!(audited.heads().await.len(), 1, "nothing was signed");
    let rebuilt = audited.try_build(true).await.unwrap().head.unwrap();
    assert!(rebuilt.tree_size > head.tree_size);
    assert_eq!(rebuilt.root, Audited::new(&records).await.build().await.root);

    audited.query("PRAGMA user_version = 7").await;
    let refused = audited.try_build(false).await;
    assert!(matches!(refused, Err(AuditError::OtherShape)), "{refused:?}");
}

#[tokio::test]
async fn a_journal_without_its_beginning_is_refused_with_what_to_do() {
    let (audited, records) = (Audited::new(&[]).await, whole_story());
    audited.append(&records).await;
    let mut journal = audited.journal().await;
    while journal.truncate(10).await.unwrap() {}
    journal.close().await.unwrap();
    let refused = audited.try_build(false).await.unwrap_err();
    let why = std::error::Error::source(&refused).unwrap().to_string();
    assert!(why.contains("begins with command 11") && why.contains("--keep-history"), "{why}");
}
