//! `gavel halt` and `gavel reopen`: the operator stops new business, and lets it in again.

use anyhow::Context as _;
use gavel_client::Client;
use gavel_protocol::CapabilityId;
use serde_json::json;

use crate::Exit;
use crate::args::HaltArgs;
use crate::commands::{block_on, capability};
use crate::data_dir::{DataDir, OPERATOR};
use crate::output::Output;

/// Halts.
pub fn halt(args: HaltArgs, output: &Output) -> anyhow::Result<Exit> {
    block_on(async {
        let (operator, reach) = reach(&args).await?;
        operator.halt(reach).await.context("cannot halt")?;
        operator.close().await;
        let text = format!("{} takes no new business; what is open goes on", name(&args));
        output.summary(text, &json!({ "capability": args.capability, "halted": true }));
        Ok(Exit::Done)
    })
}

/// Reopens.
pub fn reopen(args: HaltArgs, output: &Output) -> anyhow::Result<Exit> {
    block_on(async {
        let (operator, reach) = reach(&args).await?;
        operator.reopen(reach).await.context("cannot reopen")?;
        operator.close().await;
        let text = format!("{} takes new business", name(&args));
        output.summary(text, &json!({ "capability": args.capability, "halted": false }));
        Ok(Exit::Done)
    })
}

/// Logs the operator on, and returns what is to be halted or reopened.
async fn reach(args: &HaltArgs) -> anyhow::Result<(Client, Option<CapabilityId>)> {
    let operator = DataDir::new(&args.data).connect(OPERATOR).await?;
    let reach = match &args.capability {
        Some(name) => Some(capability(&operator, name).await?.capability),
        None => None,
    };
    Ok((operator, reach))
}

fn name(args: &HaltArgs) -> String {
    args.capability.map_or_else(|| "the exchange".into(), |name| name.to_string())
}
