//! The projection: everything once and in order, the same when it is made again, and nothing sealed
//! before its close.
#![allow(clippy::unwrap_used, reason = "a test may stop at anything unexpected")]

mod place;
mod queries;

use std::collections::BTreeMap;

use gavel_gateway::FanOut;
use gavel_sequencer::journal::{
    AnyJournal, Closing, Journal as _, JournalPlace, JournalReader, Reading, Record,
};
use gavel_sequencer::projection::{Projection, ProjectionError};
use gavel_sequencer::{Reach, RecoveryError, Replica, Snapshots, Source};
use gavel_tests::story::{Quotes, Story};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use tempfile::TempDir;

use place::Place;

/// A journal with a story in it.
struct Written {
    folder: TempDir,
}

impl Written {
    async fn new(records: &[Record]) -> Self {
        let written = Self { folder: tempfile::tempdir().unwrap() };
        written.append(records).await;
        written
    }

    async fn append(&self, records: &[Record]) {
        let mut journal = self.open().await;
        for record in records {
            journal.append(record).await.unwrap();
        }
        journal.close().await.unwrap();
    }

    async fn open(&self) -> AnyJournal {
        JournalPlace::Folder(self.folder.path().into()).open().await.unwrap()
    }

    fn snapshots(&self) -> Snapshots {
        Snapshots::new(&self.folder.path().join("snapshots"))
    }

    async fn source(&self) -> Source {
        let (journal, snapshots) = (self.open().await.into_reader(), Some(self.snapshots()));
        Source { journal, snapshots, reach: Reach::default() }
    }

    async fn project(&self, place: &Place, rebuild: bool) -> Projection {
        self.try_project(place, rebuild).await.unwrap()
    }

    async fn try_project(
        &self,
        place: &Place,
        rebuild: bool,
    ) -> Result<Projection, ProjectionError> {
        let source = self.source().await;
        match rebuild {
            true => Projection::rebuild(source, FanOut::new(), &place.projection()).await,
            false => Projection::catch_up(source, FanOut::new(), &place.projection()).await,
        }
    }

    /// Makes a snapshot of what some records come to.
    fn make_snapshot(&self, records: &[Record]) {
        let mut replica = Replica::new(FanOut::new());
        for record in records {
            replica.apply(record.clone()).unwrap();
        }
        self.snapshots().write(&replica.saved()).unwrap();
    }

    /// Changes the record that ends with a command.
    async fn damage(&self, last_seq: u64) {
        let options =
            SqliteConnectOptions::new().filename(self.folder.path().join("journal.sqlite"));
        let mut connection = options.connect().await.unwrap();
        let change = "UPDATE record SET events_hash = zeroblob(32) WHERE last_seq = ?1";
        let change = sqlx::query(change).bind(i64::try_from(last_seq).unwrap());
        assert_eq!(change.execute(&mut connection).await.unwrap().rows_affected(), 1);
        connection.close().await.unwrap();
    }

    /// Deletes the records up to a command.
    async fn truncate(&self, seq: u64) {
        let mut journal = self.open().await;
        while journal.truncate(seq).await.unwrap() {}
        assert!(journal.read_after(0).await.unwrap().unwrap().first_seq > 1);
        journal.close().await.unwrap();
    }
}

fn whole_story() -> Story {
    let mut story = Story::begin();
    story.before_the_close(Quotes::Placed);
    story.the_close_and_after();
    story
}

#[tokio::test]
async fn a_projection_that_was_interrupted_is_as_one_made_at_once_and_again() {
    let records = whole_story().records;
    for place in Place::all() {
        let written = Written::new(&[]).await;
        for some in records.chunks(17) {
            written.append(some).await;
            written.project(&place, false).await;
        }
        let bit_by_bit = place.everything().await;
        let streams_bit_by_bit = place.stream_events().await;
        let again = written.project(&place, false).await;
        assert_eq!(again.seq, records.last().unwrap().last_seq);
        assert_eq!(place.everything().await, bit_by_bit, "nothing comes twice");
        let rebuilt = written.project(&place, true).await;
        assert_eq!(rebuilt, again);
        let at_once = place.everything().await;
        assert_eq!(at_once, bit_by_bit);
        assert_eq!(place.stream_events().await, streams_bit_by_bit);

        for kind in ["awarded", "passed", "canceled", "settled", "expired", "Cover", "AboveReserve"]
        {
            assert!(at_once.contains(kind), "{kind}: {at_once}");
        }
        let sum = place.query("SELECT sum(balance_micros) FROM balances").await;
        assert_eq!(sum, "0");
        let last = place.query("SELECT count(*), max(position) FROM events").await;
        assert_eq!(last, format!("{0}|{0}", again.events), "positions have no gaps");
    }
}

