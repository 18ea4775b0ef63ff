//! What it takes for an append to be acknowledged, in each sense that can be asked for.

use gavel_sequencer::journal::{Ack, Head, Journal, JournalError, JournalPlace};
use gavel_tests::postgres::{Cluster, Database};
use tokio::task::yield_now;

use crate::{open, open_acking, read_all, record};

const SENSES: [(Ack, &str); 4] = [
    (Ack::Local, "local"),
    (Ack::RemoteWrite, "remote_write"),
    (Ack::On, "on"),
    (Ack::RemoteApply, "remote_apply"),
];

/// Notes the setting under which each statement changes the table of records.
const NOTE_SETTINGS: &str = "
    CREATE TABLE noted (setting text);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO noted VALUES (current_setting('synchronous_commit'));
        RETURN NULL;
    END $$;
    CREATE TRIGGER note AFTER INSERT OR DELETE ON gavel_journal.record
        FOR EACH STATEMENT EXECUTE FUNCTION note();
";

#[tokio::test]
async fn each_session_that_appends_has_the_setting_that_was_asked_for() {
    for (ack, setting) in SENSES {
        let database = Database::shared();
        // The database's default does not count.
        let name = database.query("SELECT current_database()");
        database.query(&format!("ALTER DATABASE {name} SET synchronous_commit = off"));
        let mut journal = open_acking(&database, ack).await;
        database.query(NOTE_SETTINGS);
        // By each of its sessions, in turn.
        journal.append(&record(&Head::EMPTY, 1)).await.unwrap();
        journal.append(&record(&journal.head(), 1)).await.unwrap();
        database.end_sessions();
        journal.append(&record(&journal.head(), 1)).await.unwrap();
        journal.append(&record(&journal.head(), 1)).await.unwrap();
        journal.truncate(1).await.unwrap();
        let noted = database.query("SELECT setting, count(*) FROM noted GROUP BY setting");
        assert_eq!(noted, format!("{setting}|5"));
    }
}

#[tokio::test]
async fn an_embedded_journal_has_no_sense_but_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let place = JournalPlace::Folder(folder.path().join("journal"));
    for (ack, _) in SENSES {
        match place.open_acking(ack).await {
            Ok(_) => assert_eq!(ack, Ack::default()),
            Err(JournalError::AckOfEmbedded { ack: refused }) => {
                assert!(ack == refused && ack != Ack::default());
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Returns the server's process that waits for a replica, if there is one.
fn waiting_for_replica(database: &Database) -> Option<u32> {
    let waiting = "SELECT max(pid) FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event = 'SyncRep'";
    database.query(waiting).parse().ok()
}

#[tokio::test]
async fn what_no_replica_has_is_not_acknowledged_even_if_it_can_be_read_back() {
    let cluster = Cluster::start();
    let [alone, replicated] = [cluster.database(), cluster.database()];
    let mut alone_journal = open_acking(&alone, Ack::Local).await;
    let mut journal = open(&replicated).await;
    cluster.query("postgres", "ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    cluster.crash_and_restart();

    // Whoever asks for the server's own disk alone waits for nobody.
    alone_journal.append(&record(&Head::EMPTY, 1)).await.unwrap();

    // The second one is on its way, too, and waits for the first.
    let first = record(&Head::EMPTY, 1);
    let appended = [first.clone(), record(&first.head(), 1)];
    for record in &appended {
        journal.begin_append(record).await.unwrap();
    }
    let appending = tokio::spawn(async move {
        journal.end_append().await?;
        journal.end_append().await.map(|()| journal)
    });
    let mut lost = 0;
    for _ in 0..2 {
        // Its session ends while it waits: then the record is there, on this server alone.
        let waiting = loop {
            assert!(!appending.is_finished(), "acknowledged without a replica");
            match waiting_for_replica(&replicated) {
                Some(process) if process != lost => break process,
                Some(_) | None => yield_now().await,
            }
        };
        lost = waiting;
        replicated.query(&format!("SELECT pg_terminate_backend({lost})"));
    }
    cluster.query("postgres", "ALTER SYSTEM RESET synchronous_standby_names");
    cluster.query("postgres", "SELECT pg_reload_conf()");
    let mut journal = appending.await.unwrap().unwrap();
    assert_eq!(read_all(&mut journal).await, appended);
}
