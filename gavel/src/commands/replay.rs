//! `gavel replay`: make a journal's history again, and show it.

use anyhow::Context as _;
use gavel_gateway::FanOut;
use gavel_sequencer::journal::Head;
use gavel_sequencer::{Audit, Batch, replay_from};
use serde_json::json;

use crate::Exit;
use crate::args::ReplayArgs;
use crate::beginning::beginning;
use crate::commands::block_on;
use crate::data_dir::DataDir;
use crate::output::Output;

/// Replays.
pub fn run(args: &ReplayArgs, output: &Output) -> anyhow::Result<Exit> {
    block_on(async {
        let data = DataDir::new(&args.data);
        let mut journal = args.journal.place_of_existing(&data)?.open_to_read().await?;
        let mut wrong = Ok(());
        let start = beginning(&mut journal, &data.snapshots(), FanOut::new()).await?;
        let from = start.head().seq;
        let replayed = replay_from(start.into_replayer(), &mut journal, Head::EMPTY, |replayer| {
            if args.events && wrong.is_ok() {
                wrong = print_events(replayer.batch(), output);
            }
        });
        let replayed = replayed.await?;
        wrong?;
        let audit = Audit::of(replayed.exchange());
        let text = format!(
            "{} commands in {} records replayed; state {}, trial balance {}",
            audit.seq - from,
            replayed.records(),
            audit.state_hash,
            audit.trial_balance
        );
        let summary = json!({
            "from_seq": from,
            "seq": audit.seq,
            "records": replayed.records(),
            "chain": replayed.head().chain,
            "state_hash": audit.state_hash.to_string(),
            "trial_balance": audit.trial_balance.to_string(),
        });
        output.summary(text, &summary);
        Ok(Exit::Done)
    })
}

fn print_events(batch: &Batch, output: &Output) -> anyhow::Result<()> {
    for step in batch.steps() {
        for (event, ranking) in step.events_with_ranking() {
            let mut line = json!({
                "seq": step.stamped.seq.to_string(),
                "ts_event": step.stamped.ts_event,
                "agent": step.stamped.request.agent,
                "event": serde_json::to_value(event).context("cannot write JSON")?,
            });
            if !ranking.is_empty() {
                line["ranking"] = serde_json::to_value(ranking).context("cannot write JSON")?;
            }
            output.line(line);
        }
    }
    Ok(())
}