#[tokio::test]
async fn before_the_close_a_projection_does_not_show_whether_anybody_quotes() {
    let mut shown = Vec::new();
    for quotes in [Quotes::Placed, Quotes::None] {
        let mut story = Story::begin();
        story.before_the_close(quotes);
        let written = Written::new(&story.records).await;
        for place in Place::all() {
            written.project(&place, false).await;
            shown.push(with_numbered_ids(&place.everything().await));
        }
    }
    assert!(shown[0] == shown[2], "SQLite:\n{}\n\n{}", shown[0], shown[2]);
    assert!(shown[1] == shown[3], "PostgreSQL:\n{}\n\n{}", shown[1], shown[3]);
}

#[tokio::test]
async fn what_was_sealed_comes_at_the_close_in_the_order_in_which_it_happened() {
    let mut story = Story::begin();
    story.before_the_close(Quotes::Placed);
    let before = story.records.len();
    story.the_close_and_after();
    for place in Place::all() {
        let written = Written::new(&story.records[..before]).await;
        written.project(&place, false).await;
        let sealed = "SELECT count(*) FROM events WHERE kind LIKE 'Quote%' OR kind LIKE 'Bundle%'";
        assert_eq!(place.query(sealed).await, "0");
        assert_eq!(place.query("SELECT count(*) FROM quotes").await, "0");
        // A provider was told that its quote was canceled with all of its others, and nothing since.
        let told = "SELECT count(*) FROM stream_events JOIN events USING (position) \
                    WHERE kind = 'QuoteCanceled'";
        assert_eq!(place.query(told).await, "0");
        written.append(&story.records[before..]).await;
        written.project(&place, false).await;
        let first = "SELECT kind FROM events WHERE rfq = (SELECT rfq FROM rfqs ORDER BY \
                     opened_at_ns, window_ns DESC, format DESC LIMIT 1) ORDER BY position";
        let kinds = place.query(first).await;
        let kinds: Vec<&str> = kinds.lines().collect();
        let expected = [
            "RfqOpened",
            "QuotePlaced",
            "QuotePlaced",
            "QuoteAmended",
            "QuoteAmended",
            "QuotePlaced",
            "QuoteCanceled",
            "QuotePlaced",
            "QuoteCanceled",
            "RfqDeclined",
            "Awarded",
            "RfqClosed",
        ];
        assert_eq!(kinds, expected);
        let quotes = "SELECT price_micros / 1000000, amendments, cancel_cause FROM quotes WHERE \
                      rfq = (SELECT rfq FROM rfqs ORDER BY opened_at_ns, window_ns DESC, format DESC \
                      LIMIT 1) ORDER BY price_micros";
        let quotes = place.query(quotes).await;
        assert_eq!(quotes, "30|0|\n35|2|\n44|0|mass_cancel\n45|0|agent");
        assert_eq!(place.query(told).await, "1");
        assert_eq!(place.missing_stream_events().await, "0");
        // The RFQ that is still open at the end keeps its secret.
        let open = "SELECT count(*) FROM quotes JOIN rfqs USING (rfq) \
                    WHERE rfq NOT IN (SELECT rfq FROM rfq_ends)";
        assert_eq!(place.query(open).await, "0");
    }
}

#[tokio::test]
async fn a_projection_of_another_journal_is_not_gone_on_with() {
    let whole = Written::new(&whole_story().records).await;
    let mut other = Story::begin();
    other.before_the_close(Quotes::None);
    let other = Written::new(&other.records).await;
    for place in Place::all() {
        for (ours, others) in [(&other, &whole), (&whole, &other)] {
            place.clear().await;
            ours.project(&place, false).await;
            let everything = place.everything().await;
            for rebuild in [false, true] {
                let refused = others.try_project(&place, rebuild).await;
                assert!(matches!(refused, Err(ProjectionError::NotOurs)), "{refused:?}");
                assert_eq!(place.everything().await, everything, "nothing is given up");
            }
        }
    }
}

#[tokio::test]
async fn only_a_rebuild_replaces_tables_of_another_shape_and_only_its_own() {
    let written = Written::new(&whole_story().records).await;
    let database = gavel_tests::postgres::Database::shared();
    database.query("CREATE SCHEMA gavel; CREATE TABLE gavel.notes AS SELECT 1 AS note");
    let place = Place::Postgres(database);
    written.project(&place, false).await;
    let before = place.everything().await;
    place.query("UPDATE projection_cursor SET shape = 'another'; DROP VIEW balances").await;
    let refused = written.try_project(&place, false).await;
    assert!(matches!(refused, Err(ProjectionError::OtherShape)), "{refused:?}");
    written.project(&place, true).await;
    assert_eq!(place.everything().await, before);
    assert_eq!(place.query("SELECT note FROM notes").await, "1");
}

