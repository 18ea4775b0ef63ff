//! A journal whose checksums are right, but that no exchange has written: its replay is refused.
#![allow(clippy::unwrap_used, reason = "a test may stop at anything unexpected")]

use gavel_protocol::{Command, Digest, Stamped};
use gavel_sequencer::journal::{Head, Record, encode_command};
use gavel_sequencer::{RecoveryError, Replayer};
use gavel_simulator::scenario;

#[test]
fn a_record_that_leaves_out_what_was_due_is_refused() {
    let text = "deposit acme 9.00\nrfq acme #1 reserve=5.00 window=1s\nadvance 2s\nshow acme\n\
                deposit acme 1.00\n";
    let journal = scenario::run(text).unwrap().journal;
    let is_advance =
        |stamped: &&Stamped| matches!(stamped.request.command, Command::AdvanceTime(_));
    assert!(journal.iter().any(|stamped| is_advance(&stamped)));
    let (mut last_seq, mut commands) = (0, Vec::new());
    for stamped in journal.iter().filter(|stamped| !is_advance(stamped)) {
        last_seq += 1;
        encode_command(&Stamped { seq: last_seq, ..stamped.clone() }, &mut commands);
    }
    let record = Record::following(&Head::EMPTY, last_seq, commands, Digest::new([0; 32]));
    let refused = Replayer::default().apply(record).unwrap_err();
    assert!(matches!(refused, RecoveryError::Damaged { .. }), "{refused}");
}
