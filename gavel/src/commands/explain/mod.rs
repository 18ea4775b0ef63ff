//! `gavel explain rfq`: what happened to an RFQ, and why, as far as whoever asks may know it.
//!
//! Everything is read from the journal, whose replay causes every event again. What is gathered
//! there is more than anybody may see; [`view`] decides who sees what of it.

mod history;
mod money;
mod names;
mod report;
mod say;
#[cfg(test)]
mod tests;
mod view;
mod winning;

use anyhow::Context as _;
use gavel_protocol::PublicKey;
use gavel_sequencer::replay;

use crate::Exit;
use crate::args::ExplainArgs;
use crate::beginning::is_whole;
use crate::commands::block_on;
use crate::commands::explain::history::History;
use crate::commands::explain::names::Names;
use crate::commands::explain::report::Report;
use crate::commands::explain::view::View;
use crate::data_dir::DataDir;
use crate::output::Output;

/// Explains.
pub fn run(args: &ExplainArgs, output: &Output) -> anyhow::Result<Exit> {
    block_on(explain(args, output))
}

async fn explain(args: &ExplainArgs, output: &Output) -> anyhow::Result<Exit> {
    let ExplainArgs { rfq, agent, .. } = args;
    let data = DataDir::new(&args.data);
    data.whereabouts()?;
    let key = PublicKey::new(data.key(agent)?.verifying_key().to_bytes());
    let mut journal = args.journal.place(&data)?.open_to_read().await?;
    is_whole(&mut journal).await?;
    let mut history = History::of(*rfq);
    replay(&mut journal, |batch| batch.steps().for_each(|step| history.add(&step))).await?;
    let asker = history.agent(&key).with_context(|| format!("{agent} was never enrolled here"))?;
    // Whether there is no such RFQ, or none that it may see, is not for it to know.
    let view = View::of(&history, asker);
    let view = view.with_context(|| format!("there is no {rfq} that {agent} may see"))?;
    let names = Names::new(data.public_keys()?, &history);
    let report = Report::new(&view, &names);
    output.summary(report.to_string().trim_end(), &report);
    Ok(Exit::Done)
}