#[tokio::test]
async fn a_reader_may_read_everything_but_what_shows_that_something_is_sealed() {
    let written = Written::new(&whole_story().records).await;
    let place = Place::Postgres(gavel_tests::postgres::Database::shared());
    written.project(&place, false).await;
    let Place::Postgres(database) = &place else { unreachable!("made above") };
    let events = database.query("SET ROLE gavel_reader; SELECT count(*) > 0 FROM gavel.events");
    assert_eq!(events, "t");
    let may = |what: &str| {
        database.query(&format!("SELECT has_table_privilege('gavel_reader', 'gavel.{what}"))
    };
    assert_eq!(may("projection_cursor', 'SELECT')"), "f");
    assert_eq!(may("stream_events', 'SELECT')"), "f");
    assert_eq!(may("events', 'INSERT')"), "f");
    assert_eq!(may("balances', 'SELECT')"), "t");
    let commented = database.query(
        "SELECT count(*) FROM pg_attribute JOIN pg_class ON attrelid = pg_class.oid \
         WHERE relnamespace = 'gavel'::regnamespace AND relkind IN ('r', 'v') AND attnum > 0 \
         AND col_description(attrelid, attnum) IS NULL",
    );
    assert_eq!(commented, "0", "each column says what it is");
}

/// Replaces each id by its number in the order in which ids occur: ids tell two stories apart that
/// are otherwise the same.
fn with_numbered_ids(text: &str) -> String {
    let mut numbers = BTreeMap::new();
    let mut numbered = String::new();
    let mut rest = text;
    while let Some(place) = rest.find('_') {
        let (before, after) = rest.split_at(place + 1);
        numbered.push_str(before);
        rest = after;
        let Some(id) = after.get(..16) else { continue };
        let is_id = id.bytes().all(|byte| byte.is_ascii_hexdigit())
            && !after.as_bytes().get(16).is_some_and(u8::is_ascii_hexdigit);
        if is_id {
            let next = numbers.len();
            numbered.push_str(&numbers.entry(id).or_insert(next).to_string());
            rest = &after[16..];
        }
    }
    numbered + rest
}

#[tokio::test]
async fn a_projection_goes_on_from_any_snapshot_of_a_journal_without_a_beginning() {
    let records = whole_story().records;
    for place in Place::all() {
        let whole = Written::new(&records).await;
        whole.project(&place, true).await;
        let (expected, streams) = (place.everything().await, place.stream_events().await);
        // Early ones know of sealed quotes, of a book that is shown, of a problem that is posed.
        for made_at in (1..records.len()).step_by(3) {
            let written = Written::new(&records[..made_at]).await;
            place.clear().await;
            written.project(&place, false).await;
            written.make_snapshot(&records[..made_at]);
            written.append(&records[made_at..]).await;
            written.truncate(records[made_at - 1].last_seq).await;
            written.project(&place, false).await;
            assert_eq!(place.everything().await, expected, "a snapshot after {made_at} records");
            assert_eq!(place.stream_events().await, streams, "{made_at}");
        }
    }
}

#[tokio::test]
async fn a_rebuild_of_a_journal_without_a_beginning_makes_what_came_after_the_oldest_snapshot() {
    let records = whole_story().records;
    let (oldest, newer) = (records.len() / 3, records.len() / 2);
    for place in Place::all() {
        let written = Written::new(&records).await;
        let whole = written.project(&place, false).await;
        let (expected, streams) = (place.everything().await, place.stream_events().await);
        written.make_snapshot(&records[..oldest]);
        written.make_snapshot(&records[..newer]);
        written.truncate(records[oldest - 1].last_seq).await;
        let first = place.query("SELECT min(position) FROM postings").await;
        let last = place.query("SELECT max(position) FROM stream_events").await;
        // What is damaged after the snapshot is as it was; what is damaged before it stays.
        place.query(&format!("DELETE FROM stream_events WHERE position = {last}")).await;
        place.query(&format!("UPDATE events SET kind = 'Other' WHERE position = {last}")).await;
        place.query(&format!("UPDATE postings SET kind = 'other' WHERE position = {first}")).await;
        assert_eq!(written.project(&place, true).await, whole);
        let rebuilt = place.everything().await;
        assert_ne!(rebuilt, expected);
        assert_eq!(place.stream_events().await, streams);
        let others = "SELECT count(*) FROM postings WHERE kind = 'other'";
        assert_ne!(place.query(others).await, "0");
        let others = "SELECT count(*) FROM events WHERE kind = 'Other'";
        assert_eq!(place.query(others).await, "0");
    }
}

