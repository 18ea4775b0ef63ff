//! What a server can do to its journal: restart, lose connections, and let somebody else in.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;

use gavel_sequencer::journal::{
    Ack, Head, Journal, JournalError, PostgresAddress, PostgresJournal, Record,
};
use gavel_tests::postgres::{Cluster, Database};

use crate::proxy::{Cut, Proxy};
use crate::{open, read_all, record};

/// Runs a future on a runtime of its own.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[tokio::test]
async fn an_answer_that_was_lost_is_read_back_and_nothing_is_sent_twice() {
    for (cut, sessions) in [(Cut::BeforeTheAnswer, 2), (Cut::BeforeTheServer, 3), (Cut::Halfway, 3)]
    {
        let database = Database::shared();
        let proxy = Proxy::start(&database.cluster.socket());
        let address: PostgresAddress = database.url_by(proxy.port()).parse().unwrap();
        let mut journal = PostgresJournal::open(&address, Ack::default()).await.unwrap();
        let mut appended = Vec::new();
        // By each of its sessions, in turn.
        for commands in [1, 2] {
            appended.push(record(&journal.head(), commands));
            journal.append(&appended[appended.len() - 1]).await.unwrap();
        }
        let connections = proxy.connections();

        proxy.cut(cut);
        appended.push(record(&journal.head(), 5));
        journal.append(&appended[2]).await.unwrap();
        assert_eq!(proxy.connections(), connections + 2, "{cut:?}");
        assert_eq!(proxy.appending_sessions(), sessions, "{cut:?}");

        appended.push(record(&journal.head(), 1));
        journal.append(&appended[3]).await.unwrap();
        assert_eq!(read_all(&mut journal).await, appended, "{cut:?}");
    }
}

#[tokio::test]
async fn whoever_opens_it_last_is_its_only_writer() {
    let database = Database::shared();
    let mut first = open(&database).await;
    let before = record(&Head::EMPTY, 2);
    first.append(&before).await.unwrap();
    // The first one's session ends without its knowledge, and with it the lock.
    database.end_sessions();
    let mut second = open(&database).await;
    assert_eq!(second.head(), before.head());

    let late = record(&before.head(), 1);
    let refused = first.append(&late).await;
    assert!(matches!(refused, Err(JournalError::Superseded { seq: 3 })), "{refused:?}");
    second.append(&late).await.unwrap();
    let refused = first.append(&late).await;
    assert!(matches!(refused, Err(JournalError::Superseded { seq: 3 })), "{refused:?}");
    assert_eq!(read_all(&mut second).await, [before, late]);
}

#[tokio::test]
async fn who_only_reads_disturbs_nobody_and_writes_nothing() {
    let database = Database::shared();
    let address = database.url().parse().unwrap();
    let nothing = PostgresJournal::open_to_read(&address).await;
    assert!(matches!(nothing, Err(JournalError::NoJournal { .. })), "{nothing:?}");
    let mut writing = open(&database).await;
    let mut reading = PostgresJournal::open_to_read(&address).await.unwrap();
    let first = record(&Head::EMPTY, 1);
    let refused = reading.append(&first).await;
    assert!(matches!(refused, Err(JournalError::Superseded { seq: 1 })), "{refused:?}");
    writing.append(&first).await.unwrap();
    assert_eq!(read_all(&mut reading).await, [first]);
}

#[tokio::test]
async fn records_that_are_missing_at_the_end_are_missed() {
    let database = Database::shared();
    let mut journal = open(&database).await;
    for _ in 0..3 {
        journal.append(&record(&journal.head(), 2)).await.unwrap();
    }
    journal.close().await.unwrap();
    database.query("DELETE FROM gavel_journal.record WHERE first_seq > 2");
    let address = database.url().parse().unwrap();
    let cut_off = PostgresJournal::open(&address, Ack::default()).await;
    assert!(matches!(cut_off, Err(JournalError::CutOff { noted: 6, found: 2 })), "{cut_off:?}");
}

