//! Two records on their way at one time: in order, once, and the second never without the first.

use gavel_sequencer::journal::{
    Ack, Head, Journal, JournalError, PostgresAddress, PostgresJournal, Record,
};
use gavel_tests::postgres::Database;
use sqlx::{ConnectOptions as _, PgConnection};
use tokio::task::yield_now;

use crate::proxy::Proxy;
use crate::{open, read_all, record};

/// A transaction that has the writer's row, so that nothing is appended until it ends.
struct Blocker(PgConnection);

impl Blocker {
    /// Begins with a statement that locks the row.
    async fn begin(database: &Database, statement: &str) -> Self {
        let address: PostgresAddress = database.url().parse().unwrap();
        let mut connection = address.options().connect().await.unwrap();
        let begin = sqlx::AssertSqlSafe(format!("BEGIN; {statement}"));
        sqlx::raw_sql(begin).execute(&mut connection).await.unwrap();
        Self(connection)
    }

    async fn hold(database: &Database) -> Self {
        Self::begin(database, "SELECT FROM gavel_journal.writer FOR UPDATE").await
    }

    async fn commit(mut self) {
        sqlx::raw_sql("COMMIT").execute(&mut self.0).await.unwrap();
    }
}

/// How often is looked before what should wait counts as not waiting: each look starts a process.
const LOOKS_MAX: usize = 2_000;

/// Returns the server's processes that wait for the row, first come first, when there are so many.
async fn waiting(database: &Database, count: usize) -> Vec<u32> {
    let waiting = "SELECT pid FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event_type = 'Lock' \
                   ORDER BY query_start";
    for _ in 0..LOOKS_MAX {
        let processes = database.query(waiting);
        let processes: Vec<u32> = processes.lines().map(|line| line.parse().unwrap()).collect();
        if processes.len() == count {
            return processes;
        }
        yield_now().await;
    }
    panic!("{count} should wait for the row");
}

/// Appends a record by each session, so that each has its statement ready: the second one that of a record behind
/// another.
async fn append_by_each(journal: &mut PostgresJournal) -> Vec<Record> {
    let first = record(&journal.head(), 1);
    let second = record(&first.head(), 1);
    journal.begin_append(&first).await.unwrap();
    journal.begin_append(&second).await.unwrap();
    end_two(journal).await;
    vec![first, second]
}

/// Sends two records that follow the head, and returns them when both wait for the row.
async fn begin_two(database: &Database, journal: &mut PostgresJournal) -> [Record; 2] {
    let first = record(&journal.head(), 2);
    let second = record(&first.head(), 3);
    journal.begin_append(&first).await.unwrap();
    waiting(database, 1).await;
    journal.begin_append(&second).await.unwrap();
    waiting(database, 2).await;
    [first, second]
}

async fn end_two(journal: &mut PostgresJournal) {
    for _ in 0..2 {
        journal.end_append().await.unwrap();
    }
}

#[tokio::test]
async fn the_second_waits_at_the_server_for_the_first_whatever_the_servers_defaults_are() {
    let database = Database::shared();
    let name = database.query("SELECT current_database()");
    for setting in ["default_transaction_isolation = 'serializable'", "lock_timeout = '1ms'"] {
        database.query(&format!("ALTER DATABASE {name} SET {setting}"));
    }
    let address = database.url().parse().unwrap();
    let mut journal = PostgresJournal::open(&address, Ack::default()).await.unwrap();
    let mut appended = append_by_each(&mut journal).await;
    let sent = "SELECT sum(calls) FROM gavel_sent";
    database.query(
        "CREATE TABLE gavel_sent (calls int);
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN INSERT INTO gavel_sent VALUES (1); RETURN NULL; END $$;
         CREATE TRIGGER note AFTER INSERT ON gavel_journal.record
         FOR EACH STATEMENT EXECUTE FUNCTION note();",
    );
    let blocker = Blocker::hold(&database).await;
    appended.extend(begin_two(&database, &mut journal).await);
    blocker.commit().await;
    end_two(&mut journal).await;
    assert_eq!(journal.head(), appended[3].head());
    // Each statement has found what it waited for.
    assert_eq!(database.query(sent), "2");
    assert_eq!(read_all(&mut journal).await, appended);
}

