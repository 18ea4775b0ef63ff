//! `gavel quote`: a provider's hand. It answers each RFQ for its capability, and delivers a file
//! when it wins.

mod bundles;
mod dutch;
mod takes;

use std::collections::BTreeMap;

use anyhow::Context as _;
use gavel_client::{Client, CommandError, Envelope, EventStream, StreamEvent, StreamItem};
use gavel_protocol::{
    Awarded, BlobSource, Bundle, CapabilityEntry, ContractId, DurationNs, Micros, NoQuoteReason,
    Offer, PrivateEvent, PublicEvent, RfqAnnounced, SetStandingQuote, TimestampNs, Topic,
};
use serde_json::json;

use crate::Exit;
use crate::args::QuoteArgs;
use crate::commands::quote::takes::{Clock, Takes};
use crate::commands::{block_on, capability, next_private, read};
use crate::data_dir::DataDir;
use crate::output::Output;

/// A quote is firm for so long after its RFQ is decided.
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
    answer: Answer,
    clock: Clock,
    takes: Takes,
    settled: u32,
    expired: u32,
    declined: u32,
    /// What each settled contract brought.
    released: BTreeMap<ContractId, String>,
}

/// How an RFQ is answered.
enum Answer {
    /// With a quote, and this work if it wins.
    Quote { price: Micros, deliverable: Vec<u8> },
    /// With bundles, and this work for each that wins.
    Bundles { bundles: Vec<Bundle>, deliverable: Vec<u8> },
    /// Without a quote.
    Decline(NoQuoteReason),
}

async fn sell(args: QuoteArgs, output: &Output) -> anyhow::Result<Exit> {
    let answer = Answer::of(&args)?;
    let client = DataDir::new(&args.data).connect(&args.agent).await?;
    let listed = capability(&client, &args.capability).await?;
    let mut private = client.subscribe(Topic::Private, None).await?;
    // What is open already is in the book, what is announced from now on follows it.
    let book = client.book(listed.capability).await.context("cannot ask for the book")?;
    let topic = Topic::Capability(listed.capability);
    let mut public = client.subscribe(topic, Some(book.next.stream_seq)).await?;
    let mut provider = Provider::new(client, &args, output, answer).await?;
    if let Some(units) = args.standing {
        provider.stand(&listed, units).await?;
    }
    output.line(provider.introduction());
    for open in &book.rfqs {
        provider.answer(open).await?;
    }
    while provider.ended() < args.contracts {
        tokio::select! {
            announced = next_announced(&mut public) => provider.answer(&announced?).await?,
            event = next_private(&mut private) => provider.follow(event?).await?,
            () = provider.takes.due() => provider.take().await?,
        }
    }
    provider.client.close().await;
    let Provider { settled, expired, declined, .. } = provider;
    let mut text = format!("{settled} contracts settled, {expired} expired");
    if declined > 0 {
        text = format!("{text}, {declined} RFQs declined");
    }
    let summary = json!({
        "settled": settled,
        "expired": expired,
        "declined": declined,
        "released_micros": provider.released,
    });
    output.summary(text, &summary);
    Ok(if expired == 0 { Exit::Done } else { Exit::No })
}

impl Answer {
    fn of(args: &QuoteArgs) -> anyhow::Result<Self> {
        if let Some(reason) = args.decline {
            return Ok(Self::Decline(reason));
        }
        let deliver = args.deliver.as_deref().context("name the work with --deliver")?;
        let deliverable = read(deliver)?;
        let bundles = bundles::of(args);
        if !bundles.is_empty() {
            return Ok(Self::Bundles { bundles, deliverable });
        }
        let price = args.price.context("name the price with --price")?;
        Ok(Self::Quote { price, deliverable })
    }
}

impl<'a> Provider<'a> {
    async fn new(
        client: Client,
        args: &'a QuoteArgs,
        output: &'a Output,
        answer: Answer,
    ) -> anyhow::Result<Self> {
        let clock = Clock::of(&client).await?;
        Ok(Self {
            client,
            args,
            output,
            answer,
            clock,
            takes: Takes::default(),
            settled: 0,
            expired: 0,
            declined: 0,
            released: BTreeMap::new(),
        })
    }

    fn introduction(&self) -> String {
        let QuoteArgs { agent, capability, .. } = self.args;
        match &self.answer {
            Answer::Quote { price, .. } => format!("{agent} quotes {price} for {capability}"),
            Answer::Bundles { bundles, .. } => {
                let bundles = bundles::text(bundles);
                format!("{agent} quotes {bundles} for {capability}")
            }
            Answer::Decline(reason) => format!("{agent} declines {capability}: {reason:?}"),
        }
    }

    fn ended(&self) -> u32 {
        self.settled + self.expired + self.declined
    }

    async fn stand(&self, listed: &CapabilityEntry, capacity: u32) -> anyhow::Result<()> {
        let Answer::Quote { price, .. } = self.answer else { return Ok(()) };
        let CapabilityEntry { capability, terms, .. } = *listed;
        let now = self.clock.now();
        let valid_until = now.after(STANDING_VALID);
        let envelope =
            Envelope { capability, terms, price_min: price, capacity_max: capacity, valid_until };
        self.client.sign_envelope(envelope).await.context("cannot sign the standing quote")?;
        let quote = SetStandingQuote {
            capability,
            // Grows from run to run.
            revision: now.nanos(),
            price,
            latency_ms: self.args.offer.latency_ms.unwrap_or(0),
            capacity,
            valid_until,
            terms,
        };
        self.client.set_standing_quote(quote).await.context("cannot set the standing quote")
    }

