//! `gavel band`: the operator sets or lifts the band that prices must lie in.

use anyhow::Context as _;
use gavel_protocol::PriceBand;
use serde_json::json;

use crate::Exit;
use crate::args::BandArgs;
use crate::commands::{block_on, capability};
use crate::data_dir::{DataDir, OPERATOR};
use crate::output::Output;

/// Sets or lifts the band.
pub fn run(args: BandArgs, output: &Output) -> anyhow::Result<Exit> {
    block_on(set(args, output))
}

async fn set(args: BandArgs, output: &Output) -> anyhow::Result<Exit> {
    let operator = DataDir::new(&args.data).connect(OPERATOR).await?;
    let listed = capability(&operator, &args.capability).await?;
    let band = args.low.zip(args.high).map(|(low, high)| PriceBand { low, high });
    operator.set_price_band(listed.capability, band).await.context("cannot set the band")?;
    operator.close().await;
    let name = args.capability;
    let text = match band {
        Some(PriceBand { low, high }) => format!("prices of {name} lie between {low} and {high}"),
        None => format!("any price will do for {name}"),
    };
    output.summary(text, &json!({ "capability": name, "band": band }));
    Ok(Exit::Done)
}
