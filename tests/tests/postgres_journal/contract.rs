//! What every journal promises, asked of both.

use gavel_exchange::Exchange;
use gavel_protocol::AgentId;
use gavel_protocol::{
    ClientId, Command, Digest, EnrolAccount, Event, Found, Micros, PublicKey, Request, Settings,
    Stamped, TimestampNs,
};
use gavel_sequencer::journal::{
    AnyJournal, Condenser, Head, Journal, JournalError, JournalPlace, Record, encode_command,
};
use gavel_sequencer::limits::TRUNCATED_COMMANDS_MAX;
use gavel_sequencer::{Batch, RecoveryError, replay};
use gavel_tests::postgres::Database;
use sqlx::Connection as _;
use tempfile::TempDir;

use crate::{read_all, read_from, record};

/// Somewhere to keep a journal.
enum Place {
    Folder(TempDir),
    Database(Database),
}

impl Place {
    /// Returns one of each kind, empty.
    fn all() -> [Self; 2] {
        [Self::Folder(tempfile::tempdir().unwrap()), Self::Database(Database::shared())]
    }

    fn journal(&self) -> JournalPlace {
        match self {
            Self::Folder(folder) => JournalPlace::Folder(folder.path().into()),
            Self::Database(database) => JournalPlace::Postgres(database.url().parse().unwrap()),
        }
    }

    async fn open(&self) -> AnyJournal {
        self.journal().open().await.unwrap()
    }

