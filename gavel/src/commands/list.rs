//! `gavel list`: the operator lists a capability.

use anyhow::Context as _;
use serde_json::json;

use crate::Exit;
use crate::args::ListArgs;
use crate::commands::{block_on, read};
use crate::data_dir::{DataDir, OPERATOR};
use crate::output::Output;

/// The terms of a capability that is listed without any.
const PLAIN_TERMS: &str = "Delivery against payment. The price lies in escrow from the award on. \
The buyer may object within the acceptance time; silence accepts. What is not delivered in time is \
refunded in full.\n";

/// Lists.
pub fn run(args: ListArgs, output: &Output) -> anyhow::Result<Exit> {
    block_on(list(args, output))
}

async fn list(args: ListArgs, output: &Output) -> anyhow::Result<Exit> {
    let operator = DataDir::new(&args.data).connect(OPERATOR).await?;
    let terms = match &args.terms {
        Some(path) => read(path)?,
        None => PLAIN_TERMS.into(),
    };
    let terms = operator.put_blob(&terms).await.context("cannot store the terms")?;
    let listed = operator.list_capability(args.name, args.currency, terms).await;
    let capability = listed.with_context(|| format!("cannot list {}", args.name))?;
    operator.close().await;
    let text = format!("{} is {capability}, in {}", args.name, args.currency);
    output.summary(text, &json!({ "name": args.name, "capability": capability, "terms": terms }));
    Ok(Exit::Done)
}
