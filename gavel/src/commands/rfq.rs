//! `gavel rfq`: a buyer's hand. A job spec goes in as a file, the deliverable comes out as one.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use gavel_client::{Client, EventStream};
use gavel_protocol::{
    Awarded, BlobSource, ContractId, Delivered, DurationNs, PrivateEvent, RfqId, RfqResult,
    RfqTerms, Topic,
};
use serde_json::json;

use crate::Exit;
use crate::args::RfqArgs;
use crate::commands::{block_on, capability, next_private, read};
use crate::data_dir::DataDir;
use crate::output::Output;

/// Asks for quotes, and waits for the work.
pub fn run(args: RfqArgs, output: &Output) -> anyhow::Result<Exit> {
    block_on(buy(args, output))
}

async fn buy(args: RfqArgs, output: &Output) -> anyhow::Result<Exit> {
    let client = DataDir::new(&args.data).connect(&args.agent).await?;
    let mut events = client.subscribe(Topic::Private, None).await?;
    let terms = rfq_terms(&client, &args).await?;
    let opened = client.open_rfq(terms).await.context("cannot open the RFQ")?;
    let rfq = opened.rfq;
    output.note(format!("{rfq} is open"));

    let Some(awarded) = award(&mut events, rfq).await? else {
        let text = format!("{rfq} passed: nothing was awarded, the money is back");
        output.summary(text, &json!({ "rfq": rfq, "result": "passed" }));
        return Ok(Exit::No);
    };
    let Awarded { contract, parties, total, currency, .. } = awarded;
    output.note(format!("{contract} with {} for {total} {currency}", parties.provider));

    let Some(delivered) = delivery(&mut events, contract).await? else {
        let text = format!("{contract} expired: nothing was delivered, the money is back");
        output.summary(text, &json!({ "rfq": rfq, "contract": contract, "result": "expired" }));
        return Ok(Exit::No);
    };
    let deliverable = client.fetch_blob(BlobSource::Deliverable(contract)).await;
    let deliverable = deliverable.context("cannot fetch the deliverable")?;
    put_out(args.out.as_deref(), &deliverable)?;
    if !args.silent {
        client.accept_delivery(contract).await.context("cannot accept the delivery")?;
    }
    settlement(&mut events, contract).await?;
    client.close().await;
    let text = format!("{contract} is settled: {total} {currency} paid");
    let summary = json!({
        "rfq": rfq,
        "contract": contract,
        "provider": parties.provider,
        "price_micros": awarded.price,
        "total_micros": total,
        "currency": currency,
        "deliverable": delivered.deliverable,
        "deliverable_bytes": deliverable.len(),
        "result": "settled",
    });
    output.summary(text, &summary);
    Ok(Exit::Done)
}

async fn rfq_terms(client: &Client, args: &RfqArgs) -> anyhow::Result<RfqTerms> {
    let listed = capability(client, &args.capability).await?;
    let store = async |path: &Path| {
        let stored = client.put_blob(&read(path)?).await;
        stored.with_context(|| format!("cannot store {}", path.display()))
    };
    let spec = store(&args.spec).await?;
    let inputs = match &args.inputs {
        Some(path) => Some(store(path).await?),
        None => None,
    };
    let terms = match &args.terms {
        Some(path) => store(path).await?,
        None => listed.terms,
    };
    Ok(RfqTerms {
        quantity: args.quantity,
        window: DurationNs::from_millis(args.window_ms),
        admit_standing: terms == listed.terms,
        delivery_within: DurationNs::from_secs(args.delivery_s),
        acceptance_within: DurationNs::from_secs(args.acceptance_s),
        spec,
        inputs,
        terms,
        ..RfqTerms::plain(listed.capability, listed.currency, args.reserve)
    })
}

/// Waits for the end of the RFQ. Returns what was awarded, if anything.
async fn award(events: &mut EventStream, rfq: RfqId) -> anyhow::Result<Option<Awarded>> {
    loop {
        let event = next_private(events).await?;
        if let PrivateEvent::Awarded(awarded) = event
            && awarded.rfq == rfq
        {
            return Ok(Some(awarded));
        }
        if let PrivateEvent::RfqEnded(ended) = event
            && ended.rfq == rfq
            && ended.result != RfqResult::Awarded
        {
            return Ok(None);
        }
    }
}

/// Waits for the delivery. Returns nothing if the contract expires first.
async fn delivery(
    events: &mut EventStream,
    contract: ContractId,
) -> anyhow::Result<Option<Delivered>> {
    loop {
        let event = next_private(events).await?;
        if let PrivateEvent::Delivered(delivered) = event
            && delivered.contract == contract
        {
            return Ok(Some(delivered));
        }
        if let PrivateEvent::ContractExpired(expired) = event
            && expired.contract == contract
        {
            return Ok(None);
        }
    }
}

async fn settlement(events: &mut EventStream, contract: ContractId) -> anyhow::Result<()> {
    loop {
        if let PrivateEvent::ContractSettled(settled) = next_private(events).await?
            && settled.contract == contract
        {
            return Ok(());
        }
    }
}

fn put_out(path: Option<&Path>, bytes: &[u8]) -> anyhow::Result<()> {
    match path {
        Some(path) => {
            std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
        }
        None => {
            // A summary must not begin in the middle of a line.
            let end = if bytes.ends_with(b"\n") { b"".as_slice() } else { b"\n" };
            let written = std::io::stdout().write_all(&[bytes, end].concat());
            written.context("cannot write to standard output")
        }
    }
}