    /// Runs a statement over the table of records behind the journal's back.
    async fn change(&self, statement: &str) {
        match self {
            Self::Folder(folder) => {
                let url = format!("sqlite://{}", folder.path().join("journal.sqlite").display());
                let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
                let statement = sqlx::AssertSqlSafe(statement.replace("TABLE", "record"));
                sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
            Self::Database(database) => {
                database.query(&statement.replace("TABLE", "gavel_journal.record"));
            }
        }
    }
}

#[tokio::test]
async fn what_is_appended_is_read_back_and_still_there_when_it_is_opened_again() {
    for place in Place::all() {
        let mut journal = place.open().await;
        assert_eq!(journal.head(), Head::EMPTY);
        assert_eq!(journal.read_after(0).await.unwrap(), None);
        let mut appended = Vec::new();
        for commands in [1, 2, 1_000] {
            let next = record(&journal.head(), commands);
            journal.append(&next).await.unwrap();
            assert_eq!(journal.head(), next.head());
            appended.push(next);
        }
        assert_eq!(read_all(&mut journal).await, appended);
        journal.close().await.unwrap();

        let mut journal = place.open().await;
        assert_eq!(journal.head(), appended[2].head());
        let next = record(&journal.head(), 1);
        journal.append(&next).await.unwrap();
        appended.push(next);
        assert_eq!(read_all(&mut journal).await, appended);
        journal.close().await.unwrap();
        let mut reading = place.journal().open_to_read().await.unwrap();
        assert_eq!(reading.head(), appended[3].head());
        assert_eq!(read_all(&mut reading).await, appended);
    }
}

#[tokio::test]
async fn only_what_follows_the_head_is_appended() {
    for place in Place::all() {
        let mut journal = place.open().await;
        let first = record(&Head::EMPTY, 3);
        journal.append(&first).await.unwrap();
        let head = first.head();
        let other_chain = Head { chain: Digest::new([1; 32]), ..head };
        let too_late = Head { seq: head.seq + 1, ..head };
        for wrong in [other_chain, too_late, Head::EMPTY] {
            let refused = journal.append(&record(&wrong, 2)).await;
            assert!(matches!(refused, Err(JournalError::Superseded { .. })), "{refused:?}");
        }
        journal.append(&record(&head, 2)).await.unwrap();
        assert_eq!(read_all(&mut journal).await.len(), 2);
    }
}

#[tokio::test]
async fn truncation_is_bounded_and_begins_with_the_oldest_and_the_last_record_stays() {
    const COMMANDS: u64 = TRUNCATED_COMMANDS_MAX / 2;
    for place in Place::all() {
        let mut journal = place.open().await;
        let mut records = Vec::new();
        for _ in 0..6 {
            records.push(record(&journal.head(), COMMANDS));
            journal.append(records.last().unwrap()).await.unwrap();
        }
        assert!(!journal.truncate(COMMANDS - 1).await.unwrap(), "no record ends there");
        assert_eq!(read_from(&mut journal, 0).await, records);
        assert!(journal.truncate(5 * COMMANDS).await.unwrap(), "too many for one step");
        assert_eq!(read_from(&mut journal, 0).await, records[3..]);
        assert!(!journal.truncate(5 * COMMANDS).await.unwrap());
        assert_eq!(read_from(&mut journal, 0).await, records[5..]);
        assert!(!journal.truncate(journal.head().seq + 1).await.unwrap());
        assert_eq!(read_from(&mut journal, 0).await, records[5..]);
        let mut reader = journal.reader().unwrap();
        assert_eq!(reader.read_after(0).await.unwrap().as_ref(), records.last());
        reader.close().await.unwrap();
        journal.close().await.unwrap();

        // It ends where it has ended, and goes on from there.
        let mut journal = place.open().await;
        assert_eq!(journal.head(), records[5].head());
        let next = record(&journal.head(), 1);
        journal.append(&next).await.unwrap();
        assert_eq!(read_from(&mut journal, records[5].last_seq).await, [next]);
    }
}

#[tokio::test]
async fn while_it_is_open_nobody_else_can_open_it() {
    for place in Place::all() {
        let mut held = place.open().await;
        let second = place.journal().open().await;
        assert!(
            matches!(second, Err(JournalError::InUse { .. } | JournalError::InUseByAnother { .. })),
            "{second:?}"
        );
        held.append(&record(&Head::EMPTY, 1)).await.unwrap();
        held.close().await.unwrap();
        place.open().await;
    }
}

#[tokio::test]
async fn a_damaged_record_is_found_by_the_replay() {
    let damages = [
        "UPDATE TABLE SET commands = checksum WHERE first_seq > 1",
        "UPDATE TABLE SET events_hash = checksum WHERE first_seq > 1",
        "UPDATE TABLE SET chain = checksum WHERE first_seq = 2",
        "UPDATE TABLE SET rules_version = rules_version + 1 WHERE first_seq > 1",
        "DELETE FROM TABLE WHERE first_seq = 1",
        "DELETE FROM TABLE WHERE first_seq = 2",
    ];
    for damage in damages {
        for place in Place::all() {
            let mut journal = place.open().await;
            for record in real_records(3) {
                journal.append(&record).await.unwrap();
            }
            assert_eq!(replay(&mut journal, |_| ()).await.unwrap().records, 3);
            journal.close().await.unwrap();
            place.change(damage).await;
            let mut reading = place.journal().open_to_read().await.unwrap();
            let replayed = replay(&mut reading, |_| ()).await;
            let error = replayed.err().unwrap();
            assert!(
                matches!(error, RecoveryError::Damaged { first_seq: 2.., .. }),
                "{damage}: {error}"
            );
        }
    }
}

/// Returns records that an exchange has made: it is founded, then accounts are enrolled.
pub fn real_records(count: u64) -> Vec<Record> {
    let mut exchange = Exchange::new();
    let (mut head, mut operator) = (Head::EMPTY, AgentId::EXCHANGE);
    let now = TimestampNs::from_nanos(1_767_225_600_000_000_000);
    let found = Found {
        name: "test".parse().unwrap(),
        id_key: Digest::new([1; 32]),
        operator_key: PublicKey::new([2; 32]),
        settings: Settings::fee(10_000),
    };
    let enrol = |number: u64| EnrolAccount {
        client_id: ClientId::from_parts(now, number.into()),
        transaction_max: Micros::new(1_000_000),
    };
    let mut records = Vec::new();
    for seq in 1..=count {
        let command = match seq {
            1 => Command::Found(Box::new(found.clone())),
            _ => Command::EnrolAccount(enrol(seq)),
        };
        let request = Request { agent: operator, command };
        let stamped = Stamped { seq, ts_event: now, request };
        let mut batch = Batch::default();
        exchange.apply(&stamped, &mut batch.out());
        if let Some(Event::Founded(founded)) = batch.events.first() {
            operator = founded.operator;
        }
        let mut commands = Vec::new();
        encode_command(&stamped, &mut commands);
        batch.end_step(stamped, None);
        let mut condenser = Condenser::default();
        batch.steps().for_each(|step| condenser.add(&step));
        let record = Record::following(&head, seq, commands, condenser.finish());
        head = record.head();
        records.push(record);
    }
    records
}
