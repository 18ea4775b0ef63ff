//! `gavel project`: bring a projection up to the end of a journal, or make it anew.

use gavel_gateway::FanOut;
use gavel_sequencer::journal::Journal as _;
use gavel_sequencer::projection::Projection;
use gavel_sequencer::{Reach, Source};
use serde_json::json;

use crate::Exit;
use crate::args::ProjectArgs;
use crate::commands::block_on;
use crate::data_dir::DataDir;
use crate::output::Output;

/// Projects.
pub fn run(args: &ProjectArgs, output: &Output) -> anyhow::Result<Exit> {
    block_on(async {
        let data = DataDir::new(&args.data);
        let place = args.projection.place()?;
        let journal_place = args.journal.place_of_existing(&data)?;
        let mut journal = journal_place.open_to_read().await?;
        if args.rebuild {
            // Nobody may delete old records meanwhile, and nobody else may write the projection.
            journal.close().await?;
            journal = journal_place.open().await?;
        }
        let (journal, snapshots) = (journal.into_reader(), Some(data.snapshots()));
        let source = Source { journal, snapshots, reach: Reach::default() };
        let Projection { seq, events } = match args.rebuild {
            true => {
                // If it does not come to its end, what it has taken away is still to be kept.
                let noted = data.projected()?;
                noted.map(|_| data.note_projected(0)).transpose()?;
                let rebuilt = Projection::rebuild(source, FanOut::new(), &place).await?;
                noted.map(|seq| data.note_projected(seq)).transpose()?;
                rebuilt
            }
            false => Projection::catch_up(source, FanOut::new(), &place).await?,
        };
        let text = format!("{events} events of {seq} commands are in the projection");
        output.summary(text, &json!({ "seq": seq, "events": events }));
        Ok(Exit::Done)
    })
}
