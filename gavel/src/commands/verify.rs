//! `gavel verify`: prove that a journal is whole, that snapshots are what it comes to, that it keeps
//! what clients were told, and awards nothing twice.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use anyhow::{Context as _, bail};
use gavel_gateway::FanOut;
use gavel_sequencer::journal::{Head, JournalError};
use gavel_sequencer::{
    Audit, RecoveryError, Replica, Saved, Snapshots, SnapshotsError, error_text,
};
use gavel_simulator::load::{Ack, read_acks};
use serde_json::json;

use crate::Exit;
use crate::args::VerifyArgs;
use crate::awards::Awards;
use crate::beginning::beginning;
use crate::commands::block_on;
use crate::data_dir::DataDir;
use crate::kept::Kept;
use crate::output::Output;

/// Lost acknowledgements that are shown one by one.
const LOST_SHOWN_MAX: usize = 10;

/// Verifies.
pub fn run(args: &VerifyArgs, output: &Output) -> anyhow::Result<Exit> {
    block_on(verify(args, output))
}

async fn verify(args: &VerifyArgs, output: &Output) -> anyhow::Result<Exit> {
    let data = DataDir::new(&args.data);
    let mut journal = match args.journal.place_of_existing(&data)?.open_to_read().await {
        Ok(journal) => journal,
        Err(error @ (JournalError::Opening { .. } | JournalError::CutOff { .. })) => {
            return Ok(not_verified(&error.into(), output));
        }
        Err(error) => return Err(error.into()),
    };
    let (mut kept, snapshots) = (Kept::default(), data.snapshots());
    let start = match args.from_snapshot {
        Some(seq) => Replica::at(&mut journal, &snapshots, seq, FanOut::new()).await,
        None => beginning(&mut journal, &snapshots, FanOut::new()).await,
    };
    let start = match start {
        Ok(start) => start,
        Err(error) => return Ok(not_verified(&error.into(), output)),
    };
    let from = start.head().seq;
    if from > 0 && args.acks.is_some() {
        bail!("acknowledgements can only be looked for in a whole journal, from its first command");
    }
    let (mut awards, mut checks) = (Awards::default(), Checks::new(snapshots, from)?);
    let noted = match data.last_note() {
        Ok(note) => note.head,
        Err(error) => return Ok(not_verified(&error, output)),
    };
    let replayed = start.replay(&mut journal, noted, |replayer, saved| {
        kept.add(replayer.batch());
        awards.add(replayer.batch());
        checks.check(replayer.head(), saved);
    });
    let replayed = match replayed.await {
        Ok(replayed) => replayed,
        // Nothing is wrong; it was not verified either.
        Err(error @ RecoveryError::Overtaken { .. }) => return Err(error.into()),
        Err(error) => return Ok(not_verified(&error.into(), output)),
    };
    let snapshots_checked = match checks.finish() {
        Ok(checked) => checked,
        Err(error) => return Ok(not_verified(&error, output)),
    };
    let acks = match &args.acks {
        Some(path) => read(path)?,
        None => Vec::new(),
    };
    let lost: Vec<&Ack> = acks.iter().filter(|ack| !kept.has(ack)).collect();
    for ack in lost.iter().take(LOST_SHOWN_MAX) {
        output.line(format!("lost: {} {} {:?}", ack.agent, ack.template, ack.key));
    }
    let audit = Audit::of(replayed.exchange());
    let verified = lost.is_empty() && audit.trial_balance == 0 && awards.double() == 0;
    let text = format!(
        "{} commands in {} records after command {from} are whole, and cause the events that they \
         caused\n\
         {snapshots_checked} snapshots are what the journal comes to\n\
         {} accepted, {} acknowledgements checked, {} lost, {} awarded twice\n\
         state {}, trial balance {}",
        audit.seq - from,
        replayed.records(),
        kept.len(),
        acks.len(),
        lost.len(),
        awards.double(),
        audit.state_hash,
        audit.trial_balance
    );
    let summary = json!({
        "verified": verified,
        "from_seq": from,
        "seq": audit.seq,
        "records": replayed.records(),
        "snapshots": snapshots_checked,
        "replay_hash_equal": true,
        "accepted": kept.len(),
        "acknowledged": acks.len(),
        "lost_acknowledged": lost.len(),
        "double_awards": awards.double(),
        "trial_balance": i64::try_from(audit.trial_balance).unwrap_or(i64::MAX),
        "state_hash": audit.state_hash.to_string(),
        "chain": replayed.head().chain,
    });
    output.summary(text, &summary);
    Ok(if verified { Exit::Done } else { Exit::NotVerified })
}

/// Compares snapshots with what the journal comes to where they were made.
struct Checks {
    snapshots: Snapshots,
    /// Those that are still to come, the next one last.
    left: Vec<u64>,
    checked: u64,
    wrong: Option<anyhow::Error>,
}

impl Checks {
    /// Checks those that were made after the command `from`; what comes after it is replayed on top of
    /// its own.
    fn new(snapshots: Snapshots, from: u64) -> anyhow::Result<Self> {
        let mut left = snapshots.list()?;
        left.retain(|seq| *seq > from);
        left.reverse();
        Ok(Self { snapshots, left, checked: u64::from(from > 0), wrong: None })
    }

    fn check(&mut self, head: Head, saved: &dyn Fn() -> Saved) {
        while let Some(seq) = self.left.pop_if(|seq| *seq <= head.seq) {
            match self.compare(seq, head, saved) {
                Ok(is_there) => self.checked += u64::from(is_there),
                Err(error) => drop(self.wrong.get_or_insert(error)),
            }
        }
    }

    /// Returns whether it is there: a running exchange may have deleted it meanwhile.
    fn compare(&self, seq: u64, head: Head, saved: &dyn Fn() -> Saved) -> anyhow::Result<bool> {
        let found = match self.snapshots.read(seq) {
            Ok(saved) => saved,
            Err(SnapshotsError::Reading { source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        };
        if found.head != head {
            bail!("the snapshot of command {seq} is not of this journal");
        }
        if found != saved() {
            bail!("the snapshot of command {seq} is not what the journal comes to");
        }
        Ok(true)
    }

    /// Returns how many are right, if all are.
    fn finish(self) -> anyhow::Result<u64> {
        match (self.wrong, self.left.last()) {
            (Some(wrong), _) => Err(wrong),
            (None, Some(seq)) => {
                bail!("the journal ends before command {seq}, of which there is a snapshot")
            }
            (None, None) => Ok(self.checked),
        }
    }
}

/// Says that the journal is not what it was.
fn not_verified(error: &anyhow::Error, output: &Output) -> Exit {
    let problem = error_text(error.as_ref());
    output.summary(&problem, &json!({ "verified": false, "problem": problem }));
    Exit::NotVerified
}

fn read(path: &Path) -> anyhow::Result<Vec<Ack>> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut acks = Vec::new();
    read_acks(BufReader::new(file), |ack| acks.push(ack))
        .with_context(|| format!("{} is not what `gavel sim --acks` writes", path.display()))?;
    Ok(acks)
}
