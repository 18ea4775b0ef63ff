//! What is read back from a disk: a record of the journal, a snapshot's file, and the two states in it.

use std::path::Path;

use gavel_exchange::Snapshot;
use gavel_gateway::FanOut;
use gavel_protocol::Digest;
use gavel_sequencer::journal::{Head, Record, decode_commands, encode_command};
use gavel_sequencer::{Consumer as _, RecoveryError, Replayer, Saved};

use super::memory::within;
use super::{Verdict, memory_for};

/// Takes the input for the commands of a journal's first record, and replays it. Damage that its checksum
/// would not show is an error or has the same effects each time.
pub(super) fn check_record(input: &[u8]) -> Verdict {
    let commands = within(memory_for(input.len()), || decode_commands(input));
    let Some(commands) = commands else { return Verdict::Refused };
    let mut written = Vec::new();
    commands.iter().for_each(|stamped| encode_command(stamped, &mut written));
    assert_eq!(decode_commands(&written), Some(commands.clone()), "they are written as they are");

    let last_seq = commands.last().map_or(0, |stamped| stamped.seq);
    let record = |hash| Record::following(&Head::EMPTY, last_seq, input.to_vec(), hash);
    match Replayer::default().apply(record(Digest::new([0; 32]))) {
        Err(RecoveryError::Diverged { found, .. }) => {
            let mut replayer = Replayer::default();
            replayer.apply(record(found)).expect("it has the same effects again");
            assert_eq!(replayer.exchange().trial_balance(), 0, "the ledger is balanced");
            Verdict::Read
        }
        Err(_) => Verdict::Refused,
        Ok(()) => panic!("events of which the hash is nothing"),
    }
}

/// Takes the input for a snapshot's file. One that is not refused is the one that was written, to the
/// last byte.
pub(super) fn check_snapshot(input: &[u8]) -> Verdict {
    let path = Path::new("fuzz.snapshot");
    let saved = within(memory_for(input.len()), || Saved::from_bytes(input, path));
    let Ok(saved) = saved else { return Verdict::Refused };
    let parts = [saved.exchange.as_slice(), &saved.consumer, &saved.curtain].concat();
    assert!(input.ends_with(&parts), "its parts are those of the file");
    let exchange = saved.exchange().expect("the digest says that an exchange has written it");
    assert_eq!(exchange.snapshot().to_bytes(), saved.exchange, "the exchange is as it was");
    let fan_out = FanOut::new();
    fan_out.restore(&saved.consumer).expect("the digest says that an edge has written it");
    assert_eq!(fan_out.snapshot(), saved.consumer, "the edge is as it was");
    assert!(saved.is_curtain_whole(), "the digest says that a replica has written it");
    Verdict::Read
}

/// Takes the input for the state of an exchange. What was read is written so that it is read as the same
/// again. Nothing is made of it: what stands in a snapshot is known to fit together by the file's digest.
pub(super) fn check_exchange_state(input: &[u8]) -> Verdict {
    let snapshot = within(memory_for(input.len()), || Snapshot::from_bytes(input));
    let Ok(snapshot) = snapshot else { return Verdict::Refused };
    let again = Snapshot::from_bytes(&snapshot.to_bytes());
    assert_eq!(again, Ok(snapshot));
    Verdict::Read
}

/// Takes the input for the state of an edge. What is refused changes nothing; what was read is written so
/// that it is read as the same again.
pub(super) fn check_edge_state(input: &[u8]) -> Verdict {
    let fan_out = FanOut::new();
    let before = fan_out.snapshot();
    if within(memory_for(input.len()), || fan_out.restore(input)).is_err() {
        assert_eq!(fan_out.snapshot(), before, "what is refused changes nothing");
        return Verdict::Refused;
    }
    let (written, again) = (fan_out.snapshot(), FanOut::new());
    again.restore(&written).expect("it has just been written");
    assert_eq!(again.snapshot(), written);
    Verdict::Read
}