/// Records that each of two exchanges tries to append before it gives way.
const TURN_RECORDS: u64 = 20;

/// Records after which the race ends.
const RACE_RECORDS: u64 = 400;

#[test]
fn of_two_exchanges_that_both_believe_to_be_the_writer_one_wins_each_place() {
    let database = Database::shared();
    let won = AtomicU64::new(0);
    let acknowledged: Vec<Vec<Record>> = thread::scope(|scope| {
        let racers = [1, 2].map(|racer| {
            let (database, won) = (&database, &won);
            scope.spawn(move || block_on(race(racer, database, won)))
        });
        racers.map(|racer| racer.join().unwrap()).into()
    });
    let (first, second) = (&acknowledged[0], &acknowledged[1]);
    assert!(!first.is_empty() && !second.is_empty(), "{} {}", first.len(), second.len());
    let journal = block_on(async { read_all(&mut open(&database).await).await });
    for record in first.iter().chain(second) {
        assert!(journal.contains(record), "acknowledged and lost: {record:?}");
    }
    for record in &journal {
        let winners = acknowledged.iter().filter(|records| records.contains(record)).count();
        assert!(winners <= 1, "won twice: {record:?}");
    }
}

/// Takes over the journal again and again, and appends until the other one has taken over.
async fn race(racer: u64, database: &Database, won: &AtomicU64) -> Vec<Record> {
    let mut acknowledged = Vec::new();
    let address = database.url().parse().unwrap();
    while won.load(Ordering::SeqCst) < RACE_RECORDS {
        database.end_sessions();
        let Ok(mut journal) = PostgresJournal::open(&address, Ack::default()).await else {
            continue;
        };
        for _ in 0..TURN_RECORDS {
            // Each makes records that the other would not.
            let next = record(&journal.head(), racer);
            match journal.append(&next).await {
                Ok(()) => {
                    won.fetch_add(1, Ordering::SeqCst);
                    acknowledged.push(next);
                }
                Err(JournalError::Superseded { .. }) => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    acknowledged
}

/// How often the server crashes.
const CRASHES: usize = 10;

/// Records that are appended between two crashes at least.
const RECORDS_BETWEEN_CRASHES: usize = 50;

#[test]
fn a_server_that_crashes_again_and_again_loses_and_doubles_nothing() {
    let cluster = Cluster::start();
    let database = cluster.database();
    let (appended_in, appended) = mpsc::channel();
    let (crashes_over_in, crashes_over) = mpsc::channel::<()>();
    let acknowledged = thread::scope(|scope| {
        let database = &database;
        let appending = scope.spawn(move || {
            block_on(async {
                let mut journal = open(database).await;
                let (mut acknowledged, mut begun) = (Vec::new(), VecDeque::new());
                let mut head = journal.head();
                loop {
                    let goes_on = crashes_over.try_recv() == Err(mpsc::TryRecvError::Empty);
                    if goes_on && begun.len() < journal.in_flight_max() {
                        let next = record(&head, 1 + acknowledged.len() as u64 % 7);
                        head = next.head();
                        journal.begin_append(&next).await.unwrap();
                        begun.push_back(next);
                        continue;
                    }
                    let Some(oldest) = begun.pop_front() else { return acknowledged };
                    journal.end_append().await.unwrap();
                    acknowledged.push(oldest);
                    appended_in.send(()).unwrap();
                }
            })
        });
        for _ in 0..CRASHES {
            for () in appended.iter().take(RECORDS_BETWEEN_CRASHES) {}
            cluster.crash_and_restart();
        }
        for () in appended.iter().take(RECORDS_BETWEEN_CRASHES) {}
        drop(crashes_over_in);
        appending.join().unwrap()
    });
    assert!(acknowledged.len() > CRASHES * RECORDS_BETWEEN_CRASHES);
    let kept = block_on(async { read_all(&mut open(&database).await).await });
    assert!(kept == acknowledged, "{} kept, {} acknowledged", kept.len(), acknowledged.len());
}
