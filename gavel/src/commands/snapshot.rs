//! `gavel snapshot`: say which snapshots there are, or make one.

use gavel_gateway::FanOut;
use gavel_sequencer::journal::Journal as _;
use gavel_sequencer::make_snapshot;
use serde_json::json;

use crate::Exit;
use crate::args::SnapshotArgs;
use crate::commands::block_on;
use crate::data_dir::DataDir;
use crate::output::Output;

/// Lists snapshots.
pub fn run(args: &SnapshotArgs, output: &Output) -> anyhow::Result<Exit> {
    block_on(list(args, output))
}

async fn list(args: &SnapshotArgs, output: &Output) -> anyhow::Result<Exit> {
    let data = DataDir::new(&args.data);
    data.whereabouts()?;
    let snapshots = data.snapshots();
    if args.make {
        let mut journal = args.journal.place(&data)?.open_existing().await?;
        let noted = data.last_note()?.head;
        make_snapshot(&mut journal, noted, &snapshots, FanOut::new()).await?;
        journal.close().await?;
    }
    let (mut lines, mut found, mut all_good) = (Vec::new(), Vec::new(), true);
    for seq in snapshots.list()? {
        let problem = snapshots.read(seq).err().map(|error| error.to_string());
        all_good &= problem.is_none();
        lines.push(format!("command {seq}: {}", problem.as_deref().unwrap_or("good")));
        let path = snapshots.path(seq);
        found.push(json!({ "seq": seq, "path": path, "good": problem.is_none() }));
    }
    if lines.is_empty() {
        lines.push("there are no snapshots: a start replays the whole journal".into());
    }
    output.summary(lines.join("\n"), &json!({ "snapshots": found }));
    Ok(if all_good { Exit::Done } else { Exit::NotVerified })
}
