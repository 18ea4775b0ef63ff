//! The journal on a server keeps what the embedded one keeps: in order, once, with one writer, and
//! whatever happens to the server or the way there.
#![allow(clippy::unwrap_used, reason = "a test may stop at anything unexpected")]

mod ack;
mod beside;
mod contract;
mod faults;
mod pipeline;
mod proxy;

use gavel_protocol::Digest;
use gavel_sequencer::journal::{Ack, Head, Journal, PostgresJournal, Record};
use gavel_tests::postgres::Database;

/// Returns the record that follows `head`, with so many commands; what they are does not matter.
fn record(head: &Head, commands: u64) -> Record {
    let seed = u8::try_from(head.seq % 251).unwrap();
    Record::following(head, head.seq + commands, vec![seed; 100], Digest::new([seed; 32]))
}

/// Reads a journal from its beginning: each record must follow the one before.
async fn read_all<J: Journal>(journal: &mut J) -> Vec<Record> {
    let mut records = Vec::new();
    let mut head = Head::EMPTY;
    while let Some(record) = journal.read_after(head.seq).await.unwrap() {
        assert!(record.is_intact() && record.follows(&head), "{head:?} {record:?}");
        head = record.head();
        records.push(record);
    }
    records
}

/// Reads the records after the command `seq`, whatever comes before them.
async fn read_from<J: Journal>(journal: &mut J, mut seq: u64) -> Vec<Record> {
    let mut records = Vec::new();
    while let Some(record) = journal.read_after(seq).await.unwrap() {
        seq = record.last_seq;
        records.push(record);
    }
    records
}

async fn open(database: &Database) -> PostgresJournal {
    open_acking(database, Ack::default()).await
}

async fn open_acking(database: &Database, ack: Ack) -> PostgresJournal {
    PostgresJournal::open(&database.url().parse().unwrap(), ack).await.unwrap()
}
