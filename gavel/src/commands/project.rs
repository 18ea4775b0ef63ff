//! `gavel project`: bring a projection up to the end of a journal, or make it anew.

use gavel_gateway::FanOut;
use gavel_sequencer::projection::Projection;
use serde_json::json;

use crate::Exit;
use crate::args::ProjectArgs;
use crate::commands::{block_on, source};
use crate::data_dir::DataDir;
use crate::output::Output;

/// Projects.
pub fn run(args: &ProjectArgs, output: &Output) -> anyhow::Result<Exit> {
    block_on(async {
        let data = DataDir::new(&args.data);
        let place = args.projection.place()?;
        let source = source(&args.journal, &data, args.rebuild).await?;
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
