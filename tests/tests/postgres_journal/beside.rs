//! What happens to a journal beside its appends: it is read, and its oldest records are deleted.

use gavel_sequencer::journal::{Head, Journal, JournalPlace, PostgresJournal};
use gavel_sequencer::{RecoveryError, Replayer, replay_from};
use gavel_tests::postgres::{Cluster, Database};
use tokio::task::yield_now;

use crate::contract::real_records;
use crate::{open, read_all, record};

/// Returns how many sessions there are, without those that ask.
fn sessions(database: &Database) -> usize {
    let count = "SELECT count(*) FROM pg_stat_activity \
                 WHERE datname = current_database() AND application_name <> 'psql'";
    database.query(count).parse().unwrap()
}

#[tokio::test]
async fn a_reader_logs_on_when_it_is_first_asked_and_again_after_its_server_has_crashed() {
    let cluster = Cluster::start();
    let database = cluster.database();
    let mut journal = open(&database).await;
    let mut reader = journal.reader().unwrap();
    let mut appended = Vec::new();
    for _ in 0..40 {
        appended.push(record(&journal.head(), 3));
        journal.append(appended.last().unwrap()).await.unwrap();
    }
    assert_eq!(sessions(&database), 2);
    let (mut read, mut seq) = (Vec::new(), 0);
    while let Some(record) = reader.read_after(seq).await.unwrap() {
        seq = record.last_seq;
        read.push(record);
        if read.len() == 20 {
            assert_eq!(sessions(&database), 3);
            cluster.crash_and_restart();
        }
    }
    assert!(read == appended, "{} read, {} appended", read.len(), appended.len());

    cluster.crash_and_restart();
    let next = record(&journal.head(), 1);
    journal.append(&next).await.unwrap();
    assert_eq!(reader.read_after(seq).await.unwrap(), Some(next));
    reader.close().await.unwrap();
}

#[tokio::test]
async fn whoever_was_taken_over_deletes_nothing() {
    let database = Database::shared();
    let mut first = open(&database).await;
    let mut appended = Vec::new();
    for _ in 0..3 {
        appended.push(record(&first.head(), 2));
        first.append(appended.last().unwrap()).await.unwrap();
    }
    database.end_sessions();
    let mut second = open(&database).await;
    // The first attempt finds out that the session is gone; the next one logs on again.
    first.truncate(4).await.unwrap_err();
    assert!(!first.truncate(4).await.unwrap());
    assert_eq!(read_all(&mut second).await, appended);
    let mut reading =
        PostgresJournal::open_to_read(&database.url().parse().unwrap()).await.unwrap();
    assert!(!reading.truncate(4).await.unwrap());
    assert_eq!(read_all(&mut second).await, appended);
    second.truncate(4).await.unwrap();
    assert_eq!(second.read_after(0).await.unwrap().as_ref(), Some(&appended[2]));
}

#[tokio::test]
async fn a_truncation_that_meets_a_takeover_waits_for_it_and_then_deletes_nothing() {
    let database = Database::shared();
    let mut first = open(&database).await;
    for _ in 0..3 {
        first.append(&record(&first.head(), 2)).await.unwrap();
    }
    let address = database.url().parse::<gavel_sequencer::journal::PostgresAddress>().unwrap();
    let mut taking_over = sqlx::ConnectOptions::connect(&address.options()).await.unwrap();
    let begin = "BEGIN; UPDATE gavel_journal.writer SET epoch = epoch + 1";
    sqlx::raw_sql(begin).execute(&mut taking_over).await.unwrap();
    let truncating = tokio::spawn(async move { first.truncate(4).await });
    let waiting = "SELECT count(*) FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while database.query(waiting) == "0" {
        assert!(!truncating.is_finished(), "it has not waited");
        yield_now().await;
    }
    sqlx::raw_sql("COMMIT").execute(&mut taking_over).await.unwrap();
    assert!(!truncating.await.unwrap().unwrap());
    assert_eq!(database.query("SELECT count(*) FROM gavel_journal.record"), "3");
}

#[tokio::test]
async fn what_a_running_exchange_deletes_while_it_is_read_is_not_taken_for_damage() {
    let database = Database::shared();
    let mut journal = open(&database).await;
    // More than are read before the first one is applied.
    for record in real_records(200) {
        journal.append(&record).await.unwrap();
    }
    let place = JournalPlace::Postgres(database.url().parse().unwrap());
    let mut reading = place.open_to_read().await.unwrap();
    let replayed = replay_from(Replayer::default(), &mut reading, Head::EMPTY, |replayer| {
        if replayer.head().seq == 1 {
            database.query("DELETE FROM gavel_journal.record WHERE last_seq <= 150");
        }
    });
    let error = replayed.await.unwrap_err();
    assert!(matches!(error, RecoveryError::Overtaken { first_seq: 151, .. }), "{error}");
}
