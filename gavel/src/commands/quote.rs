//! `gavel quote`: a provider's hand. It answers each RFQ for its capability, and delivers a file
//! when it wins.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use gavel_client::{Client, EventStream, StreamEvent, StreamItem};
use gavel_protocol::{
    BlobSource, CapabilityEntry, ContractId, DurationNs, Offer, PrivateEvent, PublicEvent,
    RfqAnnounced, SetStandingQuote, TimestampNs, Topic,
};
use serde_json::json;

use crate::Exit;
use crate::args::QuoteArgs;
use crate::commands::{block_on, capability, next_private, read};
use crate::data_dir::DataDir;
use crate::output::Output;

/// A quote is firm for so long after its RFQ's close.
const FIRM_AFTER_CLOSE: DurationNs = DurationNs::from_secs(60);

/// A standing quote is firm for so long.
const STANDING_VALID: DurationNs = DurationNs::from_secs(24 * 3_600);

/// Offers work, and does it.
pub fn run(args: QuoteArgs, output: &Output) -> anyhow::Result<Exit> {
    block_on(sell(args, output))
}

/// A provider at work.
struct Provider<'a> {
    client: Client,
    args: &'a QuoteArgs,
    output: &'a Output,
    deliverable: Vec<u8>,
    settled: u32,
    expired: u32,
    /// What each settled contract brought.
    released: BTreeMap<ContractId, String>,
}

async fn sell(args: QuoteArgs, output: &Output) -> anyhow::Result<Exit> {
    let deliverable = read(&args.deliver)?;
    let client = DataDir::new(&args.data).connect(&args.agent).await?;
    let listed = capability(&client, &args.capability).await?;
    let mut private = client.subscribe(Topic::Private, None).await?;
    let mut public = client.subscribe(Topic::Capability(listed.capability), None).await?;
    let mut provider = Provider {
        client,
        args: &args,
        output,
        deliverable,
        settled: 0,
        expired: 0,
        released: BTreeMap::new(),
    };
    if let Some(units) = args.standing {
        provider.stand(&listed, units).await?;
    }
    output.line(format!("{} quotes {} for {}", args.agent, args.price, args.capability));
    while provider.settled + provider.expired < args.contracts {
        tokio::select! {
            announced = next_announced(&mut public) => provider.answer(&announced?).await?,
            event = next_private(&mut private) => provider.follow(event?).await?,
        }
    }
    provider.client.close().await;
    let (settled, expired) = (provider.settled, provider.expired);
    let text = format!("{settled} contracts settled, {expired} expired");
    let summary =
        json!({ "settled": settled, "expired": expired, "released_micros": provider.released });
    output.summary(text, &summary);
    Ok(if expired == 0 { Exit::Done } else { Exit::No })
}

impl Provider<'_> {
    async fn stand(&self, listed: &CapabilityEntry, capacity: u32) -> anyhow::Result<()> {
        let now = now()?;
        let quote = SetStandingQuote {
            capability: listed.capability,
            // Grows from run to run.
            revision: now.nanos(),
            price: self.args.price,
            latency_ms: 0,
            capacity,
            valid_until: now.after(STANDING_VALID),
            terms: listed.terms,
        };
        self.client.set_standing_quote(quote).await.context("cannot set the standing quote")
    }

    /// Quotes for an RFQ; what the exchange rejects is said, and the next one waited for.
    async fn answer(&self, announced: &RfqAnnounced) -> anyhow::Result<()> {
        let RfqAnnounced { rfq, closes_at, .. } = *announced;
        if closes_at <= now()? {
            return Ok(());
        }
        let valid_until = closes_at.after(FIRM_AFTER_CLOSE);
        match self.client.place_quote(rfq, Offer::new(self.args.price, valid_until)).await {
            Ok(quote) => self.output.line(format!("{quote} for {rfq}")),
            Err(error) if error.reason().is_some() => {
                self.output.line(format!("no quote for {rfq}: {error}"));
            }
            Err(error) => return Err(error).context("cannot quote"),
        }
        Ok(())
    }

    async fn follow(&mut self, event: PrivateEvent) -> anyhow::Result<()> {
        match event {
            PrivateEvent::Awarded(awarded) => self.work(awarded.contract).await?,
            PrivateEvent::QuoteLost(lost) => {
                self.output.line(format!("lost {}: {}", lost.rfq, lost.reason.info().meaning));
            }
            PrivateEvent::ContractSettled(settled) => {
                self.settled += 1;
                self.released.insert(settled.contract, settled.released.raw().to_string());
                let (paid, fee) = (settled.released, settled.fee);
                self.output.line(format!("{} paid {paid}, fee {fee}", settled.contract));
            }
            PrivateEvent::ContractExpired(expired) => {
                self.expired += 1;
                self.output.line(format!("{} expired", expired.contract));
            }
            PrivateEvent::ContractTakenOver(taken) => {
                self.expired += 1;
                self.output.line(format!("{} was taken over", taken.contract));
            }
            // Where others are not invited, there is no announcement to everybody.
            PrivateEvent::Invited(announced) => self.answer(&announced).await?,
            PrivateEvent::Standby(standby) => {
                self.output.line(format!("{} standing by, rank {}", standby.rfq, standby.rank));
            }
            PrivateEvent::ProviderSuspended(suspended) => {
                self.output.line(format!("kept out until {}", suspended.until));
            }
            PrivateEvent::RfqEnded(_)
            | PrivateEvent::InvitedRfqEnded(_)
            | PrivateEvent::InvitedRfqTaken(_)
            | PrivateEvent::Declined(_)
            | PrivateEvent::BookOpened(_)
            | PrivateEvent::QuoteShown(_)
            | PrivateEvent::ReputationChanged(_)
            | PrivateEvent::QuoteCanceled(_)
            | PrivateEvent::StandingQuoteCanceled(_)
            | PrivateEvent::WorkStarted(_)
            | PrivateEvent::Delivered(_)
            | PrivateEvent::ContractVerified(_) => {}
        }
        Ok(())
    }

    async fn work(&self, contract: ContractId) -> anyhow::Result<()> {
        self.client.start_work(contract).await.context("cannot start the work")?;
        let spec = self.client.fetch_blob(BlobSource::ContractSpec(contract)).await;
        let spec = spec.context("cannot fetch the job spec")?;
        self.output.line(format!("{contract} awarded, {} bytes of job spec", spec.len()));
        let digest = self.client.put_blob(&self.deliverable).await;
        let digest = digest.context("cannot store the deliverable")?;
        self.client.deliver(contract, digest).await.context("cannot deliver")
    }
}

/// Waits for the next RFQ.
async fn next_announced(events: &mut EventStream) -> anyhow::Result<RfqAnnounced> {
    loop {
        let item = events.next().await.context("the exchange has ended the stream")?;
        match item? {
            StreamItem::Event(_, StreamEvent::Public(PublicEvent::RfqAnnounced(announced))) => {
                return Ok(*announced);
            }
            StreamItem::Event(..) | StreamItem::Resync { .. } => {}
        }
    }
}

fn now() -> anyhow::Result<TimestampNs> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    match u64::try_from(since.as_nanos()) {
        Ok(nanos) => Ok(TimestampNs::from_nanos(nanos)),
        Err(_) => bail!("the clock is after 2554"),
    }
}