#[tokio::test]
async fn many_that_are_always_two_at_a_time_arrive_in_order() {
    let database = Database::shared();
    let mut journal = open(&database).await;
    let mut appended: Vec<Record> = Vec::new();
    for place in 0..200 {
        let head = appended.last().map_or(Head::EMPTY, Record::head);
        appended.push(record(&head, 1 + place % 5));
        journal.begin_append(appended.last().unwrap()).await.unwrap();
        if place > 0 {
            journal.end_append().await.unwrap();
        }
    }
    journal.end_append().await.unwrap();
    assert_eq!(read_all(&mut journal).await, appended);
}

#[tokio::test]
async fn sessions_that_end_with_two_on_their_way_lose_and_double_nothing() {
    for ended in [&[0][..], &[1], &[0, 1], &[1, 0]] {
        let database = Database::shared();
        let mut journal = open(&database).await;
        let mut appended = append_by_each(&mut journal).await;
        let blocker = Blocker::hold(&database).await;
        appended.extend(begin_two(&database, &mut journal).await);
        let processes = waiting(&database, 2).await;
        for place in ended {
            database.query(&format!("SELECT pg_terminate_backend({}, 10000)", processes[*place]));
        }
        blocker.commit().await;
        end_two(&mut journal).await;
        assert_eq!(journal.head(), appended[3].head(), "{ended:?}");
        appended.push(record(&journal.head(), 1));
        journal.append(&appended[4]).await.unwrap();
        assert_eq!(read_all(&mut journal).await, appended, "{ended:?}");
    }
}

#[tokio::test]
async fn neither_is_acknowledged_once_another_exchange_has_taken_over() {
    let database = Database::shared();
    let mut journal = open(&database).await;
    let appended = append_by_each(&mut journal).await;
    let taking_over = "UPDATE gavel_journal.writer SET epoch = epoch + 1";
    let blocker = Blocker::begin(&database, taking_over).await;
    let refused = begin_two(&database, &mut journal).await;
    blocker.commit().await;
    for record in &refused {
        let ended = journal.end_append().await;
        let seq = record.first_seq;
        assert!(
            matches!(ended, Err(JournalError::Superseded { seq: of }) if of == seq),
            "{ended:?}"
        );
    }
    assert_eq!(journal.head(), appended[1].head());
    assert_eq!(read_all(&mut journal).await, appended);
}

#[tokio::test]
async fn the_second_is_sent_again_when_it_has_overtaken_the_first() {
    let database = Database::shared();
    let proxy = Proxy::start(&database.cluster.socket());
    let address: PostgresAddress = database.url_by(proxy.port()).parse().unwrap();
    let mut journal = PostgresJournal::open(&address, Ack::default()).await.unwrap();
    let mut appended = append_by_each(&mut journal).await;
    let answers = proxy.answers();

    let first = record(&journal.head(), 2);
    let second = record(&first.head(), 3);
    proxy.hold();
    journal.begin_append(&first).await.unwrap();
    proxy.wait_until_held();
    journal.begin_append(&second).await.unwrap();
    // The server has answered the second, and has not seen the first.
    proxy.wait_for_answers(answers + 1);
    proxy.release();
    end_two(&mut journal).await;

    assert_eq!(proxy.times_sent(&first.commands), 1);
    assert_eq!(proxy.times_sent(&second.commands), 2);
    appended.extend([first, second]);
    assert_eq!(read_all(&mut journal).await, appended);
}

#[tokio::test]
async fn old_records_are_deleted_after_what_is_on_its_way() {
    let database = Database::shared();
    let mut journal = open(&database).await;
    append_by_each(&mut journal).await;
    let blocker = Blocker::hold(&database).await;
    let [_, second] = begin_two(&database, &mut journal).await;
    let (truncated, ()) = tokio::join!(journal.truncate(second.last_seq), blocker.commit());
    assert!(!truncated.unwrap());
    end_two(&mut journal).await;
    // All but the last, which was not there yet when that was asked for.
    assert_eq!(journal.read_after(0).await.unwrap(), Some(second));
}