    /// Answers an RFQ; what the exchange rejects is said, and the next one waited for.
    async fn answer(&mut self, announced: &RfqAnnounced) -> anyhow::Result<()> {
        if announced.closes_at <= self.clock.now() {
            return Ok(());
        }
        match self.answer {
            Answer::Decline(reason) => self.decline(announced, reason).await,
            Answer::Bundles { .. } => self.quote_bundles(announced).await,
            Answer::Quote { .. } if announced.bundles.is_some() => {
                let rfq = announced.rfq;
                self.output.line(format!("no quote for {rfq}: it asks for items, give --bundle"));
                Ok(())
            }
            Answer::Quote { price, .. } if announced.dutch.is_some() => {
                let me = self.client.identity().agent;
                let planned = self.takes.plan(announced.clone(), me, price, &self.clock);
                self.output.line(planned);
                Ok(())
            }
            Answer::Quote { price, .. } => self.quote(announced, price).await,
        }
    }

    async fn quote(&self, announced: &RfqAnnounced, price: Micros) -> anyhow::Result<()> {
        if !self.promises_enough(announced) {
            return Ok(());
        }
        let quoted = self.client.place_quote(announced, self.offer(announced, price)).await;
        if let Some(quote) = self.accepted(announced, "quote", quoted)? {
            self.output.line(format!("{quote} for {}", announced.rfq));
        }
        Ok(())
    }

    /// Returns whether a latency is promised, if the RFQ pays for it.
    fn promises_enough(&self, announced: &RfqAnnounced) -> bool {
        let pays_for_latency = announced.terms.scoring.latency_per_ms > Micros::ZERO;
        let enough = !pays_for_latency || self.args.offer.latency_ms.is_some();
        if !enough {
            let rfq = announced.rfq;
            self.output.line(format!("no quote for {rfq}: it pays for latency, give --latency-ms"));
        }
        enough
    }

    /// Returns until when it stands by, if it does.
    fn standby_until(&self, decided_at: TimestampNs) -> Option<TimestampNs> {
        let standby = self.args.offer.standby_s?;
        Some(decided_at.after(DurationNs::from_secs(standby)))
    }

    fn offer(&self, announced: &RfqAnnounced, price: Micros) -> Offer {
        let decided_at = announced.closes_at.after(announced.terms.pick_within);
        let of = &self.args.offer;
        Offer {
            quantity: of.quantity,
            all_or_none: of.all_or_none,
            latency_ms: of.latency_ms.unwrap_or(0),
            standby_until: self.standby_until(decided_at),
            ..Offer::new(price, decided_at.after(FIRM_AFTER_CLOSE))
        }
    }

    async fn decline(
        &mut self,
        announced: &RfqAnnounced,
        reason: NoQuoteReason,
    ) -> anyhow::Result<()> {
        let declined = self.client.decline_rfq(announced.rfq, reason).await;
        if self.accepted(announced, "answer", declined)?.is_some() {
            self.declined += 1;
            self.output.line(format!("{} declined", announced.rfq));
        }
        Ok(())
    }

    /// Takes the Dutch RFQ that is due.
    async fn take(&mut self) -> anyhow::Result<()> {
        let Answer::Quote { price, .. } = self.answer else { return Ok(()) };
        let Some(announced) = self.takes.next() else { return Ok(()) };
        let quantity = self.args.offer.quantity.min(announced.terms.quantity);
        let taken = self.client.take_rfq(&announced, quantity, price).await;
        if taken.as_ref().is_err_and(CommandError::is_transient) {
            self.clock = Clock::of(&self.client).await?;
            let me = self.client.identity().agent;
            self.takes.plan_again(announced, me, price, &self.clock);
            return Ok(());
        }
        if let Some(taken) = self.accepted(&announced, "take", taken)? {
            let (rfq, price) = (announced.rfq, taken.price);
            self.output.line(format!("took {} of {rfq} at {price}", taken.quantity));
        }
        Ok(())
    }

    /// Returns what was accepted; says what was rejected.
    fn accepted<T>(
        &self,
        announced: &RfqAnnounced,
        what: &str,
        answer: Result<T, CommandError>,
    ) -> anyhow::Result<Option<T>> {
        match answer {
            Ok(outcome) => Ok(Some(outcome)),
            Err(error) if error.reason().is_some() => {
                self.output.line(format!("no {what} for {}: {error}", announced.rfq));
                Ok(None)
            }
            Err(error) => Err(error).with_context(|| format!("no {what} for {}", announced.rfq)),
        }
    }

    async fn follow(&mut self, event: PrivateEvent) -> anyhow::Result<()> {
        match event {
            PrivateEvent::Awarded(awarded) => self.work(&awarded).await?,
            PrivateEvent::BundleLost(lost) => self.lose_bundle(&lost),
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
            PrivateEvent::ContractTakenOver(taken)
                if taken.successor == self.client.identity().agent =>
            {
                self.output.line(format!("taking over {}", taken.contract));
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
            | PrivateEvent::RfqCleared(_)
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

    async fn work(&self, awarded: &Awarded) -> anyhow::Result<()> {
        let contract = awarded.contract;
        let deliverable = match &self.answer {
            Answer::Quote { deliverable, .. } | Answer::Bundles { deliverable, .. } => deliverable,
            Answer::Decline(_) => return Ok(()),
        };
        self.client.start_work(contract).await.context("cannot start the work")?;
        let spec = self.client.fetch_blob(BlobSource::ContractSpec(contract)).await;
        let spec = spec.context("cannot fetch the job spec")?;
        let what = match &awarded.bundle {
            Some(bundle) => format!(" for items {}", bundle.items),
            None => String::new(),
        };
        self.output.line(format!("{contract} awarded{what}, {} bytes of job spec", spec.len()));
        let digest = self.client.put_blob(deliverable).await;
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
