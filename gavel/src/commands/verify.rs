//! `gavel verify`: prove that a journal is whole, and that it keeps what clients were told.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::Context as _;
use gavel_sequencer::journal::JournalError;
use gavel_sequencer::{Audit, last_note, replay_noted};
use gavel_simulator::load::{Ack, read_acks};
use serde_json::json;

use crate::Exit;
use crate::args::VerifyArgs;
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
    let mut kept = Kept::default();
    let noted = last_note(&data.alive()).unwrap_or_default().head;
    let replayed = match replay_noted(&mut journal, noted, |batch| kept.add(batch)).await {
        Ok(replayed) => replayed,
        Err(error) => return Ok(not_verified(&error.into(), output)),
    };
    let acks = match &args.acks {
        Some(path) => read(path)?,
        None => Vec::new(),
    };
    let lost: Vec<&Ack> = acks.iter().filter(|ack| !kept.has(ack)).collect();
    for ack in lost.iter().take(LOST_SHOWN_MAX) {
        output.line(format!("lost: {} {} {:?}", ack.agent, ack.template, ack.key));
    }
    let audit = Audit::of(&replayed.exchange);
    let verified = lost.is_empty() && audit.trial_balance == 0;
    let text = format!(
        "{} commands in {} records are whole, and cause the events that they caused\n\
         {} accepted, {} acknowledgements checked, {} lost\n\
         state {}, trial balance {}",
        audit.seq,
        replayed.records,
        kept.len(),
        acks.len(),
        lost.len(),
        audit.state_hash,
        audit.trial_balance
    );
    let summary = json!({
        "verified": verified,
        "seq": audit.seq,
        "records": replayed.records,
        "replay_hash_equal": true,
        "accepted": kept.len(),
        "acknowledged": acks.len(),
        "lost_acknowledged": lost.len(),
        "trial_balance": i64::try_from(audit.trial_balance).unwrap_or(i64::MAX),
        "state_hash": audit.state_hash.to_string(),
        "chain": replayed.head.chain,
    });
    output.summary(text, &summary);
    Ok(if verified { Exit::Done } else { Exit::NotVerified })
}

/// Says that the journal is not what it was.
fn not_verified(error: &anyhow::Error, output: &Output) -> Exit {
    let problem = format!("{error:#}");
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