#[tokio::test]
async fn a_rebuild_of_a_damaged_journal_leaves_everything_as_it_is() {
    let records = whole_story().records;
    for from_snapshot in [false, true] {
        for place in Place::all() {
            let written = Written::new(&records).await;
            written.project(&place, false).await;
            let everything = place.everything().await;
            if from_snapshot {
                let oldest = records.len() / 3;
                written.make_snapshot(&records[..oldest]);
                written.truncate(records[oldest - 1].last_seq).await;
            }
            written.damage(records[records.len() / 2].last_seq).await;
            let refused = written.try_project(&place, true).await;
            let is_damaged =
                matches!(refused, Err(ProjectionError::Replaying(RecoveryError::Damaged { .. })));
            assert!(is_damaged, "{refused:?}");
            assert_eq!(place.everything().await, everything);
        }
    }
}

#[tokio::test]
async fn a_rebuild_that_cannot_be_leaves_everything_as_it_is() {
    let records = whole_story().records;
    let half = records.len() / 2;
    let until = records[half - 1].last_seq;
    for place in Place::all() {
        let written = Written::new(&records).await;
        written.project(&place, false).await;
        let everything = place.everything().await;
        written.truncate(until).await;
        let gone = |refused: Result<Projection, ProjectionError>| {
            let reason = refused.unwrap_err();
            let is_gone = matches!(
                reason,
                ProjectionError::Replaying(RecoveryError::HistoryGone { first_seq })
                    if first_seq == until + 1
            );
            assert!(is_gone, "{reason:?}");
        };
        gone(written.try_project(&place, true).await);
        assert_eq!(place.everything().await, everything, "without a snapshot");
        written.make_snapshot(&records[..half]);
        // Of another journal that has come as far.
        let other = format!("UPDATE projection_cursor SET chain = '{}'", "0".repeat(64));
        place.query(&other).await;
        let refused = written.try_project(&place, true).await;
        assert!(matches!(refused, Err(ProjectionError::NotOurs)), "{refused:?}");
        assert_eq!(place.everything().await, everything, "of another journal");
        // Nothing is there that could stay.
        place.clear().await;
        gone(written.try_project(&place, true).await);
        gone(written.try_project(&place, false).await);
    }
}

#[tokio::test]
async fn what_comes_before_a_record_of_other_rules_is_kept() {
    let records = whole_story().records;
    let last = records.last().unwrap();
    let mut other = Record::following(&last.head(), last.last_seq + 1, vec![], last.events_hash);
    other.rules_version += 1;
    for place in Place::all() {
        let written = Written::new(&records).await;
        written.append(std::slice::from_ref(&other)).await;
        let refused = written.try_project(&place, false).await;
        assert!(matches!(refused, Err(ProjectionError::Replaying(_))), "{refused:?}");
        let reached = place.query("SELECT seq FROM projection_cursor").await;
        assert_eq!(reached, last.last_seq.to_string());
    }
}

/// A journal that forgets while it is read.
struct Forgetful {
    records: Vec<Record>,
    /// Commands that it will have forgotten once it was read up to there.
    forgets: (u64, u64),
}

impl JournalReader for Forgetful {
    fn read_after(&mut self, seq: u64) -> Reading<'_> {
        let (read_up_to, forgotten) = self.forgets;
        if seq >= read_up_to {
            self.records.retain(|record| record.last_seq > forgotten);
        }
        let next = self.records.iter().find(|record| record.last_seq > seq);
        Box::pin(std::future::ready(Ok(next.cloned())))
    }

    fn close(self: Box<Self>) -> Closing {
        Box::pin(std::future::ready(Ok(())))
    }
}

#[tokio::test]
async fn a_journal_that_forgets_what_is_read_next_is_not_called_damaged() {
    let records = whole_story().records;
    let [reached, first] = [records.len() / 3, records.len() / 2];
    let forgets = (records[reached - 1].last_seq, records[first - 1].last_seq);
    let place = Place::Sqlite(tempfile::tempdir().unwrap());
    let journal = Box::new(Forgetful { records, forgets });
    let source = Source { journal, snapshots: None, reach: Reach::default() };
    let refused = Projection::catch_up(source, FanOut::new(), &place.projection()).await;
    let (reached, first) = (forgets.0, forgets.1 + 1);
    let is_overtaken = matches!(
        refused,
        Err(ProjectionError::Replaying(RecoveryError::Overtaken { reached_seq, first_seq }))
            if (reached_seq, first_seq) == (reached, first)
    );
    assert!(is_overtaken, "{refused:?}");
}
