//! `gavel book`: what everybody may know of a capability at one moment.

use std::fmt::{self, Write as _};

use anyhow::Context as _;
use gavel_protocol::{Book, Name, PriceBand};

use crate::Exit;
use crate::args::BookArgs;
use crate::commands::{block_on, capability};
use crate::data_dir::DataDir;
use crate::output::Output;

/// Shows the book.
pub fn run(args: BookArgs, output: &Output) -> anyhow::Result<Exit> {
    block_on(show(args, output))
}

async fn show(args: BookArgs, output: &Output) -> anyhow::Result<Exit> {
    let client = DataDir::new(&args.data).connect(&args.agent).await?;
    let listed = capability(&client, &args.capability).await?;
    let book = client.book(listed.capability).await.context("cannot ask for the book")?;
    client.close().await;
    let text = table(&args.capability, &book).context("cannot write the book")?;
    output.summary(text.trim_end(), &book);
    Ok(Exit::Done)
}

fn table(name: &Name, book: &Book) -> Result<String, fmt::Error> {
    let mut out = String::new();
    let halted = if book.halted { ", halted: no new business" } else { "" };
    writeln!(out, "{name}{halted}")?;
    if let Some(PriceBand { low, high }) = book.band {
        writeln!(out, "prices between {low} and {high}")?;
    }
    writeln!(out, "standing quotes: {} of {}", book.standing.len(), book.standing_total)?;
    for quote in &book.standing {
        let (price, units, latency) = (quote.price, quote.capacity, quote.latency_ms);
        let price = price.to_string();
        writeln!(out, "  {price:>14} x {units:<8} within {latency} ms  {}", quote.provider)?;
    }
    writeln!(out, "open RFQs: {} of {}", book.rfqs.len(), book.rfqs_total)?;
    for rfq in &book.rfqs {
        let (id, format) = (rfq.rfq, rfq.terms.format);
        let what = match &rfq.bundles {
            Some(bundles) => format!("{} items", bundles.items.len()),
            None => format!("{} units", rfq.terms.quantity),
        };
        let signed = if rfq.signed.is_some() { ", signed" } else { "" };
        writeln!(out, "  {id}  {what}, {format:?}{signed}, by {}", rfq.buyer)?;
    }
    Ok(out)
}
